"""The built-in real cells: what their card says."""

import csv

import numpy as np
import pytest

from asae_jax import shipped
from asae_jax.audit.duplicates import find_duplicates
from asae_jax.audit.scan import scan
from asae_jax.config import base_config
from asae_jax.errors import UserError
from asae_jax.input.sources import configured_index
from data.demo.make import SHARES, SIDE
from data.models.images import BLOOD, DEMO_PER_CLASS, read_list


@pytest.fixture(scope="module")
def index():
    config = base_config()
    config.data.source = "demo"
    return configured_index(config.data)


def test_classes_counts_and_split(index):
    assert index.source == "demo"
    assert not index.skipped
    assert index.class_names == BLOOD
    assert np.bincount(index.labels).tolist() == [DEMO_PER_CLASS] * len(BLOOD)
    for label in range(len(BLOOD)):
        parts = index.splits[index.labels == label].tolist()
        assert (parts.count("test"), parts.count("validation")) == (SHARES["test"], SHARES["val"])


def test_no_image_is_there_twice(index):
    scanned = scan(index, progress=False)
    assert not scanned.unreadable
    assert set(map(tuple, scanned.facts.size)) == {(SIDE, SIDE)}
    assert find_duplicates(index, scanned.facts, index.splits) == []


def test_shipped_models_have_not_seen_it(index):
    listed = {name for name, _, part in read_list() if part == "demo"}
    assert {name.rpartition("/")[2] for name in index.names} == listed


def test_the_names_tell_the_class_as_the_source_has_it(index):
    with shipped.demo_cells().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["path"].startswith(f"images/{row['label']}/{row['label']}_") for row in rows)


def test_a_path_is_not_given_in_vain():
    config = base_config()
    config.data.source, config.data.path = "demo", "cells"
    with pytest.raises(UserError, match=r"path=cells is given.*demo, the built-in real cells"):
        configured_index(config.data)


def test_it_is_small_and_has_its_licence():
    folder = shipped.demo_cells().parent
    assert sum(file.stat().st_size for file in folder.rglob("*.jpg")) < 5e6
    for name in ("README.md", "LICENSE"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "10.17632/snkd93bnjr.1" in text
        assert "CC BY 4.0" in text
