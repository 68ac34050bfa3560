import csv
import dataclasses
import io
import ntpath
import os
import re
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from asae_jax.errors import UserError
from asae_jax.input import csv_rows
from asae_jax.input.content import image_content
from asae_jax.input.decode import BadImage, read_image
from asae_jax.input.manifest import UNSEEN, manifest_index, read_entries

FILES = ("a/1.png", "a/2.png", "b, c/3.png", "é.png")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("manifest")
    for level, name in enumerate(FILES):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((10, 12, 3), level, np.uint8)).save(root / name)
    return root


@pytest.fixture
def own_root(root, tmp_path):
    """A copy to be changed."""
    return shutil.copytree(root, tmp_path / "root")


def write(root, text, encoding="utf-8"):
    path = root / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_all_columns_in_any_order_with_others_between(root, encoding, newline):
    lines = [
        "Label, path ,comment,SPLIT,group",
        "LYT,a/2.png,x,val,p1",
        "",
        ",,,,",
        "BLA,a/./1.png,,train,p2",
        'LYT,"b, c/3.png",,Test,p1',
        "é,é.png,y,validation,p3,,",
    ]
    index = manifest_index(write(root, newline.join(lines), encoding))
    assert index.source == "csv"
    assert index.class_names == ("BLA", "LYT", "é")
    assert index.names.tolist() == ["a/2.png", "a/1.png", "b, c/3.png", "é.png"]
    assert index.labels.tolist() == [1, 0, 1, 2]
    assert index.groups.tolist() == ["p1", "p2", "p1", "p3"]
    assert index.splits.tolist() == ["validation", "train", "test", "validation"]
    assert [int(index.read(row)[0, 0, 0]) for row in range(4)] == [1, 0, 2, 3]
    assert index.sizes.tolist() == [(root / name).stat().st_size for name in index.names]


def test_the_optional_columns_may_be_left_out(root):
    index = manifest_index(write(root, "path,label\na/1.png,A\n"))
    assert index.groups is None
    assert index.splits is None


def test_missing_files_are_skipped_and_named_with_their_line(root):
    (root / "bad.png").write_bytes(b"text")
    text = "path,label\na/1.png,A\nno.png,B\na,A\nbad.png,A\n" + "x" * 400 + ".png,A\n"
    index = manifest_index(write(root, text))
    assert index.names.tolist() == ["a/1.png", "bad.png"]
    assert index.class_names == ("A", "B")
    assert [name for name, _ in index.skipped][:2] == ["no.png", "a"]
    assert [reason for _, reason in index.skipped][:2] == [
        "missing (No such file or directory) (line 3 of list.csv)",
        "not a file (line 4 of list.csv)",
    ]
    with pytest.raises(BadImage, match=r"bad\.png"):
        index.read(1)


def test_what_systems_leave_is_skipped_and_named(root):
    (root / "a" / "@eaDir").mkdir()
    (root / "a" / "@eaDir" / "1.png").write_bytes((root / "a" / "1.png").read_bytes())
    index = manifest_index(write(root, "path,label\na/1.png,A\na/@eaDir/1.png,A\n"))
    assert index.names.tolist() == ["a/1.png"]
    reason = "a thumbnail or note that a system left, not the image itself (@eaDir) (line 3 of list.csv)"
    assert index.skipped == (("a/@eaDir/1.png", reason),)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04\xff" + bytes(30), "is a ZIP archive, not a CSV file: unpack it"),
        (b"RIFF\xff\0\0\0WEBPVP8 ", "is a WebP image, not a CSV file: list images in a CSV file"),
        (b"\xd0\xcf\x11\xe0" + bytes(30), "is an Excel, Word .*: save it as CSV in UTF-8"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(root, data, what):
    (root / "list.csv").write_bytes(data)
    with pytest.raises(UserError, match=what):
        manifest_index(root / "list.csv")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "column 'path' is missing"),
        ("a/1.png,A\n", 1, "column 'path' is missing: .*path,label\\[,group\\]\\[,split\\]"),
        ("path,group;label\na/1.png,g;A\n", 1, "by commas and by semicolons: put the same between all"),
        ("path;group\na/1.png;g\n", 1, "'label' is missing: .*by commas or by semicolons"),
        ("path;label\na/1.png;A;B\n", 2, "3 values for 2 columns: put values that hold a semicolon into"),
        ("path,label,Label\n", 1, "'label' is there twice"),
        ("path,label\na/1.png,A\n,A\n", 3, "empty path"),
        ("path,label\na/1.png, \n", 2, "empty label"),
        ("path,label,group\na/1.png,A,\n", 2, "empty group"),
        ('path,label\n"a/1.png","A\nB"\n', 2, "unprintable"),
        ("path,label,split\na/1.png,A,train\na/2.png,A,dev\n", 3, "unknown split 'dev'"),
        ("path,label,split\na/1.png,A,\n", 2, "unknown split ''"),
        ("path,label\na/1.png,A\n\na/2.png,A\na/../a/1.png,B\n", 5, "listed already in line 2"),
        (
            "path,label\na/1.png\n",
            2,
            "1 values for 2 columns: put a comma between all values, empty ones too",
        ),
        (
            "path;label\na/1.png,A\n",
            2,
            "1 values for .*: the header has a semicolon .*, here is a comma: put",
        ),
        (
            "path,label\na/1.png;A\n",
            2,
            "1 values for .*: the header has a comma .*, here is a semicolon: put",
        ),
        ("sep=;\npath;label;x\na,b;A\n", 3, "2 values for 3 columns: put a semicolon between all values"),
        ("sep=,\npath,label\na/1.png\n", 3, "1 values for 2 columns"),
        ("sep=;\r\n\r\npath;label\r\na/1.png;A;B\r\n", 4, "3 values for 2 columns: .*semicolon"),
        ("\n ,\npath,name\n", 3, "'label' is missing"),
        ('sep=;\npath;label\na/2.png;A\n"a/1.png;A\n', 4, "check its quotes"),
        ("sep=;\n", 1, "'path' is missing"),
        ("\n\n", 1, "'path' is missing"),
        ("path,label\nb, c/3.png,A\n", 2, "3 values for 2 columns"),
        ('path,label\n"a/1.png"x,A\n', 2, "check its quotes"),
        ('path,label\na/2.png,A\n"a/1.png,A\n', 3, "check its quotes"),
        (b"path,label\na/1.png,A\n\xff.png,A\n", 3, "not UTF-8"),
        ("path,label\na/1.png,A\n".encode("utf-16"), 1, "not UTF-8"),
    ],
)
def test_errors_name_file_and_line(root, text, line, what):
    path = write(root, text)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}, line {line}: .*{what}"):
        manifest_index(path)


def _fields(index):
    return [index.class_names, *(array.tolist() for array in (index.names, index.labels, index.groups))]


def test_what_excel_saves_where_the_decimal_sign_is_a_comma_is_the_same_list(root):
    """With semicolons, a byte order mark and Windows' line ends; a comma is a letter then."""
    rows = [("a/1.png", "band, late", "Müller; Jan"), ("b, c/3.png", "'=A", "p 1,5"), ("é.png", "'=A", "p2")]
    table = [("path", "label", "patient"), *rows]
    indexes = []
    for separator, encoding in ((",", "utf-8"), (";", "utf-8-sig")):
        stream = io.StringIO(newline="")
        csv.writer(stream, delimiter=separator).writerows(table)
        indexes.append(_fields(manifest_index(write(root, stream.getvalue(), encoding))))
    assert "b, c/3.png;'=A;p 1,5\r\n" in stream.getvalue()
    assert indexes[0] == indexes[1]
    assert indexes[1][0] == ("=A", "band, late"), "apostrophes before formulas are taken off"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    ("before", "separator"),
    [
        ("sep=;\r\n", ";"),
        ("sep=,\n", ","),
        ('"SEP=;"\r', ";"),
        ("sep=;;;\r\n\r\n", ";"),
        ("\r\n \r\n", ";"),
        ("\n\n", ","),
        (";;\r\n", ";"),
        (",,\n", ","),
        ('"";"";""\n', ";"),
    ],
)
def test_a_line_for_excel_and_blank_lines_before_the_header_change_nothing(root, before, separator, encoding):
    text = "path;label;patient\na/1.png;A;p1\n\né.png;B;p2\n".replace(";", separator)
    expected = _fields(manifest_index(write(root, text, encoding)))
    assert expected == [("A", "B"), ["a/1.png", "é.png"], [0, 1], ["p1", "p2"]]
    assert _fields(manifest_index(write(root, before + text, encoding))) == expected


def test_what_separates_is_what_the_line_for_excel_says(root):
    text = "sep=;\npath;label;remark, place\na/1.png;A,B;x\n"
    assert manifest_index(write(root, text)).class_names == ("A,B",)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("path,label,remark; place", "a/1.png,A;B,x"),
        ('"path",label,"a;b"', "a/1.png,A;B,x"),
        ('path;label;"remark, place"', 'a/1.png;"A;B";x,y'),
    ],
)
def test_commas_separate_where_the_header_has_one_between_columns(root, header, row):
    assert manifest_index(write(root, f"{header}\n{row}\n")).class_names == ("A;B",)


@pytest.mark.parametrize(("rows", "count"), [("", 0), ("no.png,A\nnor.png,A\n", 2)])
def test_a_list_without_an_image_says_where_paths_start(root, rows, count):
    path = write(root, "path,label\n" + rows)
    with pytest.raises(UserError, match=rf"lists {count} images and none.*relative to {root}"):
        manifest_index(path)


def test_a_missing_list(tmp_path):
    with pytest.raises(UserError, match=r"no\.csv \(No such file"):
        manifest_index(tmp_path / "no.csv")


texts = st.text(st.characters(codec="utf-8"), max_size=6)
fuzz = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@pytest.mark.filterwarnings("ignore:.*looks garbled")
@fuzz
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*FILES, "no.png", "a"]), texts, texts, st.sampled_from(["train", "val", "x"])
        ),
        max_size=4,
        unique_by=lambda row: row[0],
    )
)
def test_whatever_a_csv_writer_writes_is_refused_or_read_as_written(root, rows):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("path", "label", "group", "split"), *rows])
    path = write(root, stream.getvalue())
    fine = all(
        label.strip() and label.strip().isprintable() and group.strip() and group.strip().isprintable()
        and split != "x" for _, label, group, split in rows
    )  # fmt: skip
    there = [(name, label.strip(), group.strip()) for name, label, group, _ in rows if name in FILES]
    if not (fine and there):
        with pytest.raises(UserError):
            manifest_index(path)
        return
    index = manifest_index(path)
    labels = [index.class_names[number] for number in index.labels]
    assert [*zip(index.names.tolist(), labels, index.groups.tolist(), strict=True)] == there
    assert len(index.skipped) == len(rows) - len(there)


@fuzz
@given(st.lists(st.sampled_from(["path", "label", ",", "\n", '"', "a/1.png", "é.png", "A", " ", "\r", "\0"])))
def test_scrambled_text_is_refused_or_read_as_the_csv_module_reads_it(root, pieces):
    text = "path,label\n" + "".join(pieces)
    try:
        index = manifest_index(write(root, text))
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 - not every text is refused
        return
    read = {row["path"].strip(): row["label"] for row in csv.DictReader(io.StringIO(text, newline=""))}
    for name, number in zip(index.names, index.labels, strict=True):
        assert read[name].strip() == index.class_names[number]


@fuzz
@given(st.binary(max_size=60))
def test_bytes_are_refused_in_one_line(root, data):
    with pytest.raises(UserError) as error:
        manifest_index(write(root, data))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "column",
    ["patient", "Patient ID", "slide", "subject", "case", "Case-ID", "donor", "smear_id", "PatientID"],
)
def test_columns_for_what_belongs_together_are_groups(root, column):
    index = manifest_index(write(root, f"path,label,{column}\na/1.png,A,p1\na/2.png,B,p2\n"))
    assert index.groups.tolist() == ["p1", "p2"]
    assert "tells which images belong together" in index.notes[0]


def test_of_several_the_widest_is_the_group_and_the_others_are_named(root):
    text = "path,label,slide,patient,stain\na/1.png,A,s1,p1,x\na/2.png,B,s2,p1,x\n"
    index = manifest_index(write(root, text))
    assert index.groups.tolist() == ["p1", "p1"]
    assert index.notes[-1] == "columns of list.csv that are not used: slide, stain"
    named = manifest_index(write(root, "path,label,patient,group\na/1.png,A,p1,g1\n"))
    assert named.groups.tolist() == ["g1"]
    assert named.notes == ("columns of list.csv that are not used: patient",)


def test_a_patient_that_is_not_given_is_refused(root):
    with pytest.raises(UserError, match="line 3: empty patient"):
        manifest_index(write(root, "path,label,patient\na/1.png,A,p1\na/2.png,B,\n"))


REVIEWED = "path,label,predicted,seen\na/1.png,A,B,yes\na/2.png,B,B,no\né.png,C,C,No\n"


def test_labels_that_nobody_looked_at_are_left_out(root):
    index = manifest_index(write(root, REVIEWED))
    assert index.names.tolist() == ["a/1.png"]
    assert index.class_names == ("A",), "a class that no one gave is none"
    assert [reason for _, reason in index.skipped] == [
        f"{UNSEEN} (line {line} of list.csv)" for line in (3, 4)
    ]
    assert "2 rows of list.csv are left out" in index.notes[0]


def test_guesses_are_taken_when_asked_for_and_counted(root):
    index = manifest_index(write(root, REVIEWED), unseen=True)
    assert index.class_names == ("A", "B", "C")
    assert "2 labels of list.csv are a network's guesses" in index.notes[0]


def test_a_list_of_guesses_alone_is_refused(root):
    with pytest.raises(UserError, match=r"nobody looked at the labels of 1 .*data\.unseen=True"):
        manifest_index(write(root, "path,label,seen\na/1.png,A,no\n"))


def test_what_a_person_left_out_is_not_trained_on(root):
    columns = "path,label,seen,reviewer,reviewed,run,reason"
    text = f"{columns}\na/1.png,A,yes,Kim,,0a,\na/2.png,,yes,Kim,,0a,artefact\n"
    index = manifest_index(write(root, text))
    assert (index.names.tolist(), index.class_names) == (["a/1.png"], ("A",))
    assert index.skipped == (("a/2.png", "a person left it out: artefact (line 3 of list.csv)"),)
    assert any("1 rows of list.csv are left out, as a person" in note for note in index.notes)
    assert not any("not used" in note or "another class" in note for note in index.notes)


def test_a_row_without_label_needs_a_reason(root):
    with pytest.raises(UserError, match="line 3: empty label"):
        manifest_index(write(root, "path,label,reason\na/1.png,A,\na/2.png,,\n"))
    with pytest.raises(UserError, match="a person left out all of them"):
        manifest_index(write(root, "path,label,reason\na/1.png,,artefact\n"))


@pytest.mark.parametrize("value", ["maybe", "2024-01-01"])
def test_seen_is_yes_or_no(root, value):
    with pytest.raises(UserError, match=f"line 2: seen is {value!r}"):
        manifest_index(write(root, f"path,label,seen\na/1.png,A,{value}\n"))


def test_one_file_under_two_spellings_or_labels_is_named(root, tmp_path):
    (tmp_path / "link.png").symlink_to(root / "a" / "2.png")
    for other in (f"{root}/a/2.png", f"{tmp_path}/link.png", "a\\2.png"):
        text = f"path,label\na/1.png,A\na/2.png,A\n{other},B\n"
        with pytest.raises(UserError, match=r"line 4: .* listed already in line 3.*label A, here B"):
            manifest_index(write(root, text))


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_that_says_the_same_is_listed_once(root, tmp_path, link):
    """As the review page saves a folder with links in it."""
    link(root / "a" / "2.png", tmp_path / "link.png")
    header, same = "path,label,seen,content", f"{tmp_path}/link.png,A,yes,0c"
    index = manifest_index(write(root, f"{header}\na/1.png,B,yes,0a\na/2.png,A,yes,0c\n{same}\n"))
    assert index.names.tolist() == ["a/1.png", "a/2.png"]
    reason = "another name of a/2.png, which is listed already in line 3 (line 4 of list.csv)"
    assert index.skipped == ((f"{tmp_path}/link.png", reason),)
    for other in (
        f"{tmp_path}/link.png,B,yes,0c", f"{tmp_path}/link.png,A,no,0c", f"{tmp_path}/link.png,A,yes,0d",
        f"{tmp_path}/link.png,A,yes,", "a/2.png,A,yes,0c",
    ):  # fmt: skip
        with pytest.raises(UserError, match=r"line 3: .* listed already in line 2"):
            manifest_index(write(root, f"{header}\na/2.png,A,yes,0c\n{other}\n"))


@pytest.mark.parametrize("column", ["label", "patient"])
def test_a_name_that_a_spreadsheet_garbled_is_pointed_out_once(root, column):
    """Excel opens a file without byte-order mark in its code page, and saves the wrong letters as UTF-8."""
    names = ["Müller", "Ångström", "Muller"]
    given = [name.encode().decode("cp1252") for name in names]
    rows = [
        f"{file},{name if column == 'label' else 'A'},{name}"
        for file, name in zip(FILES, given, strict=False)
    ]
    path = write(root, "\n".join(["path,label,patient", rows[2], rows[0], rows[1]]).replace("b, c", "a"))
    with pytest.warns(UserWarning, match="looks garbled") as told:
        read_entries(path, unseen=False)
    (warning,) = told
    assert str(warning.message).startswith(f"{path}, line 3: MÃ¼ller looks garbled")
    assert "should it be Müller?" in str(warning.message)


@pytest.mark.parametrize("name", ["Müller", "Álvarez", "Íñigo", "Kovačič"])
def test_what_windows_made_of_a_name_is_undone(name):
    """Of five bytes its code page has no letter: it keeps them as control characters."""
    kept = (0x81, 0x8D, 0x8F, 0x90, 0x9D)
    shown = "".join(chr(b) if b in kept else bytes([b]).decode("cp1252") for b in name.encode())
    assert csv_rows._before_it_was_garbled(shown) == name


def test_names_with_letters_of_all_kinds_are_not_called_garbled(root):
    names = ["Müller", "Ångström", "Łukasz", "naïve", "β", "白血病", "Ã", "£5", "Žižka", "E\u0301mile", "½"]
    entries = read_entries(
        write(root, "path,label\n" + "\n".join(f"{n}.png,{n}" for n in names)), unseen=False
    )[2]
    assert [entry.label for entry in entries] == names  # warnings are errors


def test_paths_from_windows_are_found(root):
    index = manifest_index(write(root, "path,label\na\\1.png,A\n.\\a\\2.png,B\n"))
    assert index.names.tolist() == ["a/1.png", "a/2.png"]
    assert index.read(1).max() == 1


def test_names_are_the_same_on_windows(root, monkeypatch):
    """Fingerprints and recorded splits hold them: a run is copied from one system to another."""
    path = write(root, "path,label\na\\1.png,A\n./a/x/../2.png,B\n")
    here = manifest_index(path)
    monkeypatch.setattr(os, "sep", ntpath.sep)
    monkeypatch.setattr(os.path, "normpath", ntpath.normpath)
    there = manifest_index(path)
    assert there.names.tolist() == here.names.tolist() == ["a/1.png", "a/2.png"]
    assert there.fingerprint() == here.fingerprint()


def test_paths_from_windows_that_are_not_found_say_what_was_tried(root):
    with pytest.raises(UserError, match=r"missing \(No such file.*nor is there one with / for"):
        manifest_index(write(root, "path,label\nC:\\cells\\1.png,A\n"))


VALUES = ["nan", "NaN", "#N/A", "#NV", "<NA>", "NaT", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!"]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("column", ["label", "patient"])
def test_what_programs_write_for_a_missing_value_is_no_class_and_no_patient(root, column, value):
    rows = {"label": f"a/1.png,A,p1\na/2.png,{value},p1\n", "patient": f"a/1.png,A,p1\na/2.png,B,{value}\n"}
    with pytest.raises(UserError, match=r"line 3: " + column + " is .*a value that is missing"):
        manifest_index(write(root, f"path,label,patient\n{rows[column]}"))


def test_names_that_only_look_like_a_missing_value_are_classes(root):
    index = manifest_index(write(root, "path,label\na/1.png,NA\na/2.png,None\n"))
    assert index.class_names == ("NA", "None")


@pytest.mark.parametrize("column", ["set", "Subset", "PARTITION", "phase", "fold"])
def test_a_column_that_tells_the_part_is_used_and_named(root, column):
    index = manifest_index(write(root, f"path,label,{column}\na/1.png,A,Train\na/2.png,B,TEST\n"))
    assert index.splits.tolist() == ["train", "test"]
    assert index.notes == (f"the column {column.lower()} of list.csv tells the part of each image",)


@pytest.mark.parametrize("values", ["1,2", "train,holdout", "train,"])
def test_a_column_that_does_not_tell_the_part_is_named_as_not_used(root, values):
    first, second = values.split(",")
    index = manifest_index(write(root, f"path,label,set\na/1.png,A,{first}\na/2.png,B,{second}\n"))
    assert index.splits is None
    assert index.notes == ("columns of list.csv that are not used: set",)


def test_the_column_split_comes_first(root):
    index = manifest_index(write(root, "path,label,set,split\na/1.png,A,test,train\na/2.png,B,train,val\n"))
    assert index.splits.tolist() == ["train", "validation"]
    assert index.notes == ("columns of list.csv that are not used: set",)


def test_labels_that_are_another_class_than_the_folder_are_counted(own_root):
    """As a table has it of which one column was sorted without the others."""
    (own_root / "b").mkdir()
    (own_root / "b/4.png").write_bytes((own_root / "a/1.png").read_bytes())
    index = manifest_index(write(own_root, "path,label\na/1.png,b\na/2.png,a\nb/4.png,a\n"))
    assert len(index.notes) == 1
    assert index.notes[0].startswith("2 labels of list.csv are another class than the image's folder")
    assert "line 2: b for a/1.png" in index.notes[0]
    assert manifest_index(write(own_root, "path,label\na/1.png,a\nb/4.png,b\n")).notes == ()
    assert manifest_index(write(own_root, "path,label\na/1.png,x\nb/4.png,y\n")).notes == ()


def test_a_cell_that_was_left_out_or_a_folder_above_contradicts_no_label(own_root):
    rows = [f"{own_root}/a/1.png,a,", f"{own_root}/a/2.png,,artefact"]
    assert (
        len(manifest_index(write(own_root, "\n".join(["path,label,reason", *rows]))).notes) == 1
    )  # left out
    above = own_root / "MO"
    for name in ("1.png", "2.png"):
        (above / "cells").mkdir(parents=True, exist_ok=True)
        (above / "cells" / name).write_bytes((own_root / "a/1.png").read_bytes())
    table = "path,label\nMO/cells/1.png,MO\nMO/cells/2.png,LY\n"
    assert manifest_index(write(own_root, table)).notes == ()


def test_a_label_given_to_a_picture_does_not_pass_to_another_of_its_name(own_root):
    contents = [image_content(read_image(own_root / f"a/{number}.png")) for number in (1, 2)]
    text = f"path,label,seen,content\na/1.png,A,yes,{contents[0]}\na/2.png,B,yes,{contents[1].upper()}\n"
    index = manifest_index(write(own_root, text))
    assert index.notes == ()
    assert index.read(0).shape == index.read(1).shape
    (own_root / "a/2.png").write_bytes((own_root / "a/1.png").read_bytes())
    with pytest.raises(BadImage, match="not the picture that was labelled"):
        index.read(1)
    assert index.read(0).shape
    other = manifest_index(write(own_root, f"path,label,content\na/1.png,A,{contents[1]}\na/2.png,B,\n"))
    with pytest.raises(BadImage, match="not the picture that was labelled"):
        other.read(0)
    assert other.read(1).shape  # nothing is known of it
    assert other.cache_key() != index.cache_key()


def test_a_second_test_that_merge_set_aside_is_left_out_and_gives_no_class(root):
    text = "path,label,split,group\na/1.png,A,train,p\na/2.png,B,Test,q\né.png,C,aside,r\n"
    index = manifest_index(write(root, text))
    assert index.class_names == ("A", "B")
    assert index.splits.tolist() == ["train", "test"]
    assert index.skipped == (("é.png", "set aside as a second test (split aside) (line 4 of list.csv)"),)


def test_images_of_no_group_are_no_patient_and_not_kept_together(root):
    text = 'path,label,group\na/1.png,A,p\na/2.png,B,no group\né.png,C,no group\n"b, c/3.png",C,p\n'
    index = manifest_index(write(root, text))
    assert len(set(index.groups.tolist())) == 3
    assert index.groups[0] == index.groups[3] == "p"
    assert index.notes == (
        "2 images of list.csv belong to no group: a split takes each by itself, and none counts as a patient "
        "or slide",
    )
    together = dataclasses.replace(index, groups=np.array(["p", "no group", "no group", "p"]))
    assert index.fingerprint() == together.fingerprint()  # runs of earlier versions can be opened


def test_a_list_of_images_of_no_group_knows_no_groups(root):
    text = "path,label,group\na/1.png,A,no group\na/2.png,B,no group\n"
    assert manifest_index(write(root, text)).groups is None


def test_where_a_label_comes_from_is_not_a_column_without_use(root):
    columns = "predicted,reviewer,reviewed,run,reason,origin,known_group"
    text = f"path,label,{columns}\na/1.png,A,B,me,2026-01-01T10:00Z,first,page,list.csv,p\na/2.png,B,,,,,,,\n"
    index = manifest_index(write(root, text))
    assert index.notes == ()
    assert index.groups is None
    entry = read_entries(root / "list.csv", unseen=False)[2][0]
    assert entry.provenance == dict(
        zip(
            columns.split(","),
            ("B", "me", "2026-01-01T10:00Z", "first", "page", "list.csv", "p"),
            strict=True,
        )
    )
    assert read_entries(root / "list.csv", unseen=False)[2][1].provenance == {}


def test_a_row_without_a_label_needs_the_reason_why_a_person_left_it_out(root):
    index = manifest_index(write(root, "path,label,reason\na/1.png,A,\na/2.png,,artefact\n"))
    assert (index.class_names, index.names.tolist()) == (("A",), ["a/1.png"])
    assert index.skipped == (("a/2.png", "a person left it out: artefact (line 3 of list.csv)"),)
    with pytest.raises(UserError, match="line 3: empty label"):
        manifest_index(write(root, "path,label,reason\na/1.png,A,x\na/2.png,,\n"))
    with pytest.raises(UserError, match="a person left out all of them"):
        manifest_index(write(root, "path,label,reason\na/2.png,,artefact\n"))


@pytest.mark.parametrize(
    "text",
    [
        "path,label,probability,error,for_person\na/1.png,A,0.9,,no\na/2.png,,,broken,yes\n",
        "path,label,probability,error,group,for_person\na/1.png,A,0.9,,p1,no\na/2.png,,,broken,,yes\n",
        "path,true,label,probability\na/1.png,B,A,0.9\na/2.png,B,,0.9\n",  # of `evaluate`
    ],
)
def test_what_a_command_wrote_is_no_label(root, text):
    """Its labels are a network's guesses, and rows of images that it could not read have none."""
    path = write(root, text)
    with pytest.raises(UserError, match=r"none can be used: nobody looked at the labels of 2 \(seen=no\)"):
        manifest_index(path)
    index = manifest_index(path, unseen=True)
    assert (index.class_names, list(index.names)) == (("A",), ["a/1.png"])
    _, _, entries = read_entries(path, unseen=False)
    assert [entry.fault for entry in entries] == [
        "nobody looked at its label (seen=no, or predictions without a column seen)"
    ] * 2


def test_a_person_who_corrected_such_a_file_says_so(root):
    path = write(root, "path,label,for_person,seen\na/1.png,A,yes,yes\na/2.png,B,no,no\n")
    assert list(manifest_index(path).names) == ["a/1.png"]
