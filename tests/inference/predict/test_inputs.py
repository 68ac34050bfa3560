"""What a folder, a pattern, a CSV file, an image and standard input are read as."""

import os

import pytest

from asae_jax.errors import UserError
from asae_jax.inference.predict.inputs import input_name, read_input


@pytest.fixture
def tree(tmp_path):
    for name in ("b/2.JPG", "b/1.png", "a/deep/3.tiff", "0.bmp", ".hidden/4.jpg", "b/.5.jpg", "b/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_folder_gives_its_images_by_path_grouped_by_first_folder(tree):
    items = read_input(str(tree))
    assert [os.path.relpath(item.path, tree) for item in items] == [
        "0.bmp",
        "a/deep/3.tiff",
        "b/1.png",
        "b/2.JPG",
    ]
    assert [item.group for item in items] == ["", "a", "b", "b"]
    assert all(item.path == item.file for item in items)


def test_folder_keeps_the_way_it_was_named(tree, monkeypatch):
    monkeypatch.chdir(tree.parent)
    item = read_input(tree.name)[0]
    assert item.path == f"{tree.name}/0.bmp"
    assert item.file == str(tree / "0.bmp")


def test_links_are_followed_but_not_in_circles(tree):
    (tree / "a" / "up").symlink_to(tree)
    (tree / "c").symlink_to(tree / "b")
    assert [os.path.relpath(i.path, tree) for i in read_input(str(tree))][-2:] == ["c/1.png", "c/2.JPG"]


def test_pattern_gives_images_in_order(tree):
    items = read_input(str(tree / "**" / "*"))
    assert [os.path.basename(item.path) for item in items] == ["0.bmp", "3.tiff", "1.png", "2.JPG"]


@pytest.mark.parametrize("column", ["patient", "Slide ID", "subject"])
def test_csv_columns_for_what_belongs_together_are_groups(tree, column):
    (tree / "list.csv").write_text(f"{column},path\np2,b/1.png\np1,a/1.png\n")
    assert [item.group for item in read_input(str(tree / "list.csv"))] == ["p2", "p1"]


def test_csv_keeps_order_paths_and_groups_whatever_they_hold(tree):
    (tree / "list.csv").write_text("group,path\np2,b/1.png\n,missing.png\np1,\np2,b/1.png\n")
    items = read_input(str(tree / "list.csv"))
    assert [(i.path, i.group) for i in items] == [
        ("b/1.png", "p2"), ("missing.png", ""), ("", "p1"), ("b/1.png", "p2"),
    ]  # fmt: skip
    assert [i.file for i in items][:3] == [str(tree / "b/1.png"), str(tree / "missing.png"), ""]


def test_standard_input_is_one_path_per_line(tree, monkeypatch):
    monkeypatch.chdir(tree)
    items = read_input("-", lines=["b/1.png\n", "\n", "with space .png\r\n"])
    assert [item.path for item in items] == ["b/1.png", "with space .png"]
    assert items[0].file == str(tree / "b/1.png")


def test_one_image(tree):
    assert [item.path for item in read_input(str(tree / "0.bmp"))] == [str(tree / "0.bmp")]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "--input=DIR"),
        ("nowhere", "does not exist"),
        ("b/*.gif", "no image in"),
        (".hidden/none", "--input"),
    ],
)
def test_nothing_to_predict_is_said(tree, monkeypatch, text, remedy):
    monkeypatch.chdir(tree)
    with pytest.raises(UserError, match=remedy):
        read_input(text)


def test_csv_without_a_path_column_names_the_line(tree):
    (tree / "list.csv").write_text("file,label\nx,y\n")
    with pytest.raises(UserError, match=r"list.csv, line 1: column 'path' is missing"):
        read_input(str(tree / "list.csv"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("-", "stdin"),
        ("x/cells", "cells"),
        ("x/cells/", "cells"),
        ("x/cells/**/*.jpg", "cells"),
        ("a.b", "a.b"),
    ],
)
def test_output_is_named_after_the_input(text, name):
    assert input_name(text) == name


def test_output_of_a_file_drops_its_ending(tree):
    (tree / "list.csv").touch()
    assert input_name(str(tree / "list.csv")) == "list"


def test_the_home_folder_is_expanded(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree))
    (tree / "list.csv").write_text("path\nb/1.png\n")
    assert [item.file for item in read_input("~/list.csv")] == [str(tree / "b/1.png")]
    assert input_name("~/list.csv") == "list"
