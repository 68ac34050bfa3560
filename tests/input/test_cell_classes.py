"""The table of classes: complete for the sets we know, and at one with the class maps."""

import csv
from pathlib import Path

import pytest

from asae_jax.errors import UserError
from asae_jax.input.cell_classes import (
    UNKNOWN_COLOURS,
    CellClass,
    cell_classes,
    display_order,
    known_classes,
    shown_colours,
    write_classes,
)
from asae_jax.synthetic import classes

MAPS = sorted((Path(__file__).parents[2] / "data" / "class_maps").glob("*/*.csv"))


@pytest.mark.parametrize("path", MAPS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_merging_classes_keeps_lineage_and_blasts(path):
    """Blasts lose their lineage in a merge, as not every set tells it; nothing else changes."""
    with path.open() as file:
        pairs = [(row["from"], row["to"]) for row in csv.DictReader(file) if row["to"]]
    before = cell_classes(tuple(old for old, _ in pairs))
    after = cell_classes(tuple(new for _, new in pairs))
    for (old, new), a, b in zip(pairs, before, after, strict=True):
        assert a.known, old
        assert b.known, new
        assert a.blast == b.blast, (old, new)
        assert a.blast or a.lineage == b.lineage, (old, new)


def test_built_in_cells_agree_with_how_they_are_drawn():
    lineages = dict(zip(classes.CLASS_NAMES, cell_classes(classes.CLASS_NAMES), strict=True))
    for chain in ("erythroid", "lymphoid", "myeloid"):
        assert {lineages[name].lineage for name in classes.LINEAGES[chain]} == {chain}
    assert {name for name, lineage in lineages.items() if lineage.blast} == {"MYEB", "PRIL"}


def test_names_are_compared_loosely_and_others_are_not_known():
    found = cell_classes(("Plasma cell", "immature granulocytes", "platelet", "unicorn"))
    assert [(one.lineage, one.known) for one in found] == [
        ("lymphoid", True), ("myeloid", True), ("none", True), ("", False),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["\u00c9osinophile", "E\u0301osinophile"])
def test_names_are_known_in_any_unicode_form(name, tmp_path):
    """Composed, as a table of classes is mostly written, and apart, as folders from a Mac are called."""
    other = {"\u00c9": "E\u0301", "E": "\u00c9"}[name[0]] + "osinophile"
    (tmp_path / "classes.csv").write_text(f"class,lineage\n{other},myeloid\n", encoding="utf-8")
    (found,) = cell_classes([name], tmp_path / "classes.csv")
    assert (found.code, found.lineage, found.known) == (name, "myeloid", True)


def test_full_names_are_known_too():
    found = cell_classes(("Artefact", "segmented-neutrophil", "proerythroblast", "blast"))
    assert [(one.code, one.lineage, one.blast) for one in found] == [
        ("Artefact", "none", False), ("segmented-neutrophil", "myeloid", False),
        ("proerythroblast", "erythroid", False), ("blast", "", True),
    ]  # fmt: skip
    names = ("segmented neutrophil", "lymphocyte", "band neutrophil", "metamyelocyte")
    assert display_order(cell_classes(names)) == (3, 2, 0, 1)


def test_own_file(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("Class,Lineage,Blast\nX,Myeloid,Yes\nY,,\n")
    x, y, basophil = cell_classes(("X", "Y", "basophil"), path)
    assert (x.lineage, x.blast, y.lineage, y.blast) == ("myeloid", True, "", False)
    assert not basophil.known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,lineage\nX,myeloyd\n", "line 2: unknown lineage 'myeloyd'"),
        ("class,lineage,blast\nX,myeloid,si\n", "line 2: unknown blast 'si'"),
        ("class,lineage\nX,myeloid\nx,none\n", "line 3: class x is there twice"),
        ("class,colour\nX,blue\n", "line 2: unknown colour 'blue'"),
        ("class,lineage\n,myeloid\n", "line 2: the class has no name"),
        ("class,lineage\nX,myeloid\n#N/A,none\n", "line 3: class is #N/A, which programs write"),
        ("class,name\nX,nan\n", "line 2: name is nan, which programs write"),
        ("name,lineage\nX,myeloid\n", "column 'class' is missing"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, text, message):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        cell_classes(("X",), path)


def test_maturity_decides_the_order_and_unknown_classes_follow():
    names = ("zebra", "SNE", "PMY", "ape", "MMY", "BLA", "MY", "BNE", "PLATELET")
    order = display_order(cell_classes(names))
    assert [names[number] for number in order] == [
        "BLA", "PMY", "MY", "MMY", "BNE", "SNE", "PLATELET", "zebra", "ape",
    ]  # fmt: skip


def test_a_class_of_which_a_file_says_its_place_alone_stands_there(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("class,lineage,colour\nZ,,\nSNE,myeloid,\nY,,#102030\nBLA,,\n")
    names = ("other", "BLA", "SNE", "Y", "Z")
    order = display_order(cell_classes(names, path))
    assert [names[number] for number in order] == ["Z", "SNE", "Y", "BLA", "other"]


def test_drawn_classes_have_their_full_names_and_order():
    """The lineages of the drawn cells are lists by maturity, written down apart."""
    drawn = cell_classes(classes.CLASS_NAMES)
    shown = [classes.CLASS_NAMES[number] for number in display_order(drawn)]
    for chain in classes.LINEAGES.values():
        assert [name for name in shown if name in chain] == list(chain)
    assert all(one.name for one in drawn)


def test_what_is_written_is_read_again(tmp_path):
    told = cell_classes(("SNE", "BLA", "Zelle"))
    write_classes(tmp_path / "classes.csv", told)
    again = cell_classes(("SNE", "BLA", "Zelle"), tmp_path / "classes.csv")
    what = [(one.code, one.name, one.lineage, one.blast, one.colour) for one in told]
    assert [(one.code, one.name, one.lineage, one.blast, one.colour) for one in again] == what
    assert [again[number].code for number in display_order(again)] == ["BLA", "SNE", "Zelle"]


def test_one_name_has_one_lineage_and_colour():
    """Spellings of one cell, such as NGS and SNE, are shown alike."""
    found = {}
    for one in known_classes().values():
        assert one.name
        alike = found.setdefault(one.name, (one.lineage, one.blast, one.colour))
        assert alike == (one.lineage, one.blast, one.colour), one.code


def test_title_says_nothing_twice():
    assert CellClass("SNE", "segmented neutrophil").title == "SNE segmented neutrophil"
    assert CellClass("plasma_cell", "plasma cell").title == "plasma_cell"
    assert CellClass("X").title == "X"


def test_classes_without_a_colour_of_their_own_can_be_told_apart():
    classes = [
        CellClass("b", known=False),
        CellClass("LY", place=4, colour="#102030"),
        CellClass("a", known=False),
    ]
    assert shown_colours(classes) == {"LY": "#102030", "b": UNKNOWN_COLOURS[0], "a": UNKNOWN_COLOURS[1]}
