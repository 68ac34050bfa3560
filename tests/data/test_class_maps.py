"""Every code has one place in its map, and the coarse maps follow from the fine ones."""

import csv
from pathlib import Path

import pytest

from data import BUILDERS, builder_class
from data.pbc_acevedo.pbc_acevedo_dataset_builder import STAGES

FOLDER = Path(__file__).resolve().parents[2] / "data" / "class_maps"
MAPS = sorted(FOLDER.glob("*/*.csv"))


def _read(path):
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["from", "to"]
    assert all(len(row) == 2 for row in rows)
    sources = [source for source, _ in rows[1:]]
    assert len(sources) == len(set(sources))
    return dict(rows[1:])


def _codes(stem):
    if stem == "pbc_acevedo_maturity":
        return STAGES
    return builder_class(stem.removesuffix("_types")).CLASSES


@pytest.mark.parametrize("path", MAPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_code_appears_once_and_no_other(path):
    assert list(_read(path)) == list(_codes(path.stem))


def test_every_builder_has_a_map_to_types():
    stems = {path.stem for path in FOLDER.glob("types/*.csv")}
    assert {stem.removesuffix("_types").removesuffix("_maturity") for stem in stems} == set(BUILDERS)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("stages/*.csv")), ids=lambda path: path.stem)
def test_types_follow_from_stages(path):
    type_of = _read(FOLDER / "types_of_stages.csv") | {"": ""}
    types = _read(FOLDER / "types" / path.name)
    assert types == {code: type_of[stage] for code, stage in _read(path).items()}


def test_targets_are_known():
    stages = set(_read(FOLDER / "types_of_stages.csv"))
    types = set(_read(FOLDER / "types_of_stages.csv").values())
    for path in MAPS:
        known = stages if path.parent.name == "stages" else types
        assert set(_read(path).values()) <= known | {""}
