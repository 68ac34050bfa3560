"""The trained models that are included: what their cards say, and that they know their cells."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from safetensors import safe_open

from asae_jax import cli, shipped
from asae_jax.config import read_run_config
from asae_jax.run.model_folder import checked_digest
from data.models.images import BLOOD, read_list

MARROW = tuple(sorted({label for _, label, _ in read_list()} - set(BLOOD)))
CLASSES = {"blood11": BLOOD, "marrow8": MARROW, "cells": tuple(sorted(BLOOD + MARROW))}
SOURCES = {"10.17632/snkd93bnjr.1": BLOOD, "10.7937/TCIA.AXH3-T579": MARROW}


def record(name):
    return json.loads((shipped.models()[name] / "run.json").read_text())


def test_these_are_included():
    assert set(shipped.models()) == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_weights_are_small_and_whole(name):
    folder = shipped.models()[name]
    checked_digest(folder)
    path = folder / "weights.safetensors"
    assert path.stat().st_size < 8e6
    with safe_open(path, framework="numpy") as file:
        kernel = file.get_tensor("params.backbone.head.kernel")
    assert kernel.dtype == np.float16
    assert kernel.shape[1] == len(CLASSES[name])


@pytest.mark.parametrize("name", CLASSES)
def test_trained_on_the_listed_images(name):
    assert tuple(record(name)["class_names"]) == CLASSES[name]
    listed = Counter((label, part) for _, label, part in read_list() if label in CLASSES[name])
    for label, parts in record(name)["images"].items():
        assert parts == {part: listed[label, part] for part in ("train", "validation", "test")}


@pytest.mark.parametrize("name", CLASSES)
def test_card_and_licence(name):
    folder = shipped.models()[name]
    card, licence = ((folder / file).read_text(encoding="utf-8") for file in ("README.md", "LICENSE"))
    used = [doi for doi, classes in SOURCES.items() if set(classes) <= set(CLASSES[name])]
    for text in (card, licence):
        assert all(doi in text for doi in used)
        assert "CC BY 4.0" in text
    assert card.startswith('---\nlicense: "cc-by-4.0"\n')
    assert "For research, not a diagnosis" in card
    assert "may be on both sides" in card
    assert "unknown" not in card
    scores = json.loads((folder / "evaluation" / "test.json").read_text())
    assert f"{scores['accuracy']:.3f}" in card
    assert scores["num_examples"] == sum(parts["test"] for parts in record(name)["images"].values())


@pytest.mark.parametrize("name", CLASSES)
def test_estimates_over_views_are_of_the_same_model(name):
    """Outliers are told by the first view: both files have the rule, and what it compares with, in common."""
    folder = shipped.models()[name]
    one, several = (json.loads((folder / f"uncertainty{end}.json").read_text()) for end in ("", "-tta"))
    assert one["outliers"] == several["outliers"]
    assert one["features_sha256"] == several["features_sha256"]
    assert one["abstention"]["target_error"] == several["abstention"]["target_error"]
    assert one["conditions"] | {"test_mode": "skip-tta"} == several["conditions"]
    scores = json.loads((folder / "evaluation" / "test-tta.json").read_text())
    measured = several["measured"]["test"]
    assert (scores["test_mode"], scores["num_examples"]) == ("skip-tta", measured["num_images"])
    alone, wrong = measured["labelled_without_a_person"], measured["error_without_a_person"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"accuracy {scores['accuracy']:.3f} [" in card
    assert f"by itself {100 * alone['share']:.1f} % [" in card
    assert f"{100 * wrong['share']:.1f} % [" in card.partition("With `--tta`")[2]


@pytest.mark.parametrize("name", CLASSES)
def test_nothing_of_the_machine_it_was_made_on(name):
    folder = shipped.models()[name]
    config = read_run_config(folder)
    assert (config.data.path, config.data.cache_dir) == ("", "")
    for file in folder.rglob("*.json"):
        assert "/" not in json.loads(file.read_text()).get("path", "")
        assert "/tmp" not in file.read_text()


@pytest.mark.parametrize("name", ["blood11", "cells"])
def test_they_know_cells_that_they_have_not_seen(name, tmp_path, monkeypatch):
    """Five cells of each class of the demonstration set; at chance one in 11 or 19 would be right."""
    monkeypatch.chdir(tmp_path)
    images = shipped.demo_cells().parent / "images"
    paths = [file for label in BLOOD for file in sorted((images / label).glob("*.jpg"))[:5]]
    with open("cells.csv", "w", newline="") as file:
        csv.writer(file).writerows([["path"], *([path] for path in paths)])
    assert cli.main(["predict", f"--model={name}", "--input=cells.csv", "--nopage"]) == 0
    with open(f"runs/{name}/predictions/cells.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    right = [row["label"] == path.parent.name for row, path in zip(rows, paths, strict=True)]
    assert np.mean(right) > 0.75
    kept = [hit for hit, row in zip(right, rows, strict=True) if row["for_person"] == "no"]
    assert len(kept) > len(rows) / 4
    assert np.mean(kept) >= np.mean(right)
