import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asae_jax.errors import UserError
from asae_jax.input.class_map import (
    alike_names,
    check_trainable_classes,
    map_classes,
    mapped_to,
    read_class_map,
)
from asae_jax.input.index import DataIndex

CLASSES = ("BLA", "LYT", "NGB", "NGS", "ART")
LABELS = np.array([0, 4, 3, 1, 2, 3], np.int32)


def some_index(labels=LABELS):
    names = np.array([f"{row}.png" for row in range(len(labels))])
    groups = np.array([f"p{row % 2}" for row in range(len(labels))])
    read = lambda row: np.full((8, 8, 3), row, np.uint8)  # noqa: E731
    return DataIndex("test", CLASSES, names, labels, read, groups=groups, skipped=(("x", "y"),))


def write(tmp_path, text):
    (tmp_path / "map.csv").write_text(text, encoding="utf-8")
    return tmp_path / "map.csv"


def test_a_map_is_read_as_written(tmp_path):
    path = write(tmp_path, "To,from,why\nNEU,NGB,x\nNEU,NGS,\n\n,ART,\n")
    assert read_class_map(path) == {"NGB": "NEU", "NGS": "NEU", "ART": ""}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("from\nA\n", 1, "column 'to' is missing"),
        ("from,to\nA,B\n,C\n", 3, "empty from"),
        ("from,to\nA,B\nA,C\n", 3, "class A is mapped twice"),
        ("from,to\nA\n", 2, "1 values for 2 columns"),
        ("from,to\nA,B\nC,#N/A\n", 3, "to is #N/A, which programs write for a value that is missing"),
        ("from,to\nA,nan\n", 2, "to is nan, which programs write for a value that is missing"),
    ],
)
def test_errors_name_file_and_line(tmp_path, text, line, what):
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}, line {line}: {what}"):
        read_class_map(path)


COMPOSED, APART = "\u00c9osinophile", "E\u0301osinophile"
"""One name to a reader; folders from a Mac have the second."""


@pytest.mark.parametrize(("written", "there"), [(COMPOSED, APART), (APART, COMPOSED), (APART, APART)])
def test_a_map_knows_names_in_any_unicode_form(tmp_path, written, there):
    mapping = read_class_map(write(tmp_path, f"from,to\n{written},EOS\nBLA,\n"))
    index = dataclasses.replace(some_index(), class_names=("BLA", there, "NGB", "NGS", "ART"))
    assert map_classes(index, mapping).class_names == ("EOS", "NGB", "NGS", "ART")
    assert (mapped_to(there, mapping), mapped_to("BLA", mapping), mapped_to("NGB", mapping)) == (
        "EOS",
        "",
        None,
    )
    with pytest.raises(UserError, match="mapped twice"):
        read_class_map(write(tmp_path, f"from,to\n{COMPOSED},A\n{APART},B\n"))


def test_classes_are_merged_renamed_and_dropped():
    index = map_classes(some_index(), {"NGB": "NEU", "NGS": "NEU", "ART": "", "LYT": "lymphocyte"})
    assert index.class_names == ("BLA", "lymphocyte", "NEU")
    assert index.names.tolist() == ["0.png", "2.png", "3.png", "4.png", "5.png"]
    assert [index.class_names[label] for label in index.labels] == ["BLA", "NEU", "lymphocyte", "NEU", "NEU"]
    assert [int(index.read(row)[0, 0, 0]) for row in range(5)] == [0, 2, 3, 4, 5]
    assert index.groups.tolist() == ["p0", "p0", "p1", "p0", "p1"]
    assert index.skipped == (("x", "y"), ("1.png", "class ART is dropped by the class map"))
    assert index.fingerprint() != some_index().fingerprint()


def test_a_class_may_be_merged_into_one_that_keeps_its_name():
    index = map_classes(some_index(), {"NGS": "NGB"})
    assert index.class_names == ("BLA", "LYT", "NGB", "ART")
    assert index.labels.tolist() == [0, 3, 2, 1, 2, 2]


def test_names_may_be_exchanged():
    index = map_classes(some_index(), {"BLA": "LYT", "LYT": "BLA"})
    assert [index.class_names[label] for label in index.labels] == ["LYT", "ART", "NGS", "BLA", "NGB", "NGS"]


def test_an_empty_map_changes_nothing():
    assert map_classes(some_index(), {}).fingerprint() == some_index().fingerprint()


def test_unknown_classes_are_named_beside_those_left_out():
    with pytest.raises(UserError, match=r"\(MON, EOS\).*leaves out.*\(LYT, NGB, NGS, ART\)"):
        map_classes(some_index(), {"MON": "A", "BLA": "A", "EOS": ""})


def test_a_map_of_all_classes_may_name_more():
    mapping = dict.fromkeys(CLASSES, "cell") | {"MON": "cell", "EOS": ""}
    assert map_classes(some_index(), mapping).class_names == ("cell",)


def test_dropping_everything_is_refused():
    with pytest.raises(UserError, match="drops every class"):
        map_classes(some_index(), dict.fromkeys(CLASSES, ""))


@given(
    st.dictionaries(st.sampled_from(CLASSES), st.sampled_from(["", "X", "Y", "BLA", "NGS"])),
    st.lists(st.integers(0, 4), min_size=1, max_size=30),
)
def test_every_example_has_the_class_that_the_map_says(mapping, labels):
    before = some_index(np.array(labels, np.int32))
    expected = {
        name: mapping.get(CLASSES[label], CLASSES[label])
        for name, label in zip(before.names.tolist(), labels, strict=True)
    }
    if all(mapping.get(name, name) == "" for name in CLASSES):
        return
    index = map_classes(before, mapping)
    got = {
        name: index.class_names[label] for name, label in zip(index.names.tolist(), index.labels, strict=True)
    }
    assert got == {name: to for name, to in expected.items() if to}
    assert {name for name, _ in index.skipped} == {"x"} | {name for name, to in expected.items() if not to}
    assert len(set(index.class_names)) == len(index.class_names)


def _index(*class_names):
    count = len(class_names)
    names = np.array([str(row) for row in range(count)])
    return DataIndex("folder", class_names, names, np.arange(count, dtype=np.int32), lambda row: None)


@pytest.mark.parametrize("other", ["bla", "BLA ", " Bla", "\uff22\uff2c\uff21"])
def test_classes_that_differ_in_spelling_only_are_named(other):
    with pytest.raises(UserError, match=r"'BLA' and .*class_map") as error:
        check_trainable_classes(_index("BLA", "EBO", other))
    assert repr(other) in str(error.value)


def test_unicode_forms_of_one_name_are_alike():
    assert alike_names(["Großzellig", "grosszellig", "caf\u00e9", "cafe\u0301", "x"]) == [
        ("Großzellig", "grosszellig"),
        ("caf\u00e9", "cafe\u0301"),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "001"),
        ("1", "1.0"),
        ("patient 7", "Patient 007"),
        ("slide12", "slide012"),
        ("band neutrophil", "band_neutrophil"),
        ("NK-cell", "NK\u2013cell"),
        ("pro - myelocyte", "pro-myelocyte"),
        ("EO", "'EO'"),
        ("EO", "\u201cEO\u201d"),
        ("EOS", "\u0415OS"),  # Cyrillic E
        ("MMO", "\u039c\u039cO"),  # Greek M
        ("NRBC", "NRBC\u00a0"),
    ],
)
def test_names_that_are_one_to_a_reader_or_a_spreadsheet_are_alike(one, other):
    assert alike_names([one, "something else", other]) == [(one, other)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("BLA-1", "BLA-2"),
        ("1", "10"),
        ("1.05", "1.5"),
        ("1.0", "10"),
        ("M-1", "M-11"),
        ("HLA-DR-", "HLA-DR+"),
        ("CD4-", "CD4"),
        ("1", "-1"),
        ("band 12", "band 1 2"),
        ("type \u03b2", "type B"),
        ("PMO", "PEO"),
    ],
)
def test_names_that_differ_to_a_reader_are_not_alike(one, other):
    assert alike_names([one, other]) == []


def _grouped(*groups):
    labels = np.arange(len(groups), dtype=np.int32) % 2
    names = np.array([str(row) for row in range(len(groups))])
    return DataIndex("csv", ("A", "B"), names, labels, lambda row: None, groups=np.array(groups))


def test_one_patient_in_two_spellings_is_named():
    """In silence its images would be on both sides of a split by patient."""
    with pytest.warns(UserWarning, match=r"'007' and '7'; 'Pat 1' and 'pat 1': .*both sides"):
        check_trainable_classes(_grouped("7", "Pat 1", "007", "pat 1", "8", "p2"))
    check_trainable_classes(_grouped("7", "17", "P1", "P2"))


def test_one_class_is_refused():
    with pytest.raises(UserError, match="one class only, BLA"):
        check_trainable_classes(_index("BLA"))


@pytest.mark.parametrize("value", ["nan", "NaN", "#N/A", "#NV"])
def test_what_programs_write_for_a_missing_value_is_no_class_until_a_map_drops_it(value):
    """As a folder is called that a script made from a table with gaps."""
    index = _index("BLA", "LYT", value)
    with pytest.raises(UserError, match=f"is called {value}, which programs write .*class_map=FILE"):
        check_trainable_classes(index)
    kept = map_classes(index, {value: ""})
    check_trainable_classes(kept)
    assert (kept.class_names, len(kept)) == (("BLA", "LYT"), 2)


def test_names_that_only_look_like_a_missing_value_are_classes(tmp_path):
    check_trainable_classes(_index("NA", "None"))
    assert read_class_map(write(tmp_path, "from,to\nA,NA\nB,None\n")) == {"A": "NA", "B": "None"}
