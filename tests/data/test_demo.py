"""The built-in real cells: what their card says."""

import csv
import re

import numpy as np
import pytest

from asae_jax import shipped
from asae_jax.audit.duplicates import find_duplicates
from asae_jax.audit.scan import scan
from asae_jax.config import base_config
from asae_jax.errors import UserError
from asae_jax.input.manifest import manifest_index
from asae_jax.input.sources import configured_index
from data.demo import two_rounds
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read .*predicted.csv"),
        ("path,label\na.jpg,BA\n", "column 'for_person' is missing"),
        ("path,label,for_person\n", "holds no predictions"),
        ("path,label,for_person\nmine.jpg,BA,yes\n", "line 2: mine.jpg is no cell of the demonstration set"),
    ],
)
def test_labels_of_other_predictions_are_refused_in_one_line(tmp_path, capsys, text, said):
    if text is not None:
        (tmp_path / "predicted.csv").write_text(text)
    assert two_rounds.main(["label", str(tmp_path), str(tmp_path / "predicted.csv")]) == 2
    error = capsys.readouterr().err
    assert re.match("error: .*" + said, error)
    assert error.count("\n") == 1


def test_rounds_that_cannot_be_written_are_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert two_rounds.main(["begin", str(tmp_path / "file")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: cannot write ")
    assert error.count("\n") == 1


def test_two_rounds_begin_apart_and_their_labels_are_true_where_a_person_looked(tmp_path, index):
    assert two_rounds.begin(tmp_path) == (715, 385)
    first = manifest_index(tmp_path / "first.csv")
    assert first.class_names == BLOOD
    assert set(np.bincount(first.labels[first.splits == "train"]).tolist()) == {two_rounds.KEPT}
    same = [row for row, split in enumerate(index.splits) if split == "test"]
    assert first.contents[first.splits == "test"].tolist() == index.contents[same].tolist()
    with (tmp_path / "new_cells.csv").open(newline="") as file:
        new = [row["path"] for row in csv.DictReader(file)]
    assert set(new).isdisjoint(first.names.tolist())
    rows = [(path, "BA", "yes" if number % 2 else "no") for number, path in enumerate(new)]
    with (tmp_path / "predicted.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "for_person"), *rows])
    assert two_rounds.label(tmp_path, tmp_path / "predicted.csv") == (192, 385)
    labels = manifest_index(tmp_path / "labels.csv")
    assert labels.names.tolist() == new[1::2]
    assert [labels.class_names[n] for n in labels.labels] == [path.split("/")[-2] for path in new[1::2]]
    labels.read(0)
