"""The table of lineages: complete for the sets we know, and at one with the class maps."""

import csv
from pathlib import Path

import pytest

from asae_jax.errors import UserError
from asae_jax.inference.predict.lineages import class_lineages
from asae_jax.synthetic import classes

MAPS = sorted((Path(__file__).parents[3] / "data" / "class_maps").glob("*/*.csv"))


@pytest.mark.parametrize("path", MAPS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_merging_classes_keeps_lineage_and_blasts(path):
    """Blasts lose their lineage in a merge, as not every set tells it; nothing else changes."""
    with path.open() as file:
        pairs = [(row["from"], row["to"]) for row in csv.DictReader(file) if row["to"]]
    before = class_lineages(tuple(old for old, _ in pairs))
    after = class_lineages(tuple(new for _, new in pairs))
    for (old, new), a, b in zip(pairs, before, after, strict=True):
        assert a.known, old
        assert b.known, new
        assert a.blast == b.blast, (old, new)
        assert a.blast or a.name == b.name, (old, new)


def test_built_in_cells_agree_with_how_they_are_drawn():
    lineages = dict(zip(classes.CLASS_NAMES, class_lineages(classes.CLASS_NAMES), strict=True))
    for chain in ("erythroid", "lymphoid", "myeloid"):
        assert {lineages[name].name for name in classes.LINEAGES[chain]} == {chain}
    assert {name for name, lineage in lineages.items() if lineage.blast} == {"MYEB", "PRIL"}


def test_names_are_compared_loosely_and_others_are_not_known():
    found = class_lineages(("Plasma cell", "immature granulocytes", "platelet", "unicorn"))
    assert [(lineage.name, lineage.known) for lineage in found] == [
        ("lymphoid", True), ("myeloid", True), ("none", True), ("", False),
    ]  # fmt: skip


def test_own_file(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("Class,Lineage,Blast\nX,Myeloid,Yes\nY,,\n")
    x, y, basophil = class_lineages(("X", "Y", "basophil"), path)
    assert (x.name, x.blast, y.name, y.blast) == ("myeloid", True, "", False)
    assert not basophil.known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,lineage\nX,myeloyd\n", "line 2: unknown lineage 'myeloyd'"),
        ("class,lineage,blast\nX,myeloid,si\n", "line 2: unknown blast 'si'"),
        ("class,lineage\nX,myeloid\nx,none\n", "line 3: class x is there twice"),
        ("class\nX\n", "column 'lineage' is missing"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, text, message):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        class_lineages(("X",), path)
