"""True classes that an input tells."""

import numpy as np
import pytest
from PIL import Image

from asae_jax.inference.inputs import read_input, without_class_folders
from asae_jax.inference.labels import input_groups, input_labels
from asae_jax.input.content import image_content


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("path,label\n1.png,A\n2.png,\n", ["A", ""]),
        ("path,label,seen\n1.png,A,yes\n2.png,B,no\n", ["A", ""]),
        ("path,label,probability,for_person\n1.png,A,0.9,no\n2.png,B,0.5,yes\n", ["", ""]),
        ("path,true,label,probability\n1.png,A,A,0.9\n2.png,B,A,0.5\n", ["", ""]),
    ],
)
@pytest.mark.parametrize("name", ["list.csv", "list.txt", "list"])
@pytest.mark.filterwarnings("ignore:no column of")
def test_a_network_s_guesses_are_no_true_classes(tmp_path, text, labels, name):
    path = tmp_path / name
    path.write_text(text)
    assert input_labels(str(path), read_input(str(path)), ["A", "B"]) == labels


def test_a_label_of_another_picture_is_none(tmp_path):
    """The review page writes what was labelled: laboratories number their cells alike."""
    pictures = [np.full((8, 8, 3), grey, np.uint8) for grey in (90, 150, 210)]
    for name, picture in zip("abc", pictures, strict=True):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_bytes(b"no")
    contents = [image_content(pictures[number]) for number in (0, 0, 2)]
    rows = [
        f"a.png,A,{contents[0].upper()}",
        f"b.png,B,{contents[1]}",
        f"c.png,,{contents[2]}",
        f"bad.png,A,{contents[0]}",
        "b.png,A,",
    ]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["path,label,content", *rows]))
    with pytest.warns(UserWarning, match=r"labels of .*list\.csv .* another picture .*: 1, .*b\.png"):
        found = input_labels(str(path), read_input(str(path)), ["A", "B"])
    assert found == ["A", "", "", "A", "A"]


def test_a_column_content_of_ones_own_tells_nothing_of_pictures(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    path = tmp_path / "list.csv"
    path.write_text("path,label,content\na.png,A,bone marrow\n")
    assert input_labels(str(path), read_input(str(path)), ["A", "B"]) == ["A"]


def test_labels_of_a_list_are_classes_of_the_run_in_any_case(tmp_path):
    """As folders are; where the run tells two classes by their case, what is written counts."""
    path = tmp_path / "list.csv"
    path.write_text("path,label\n1.png,bne\n2.png,BNE\n3.png,Plasma-Cell\n4.png,Other\n5.png,\n")
    items = read_input(str(path))
    names = ["BNE", "plasma cell"]
    assert input_labels(str(path), items, names) == ["BNE", "BNE", "plasma cell", "Other", ""]
    assert input_labels(str(path), items, ["bne", "BNE"])[:2] == ["bne", "BNE"]


def test_an_image_is_no_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1.png").write_bytes(b"path,label")  # by its name
    (tmp_path / "1").write_bytes(b"\x89PNG\r\n\x1a\n")  # by its content
    (tmp_path / "-").write_text("path,label\n2.png,A\n")  # another file than standard input
    for text, lines in (("1.png", None), ("1", None), ("-", ["a.png"])):
        assert input_labels(text, read_input(text, lines=lines), ["A"]) == [""]


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        (["bne", "sne"], ["BNE", "SNE"]),  # spelled otherwise
        (["MO", "P2", "P3"], ["", "", ""]),  # patients, one of whom is called as a class
        (["BNE", "SNE", "other"], ["BNE", "SNE", ""]),
        (["MO"], ["MO"]),
        (["P1", "P2"], ["", ""]),
    ],
)
@pytest.mark.filterwarnings("ignore:folders of")
def test_folders_are_classes_for_all_commands_alike(tmp_path, folders, labels):
    for name in folders:
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"an image")
    items = read_input(str(tmp_path))
    names = ["BNE", "SNE", "MO"]
    found = input_labels(str(tmp_path), items, names)
    assert dict(zip([item.group for item in items], found, strict=True)) == dict(
        zip(folders, labels, strict=True)
    )
    groups = [item.group for item in without_class_folders(str(tmp_path), items, names)]
    assert input_groups(str(tmp_path), items, found) == groups
    assert any(groups) != any(found)


def test_all_folders_are_classes_where_that_is_said(tmp_path):
    for name in ("bne", "odd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"an image")
    items = read_input(str(tmp_path))
    assert input_labels(str(tmp_path), items, ["BNE", "SNE"], folders="classes") == ["BNE", "odd"]
    assert input_labels(str(tmp_path), items, ["BNE", "SNE"], folders="groups") == ["", ""]
