"""What a folder, a pattern, a CSV file, an image and standard input are read as."""

import dataclasses
import os

import pytest

from asae_jax.errors import UserError
from asae_jax.inference.adapt.labels import groups_of
from asae_jax.inference.inputs import group_column_of, input_name, read_input, without_class_folders
from asae_jax.inference.labels import input_labels
from asae_jax.inference.reading import read_batches


@pytest.fixture
def tree(tmp_path):
    put(tmp_path, "b/2.JPG", "b/1.png", "a/deep/3.tiff", "0.bmp", "b/.5.jpg")
    return tmp_path


def put(folder, *names, content=b""):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def found(folder, items):
    return [os.path.relpath(item.path, folder) for item in items]


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


def test_a_slide_in_two_unicode_forms_is_one_where_cells_lie_too(tmp_path):
    """Else the column of groups would be one of smears, and QuPath's file of that slide two."""
    (tmp_path / "list.csv").write_text("path,slide,x,y\na.png,M\u00fcller,1,2\nb.png,Mu\u0308ller,3,4\n")
    items = read_input(str(tmp_path / "list.csv"))
    assert {item.position.slide for item in items} == {item.group for item in items} == {"M\u00fcller"}
    assert group_column_of(items) == "slide"


def test_a_patient_in_two_unicode_forms_is_one(tree):
    """Of a list, of folders from a Mac, and where `adapt` divides labels into folds."""
    (tree / "list.csv").write_text("patient,path\nM\u00fc,b/1.png\nMu\u0308,b/2.png\nB,b/3.png\n")
    items = read_input(str(tree / "list.csv"))
    assert [item.group for item in items] == ["M\u00fc", "M\u00fc", "B"]
    raw = [dataclasses.replace(items[1], group="Mu\u0308"), items[0], items[2]]
    assert groups_of(raw).tolist() == ["M\u00fc", "M\u00fc", "B"]
    assert groups_of(raw[:2]) is None


def test_other_files_are_named_and_left_out(tree):
    put(tree, "b/notes.txt", "b/cells.zip", *(f"x{i}.csv" for i in range(5)), content=b"PK\x03\x04")
    for text in (str(tree), str(tree / "**" / "*")):
        with pytest.warns(UserWarning, match=r"left out as no images: 7 files of .*cells\.zip.*, \.\.\.\)"):
            items = read_input(text)
        assert found(tree, items) == ["0.bmp", "a/deep/3.tiff", "b/1.png", "b/2.JPG"]


def test_images_of_any_kind_and_name_have_a_row(tree):
    names = ["c/1.webp", "c/2.gif", "c/3.jfif", "c/4.jp2", "c/5.heic", "c/6.svs", "c/7.dcm", "c/8.avif"]
    put(tree, *names)
    put(tree, "c/a", "c/b.dat", "c/c.png.bak", content=b"\xff\xd8\xff\xe0" + bytes(20))
    items = read_input(str(tree))
    assert found(tree, items)[4:] == [*names, "c/a", "c/b.dat", "c/c.png.bak"]
    assert [item.path for item in read_input(str(tree / "c" / "*"))] == [item.path for item in items[4:]]
    for name in ("c/a", "c/1.webp", "c/5.heic"):
        assert found(tree, read_input(str(tree / name))) == [name]


LEFT = (
    "@eaDir/0.bmp/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX/b/1.png",
    "b/Thumbs/1.png",
    "lost+found/9.jpg",
    "._0.bmp",
)


def test_what_systems_leave_is_passed_over_in_folders_and_patterns(tree):
    put(tree, *LEFT, "b/Thumbs.db", "b/desktop.ini", "b/@eaDir/1.png@SynoEAStream", "#recycle/8.png")
    expected = ["0.bmp", "a/deep/3.tiff", "b/1.png", "b/2.JPG"]
    assert found(tree, read_input(str(tree))) == expected
    assert found(tree, read_input(str(tree / "**" / "*"))) == expected
    assert len(read_input(str(tree / "@eaDir" / "*" / "*"))) == 1  # asked for by its name


def test_what_systems_leave_has_a_row_with_the_reason_in_lists(tree):
    paths = ["0.bmp", *LEFT, ""]
    (tree / "list.csv").write_text("path,group\n" + "".join(f'"{path}",p\n' for path in paths))
    for items in (read_input(str(tree / "list.csv")), read_input("-", lines=[f"{path}\n" for path in paths])):
        assert items[0].fault == ""
        assert [item.path for item in items[1:6]] == list(LEFT)
        assert all("a thumbnail or note that a system left" in item.fault for item in items[1:6])
    assert read_input(str(tree / "list.csv"))[-1].fault == "the path is empty"


def test_a_path_that_no_system_takes_is_a_row_with_the_reason(tree):
    """`os.stat` raises no OSError of it."""
    (tree / "list.csv").write_text("path,label,content\na\0b.png,A,00\n0.bmp,A,\n")
    for items in (read_input(str(tree / "list.csv")), read_input("-", lines=["a\0b.png\n", "0.bmp\n"])):
        assert [bool(item.fault) for item in items] == [True, False]
    assert input_labels(str(tree / "list.csv"), items, ["A"]) == ["A", "A"]


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (
            b"PK\x03\x04" + bytes(30),
            "cells.zip",
            "is a ZIP archive, neither an image.*: unpack it",
        ),
        (b"PK\x03\x04" + bytes(30), "cells.xlsx", "is a spreadsheet, .*: save it as CSV in UTF-8"),
        (b"PK\x03\x04" + bytes(30), "cells.npz", "is a NumPy archive"),
        (b"\x1f\x8b\x08" + bytes(30), "cells.tar.gz", "is a gzip archive"),
        (bytes(257) + b"ustar" + bytes(30), "cells.tar", "is a tar archive"),
        (b"%PDF-1.7\xff", "report.pdf", "is a PDF file, neither an image nor a CSV file"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(tree, content, name, reason):
    put(tree, name, content=content)
    with pytest.raises(UserError, match=reason):
        read_input(str(tree / name))


def test_pipes_do_not_hang(tree):
    os.mkfifo(tree / "a" / "x.png")
    assert "a/x.png" in found(tree, read_input(str(tree / "a"))[-1:])[0]
    os.mkfifo(tree / "list.csv")
    with pytest.raises(UserError, match="is a pipe, socket or device: give the paths on standard input"):
        read_input(str(tree / "list.csv"))
    batches = read_batches(read_input(str(tree / "a" / "x*")), [], 2, thumbnails=True, workers=1)
    assert [list(batch.errors) for batch in batches] == [["not a file but a pipe, socket or device"]]


def test_links_in_a_circle_have_a_row(tree):
    (tree / "z.png").symlink_to(tree / "z.png")
    (tree / "y.png").symlink_to(tree / "gone.png")
    items = read_input(str(tree))
    assert found(tree, items)[-2:] == ["y.png", "z.png"]
    (batch,) = read_batches(items[-2:], [], 2, thumbnails=False, workers=1)
    assert all(error.startswith("unreadable (") for error in batch.errors)


def test_faults_of_a_list_are_the_errors(tree):
    items = read_input("-", lines=["@eaDir/1.png"])
    (batch,) = read_batches(items, [], 2, thumbnails=False, workers=1)
    assert batch.errors == (items[0].fault,)


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


def test_hidden_folders_with_images_are_passed_over_and_named(tree):
    put(tree, ".patient1/deep/5.jpg", ".git/config", "@eaDir/1.jpg")
    for number in range(25):  # which may not be walked
        (tree / ".links" / str(number)).parent.mkdir(exist_ok=True)
        (tree / ".links" / str(number)).symlink_to(tree / "b")
    with pytest.warns(UserWarning, match=r"with images are passed over: \.links, \.patient1$"):
        assert len(read_input(str(tree))) == 4


@pytest.mark.parametrize(
    ("folders", "classes", "taken"),
    [
        (["LYT", "odd one", "unsorted"], ["LYT", "Odd-One"], False),
        (["LYT"], ["LYT"], False),
        (["BL", "MY", "LYT"], ["LYT", "MON"], True),  # of patients, one of whom is called as a class
        (["slide1", "slide2"], ["LYT"], True),
    ],
)
def test_folders_with_the_names_of_classes_are_no_patients(tmp_path, folders, classes, taken, recwarn):
    put(tmp_path, *(f"{name}/1.png" for name in folders))
    items = read_input(str(tmp_path))
    found = without_class_folders(str(tmp_path), items, classes)
    assert [item.group for item in found] == (sorted(folders) if taken else [""] * len(folders))
    assert [item.file for item in found] == [item.file for item in items]
    assert len(recwarn) == (not taken)
    assert without_class_folders("", items, classes) is items


def test_paths_of_a_list_that_were_written_on_windows_are_found(tree):
    (tree / "list.csv").write_text("path,group\nb\\1.png,p1\nb\\9.png,p1\n")
    first, second = read_input(str(tree / "list.csv"))
    assert first.file == str(tree / "b" / "1.png")
    assert second.file == str(tree / "b\\9.png")


@pytest.mark.parametrize(
    ("columns", "values", "group", "of_slide"),
    [("slide", "s1", "s1", True), ("slide,group", "s1,p1", "p1", False), ("case", "c1", "c1", False)],
)
def test_slides_are_told_from_patients(tree, columns, values, group, of_slide):
    (tree / "list.csv").write_text(f"path,{columns}\nb/1.png,{values}\n")
    (item,) = read_input(str(tree / "list.csv"))
    assert (item.group, item.of_slide) == (group, of_slide)


@pytest.mark.parametrize("name", ["Nan", "NaT"])
def test_a_group_that_no_list_of_labels_may_have_is_refused_before_anybody_labels(tree, name):
    """Else the file that the review page saves is refused by training."""
    (tree / "list.csv").write_text(f"path,patient\nb/1.png,p1\nb/2.png,{name}\n")
    with pytest.raises(UserError, match=f"line 3: patient is {name}, .*a value that is missing"):
        read_input(str(tree / "list.csv"))
    put(tree, f"{name}/1.png")
    with pytest.raises(UserError, match=f"{name}: the folder of a group is {name}, .*: rename it"):
        read_input(str(tree))


def test_a_name_that_is_not_utf_8_is_written_so_that_anybody_can_read_it(tmp_path):
    put(tmp_path, b"latin\xe9.jpg".decode("utf-8", "surrogateescape"))
    (item,) = read_input(str(tmp_path))
    assert item.path.endswith("latin\\xe9.jpg")
    assert os.path.exists(item.file)
    item.path.encode("utf-8")


def test_columns_of_a_list_that_are_not_used_are_named_where_no_group_is_known(tree):
    (tree / "list.csv").write_text("path,Patientennummer\nb/1.png,p2\n")
    with pytest.warns(UserWarning, match="no column of .* is called group, .* not used: patientennummer"):
        (item,) = read_input(str(tree / "list.csv"))
    assert item.group == ""
    (tree / "list.csv").write_text("path,label,seen,Patient,more\nb/1.png,LYT,yes,p2,1\n")
    assert read_input(str(tree / "list.csv"))[0].group == "p2"
