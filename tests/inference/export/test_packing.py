"""The format `model`: what travels, what stays behind, and that it predicts what the run does."""

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml
from PIL import Image

from asae_jax import cli
from asae_jax.config import read_run_config
from asae_jax.evaluation.outliers import fit_neighbours
from asae_jax.evaluation.uncertainty_files import (
    read_matching_uncertainty,
    read_uncertainty,
    write_uncertainty,
)
from asae_jax.inference.export.program import drawn_cell
from asae_jax.inference.portable import model_record
from asae_jax.json_files import read_json
from asae_jax.run import folder
from asae_jax.run.run import open_run
from tests.quick import quick_flags

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def model(exported):
    return exported / "model"


def test_weights_are_the_run_s_rounded_to_half_precision(run, model):
    packed, trained = open_run(model), open_run(run)
    assert (packed.step, packed.class_names) == (trained.step, trained.class_names)
    for found, array in zip(
        jax.tree.leaves(packed.variables), jax.tree.leaves(trained.variables), strict=True
    ):
        np.testing.assert_array_equal(found, np.asarray(array).astype(np.float16))


def test_no_image_no_file_name_and_no_path_travels(run, model):
    files = {str(file.relative_to(model)) for file in model.rglob("*") if file.is_file()}
    assert files == {
        "README.md", "config.json", "evaluation/test.json", "run.json", "uncertainty.json",
        "weights.safetensors",
    }  # fmt: skip
    for name in files - {"weights.safetensors"}:
        assert str(run.parent) not in (model / name).read_text()
    assert json.loads((model / "evaluation" / "test.json").read_text())["path"] == ""
    assert "unreadable" not in json.loads((model / "run.json").read_text())


def test_names_of_unreadable_images_stay_behind(run, model, monkeypatch):
    record = dataclasses.replace(folder.read_record(run), unreadable=("patient_Smith/12.png",))
    monkeypatch.setattr(folder, "read_record", lambda workdir: record)
    assert model_record(open_run(run), model).unreadable is None


def test_settings_that_decide_the_weights_travel(run, model):
    then, now = read_run_config(run).to_dict(), read_run_config(model).to_dict()
    for section in ("model", "asae", "augment", "optimizer", "loss", "eval", "uncertainty"):
        assert now[section] == then[section]


def test_uncertainty_estimates_match_and_outliers_are_told_by_half_precision(run, model, tmp_path):
    assert read_matching_uncertainty(open_run(model)) == read_matching_uncertainty(open_run(run))
    features = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    outliers = dataclasses.replace(
        read_uncertainty(run).outliers, method="neighbours", reference=fit_neighbours(features[:200])
    )
    estimates = dataclasses.replace(read_uncertainty(run), outliers=outliers)
    write_uncertainty(estimates, tmp_path, {}, compact=True)
    with np.load(tmp_path / "uncertainty" / "features.npz") as arrays:
        assert arrays["directions"].dtype == np.float16
    found = read_uncertainty(tmp_path).outliers
    assert found.reference.directions.dtype == np.float32
    np.testing.assert_allclose(
        found.score(np.zeros((100, 2)), features[200:]),
        outliers.score(np.zeros((100, 2)), features[200:]),
        atol=2e-4,
    )


def test_the_card_has_front_matter_scores_counts_and_how_to_use_it(run, model):
    _, front, card = (model / "README.md").read_text().split("---\n", 2)
    fields = yaml.safe_load(front)
    scores = read_json(run / "evaluation" / "test.json", remedy="")
    (result,) = fields["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == round(scores["accuracy"], 4)
    assert (fields["library_name"], fields["pipeline_tag"]) == ("asae-jax", "image-classification")
    assert "| all | 47 | 0 | 23 |" in card
    assert "For research, not a diagnosis." in card
    assert "- 2 of the 5 slides or patients tested have training images too" in card
    assert "asae predict --model=FOLDER" in card
    assert "--config.model.name=resnet18 --config.model.stem=small --config.model.width=4" in card


def test_a_model_is_packed_again_as_it_came_and_its_export_has_its_scores(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, "mine")
    Path("mine/README.md").write_text("# Mine\n")
    assert cli.main(["export", "--model=mine", "--workdir=again", "--formats=model,orbax"]) == 0
    for file in Path("mine").rglob("*"):
        if file.is_file():
            assert ("again/export/model" / file.relative_to("mine")).read_bytes() == file.read_bytes()
    card = Path("again/export/MODEL_CARD.md").read_text()
    assert "| all | 47 | 0 | 23 |" in card
    assert "Not measured" not in card


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated")
def test_a_model_is_not_packed_again_as_tested_otherwise(model, tmp_path, capsys):
    """Its folder would predict by the test that it says, and the export that it does by the one asked for."""
    shutil.copytree(model, tmp_path / "mine")
    options = [f"--workdir={tmp_path / 'mine'}", "--config.eval.test_mode=enhance"]
    assert cli.main(["export", *options, "--formats=orbax"]) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine" / "export").rglob("*")}
    assert cli.main(["export", *options, "--formats=orbax,model"]) == 2
    assert "is tested as skip, and its folder is copied as it came" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mine" / "export").rglob("*")} == before


def test_predictions_are_those_of_the_run_without_tensorflow_and_matplotlib(run, model, tmp_path):
    """In a process of its own: neither library is there for it."""
    cells = tmp_path / "cells"
    cells.mkdir()
    for number in range(9):
        Image.fromarray(drawn_cell(number)).save(cells / f"{number}.png")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'matplotlib']))\n"
        "from asae_jax import cli; from tests.training.tiny import shallow\n"
        "with shallow(): sys.exit(any([cli.main(sys.argv[1:5]), cli.main(sys.argv[5:])]))"
    )
    calls = [
        ["predict", given, f"--input={cells}", f"--output={tmp_path / name}"]
        for given, name in ((f"--model={model}", "packed.csv"), (f"--workdir={run}", "trained.csv"))
    ]
    subprocess.run(
        [sys.executable, "-c", code, *calls[0], *calls[1]], cwd=tmp_path, check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": quick_flags()},
    )  # fmt: skip
    packed, trained = (
        list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("packed.csv", "trained.csv")
    )
    names = [name for name in trained[0] if name.startswith("p_")]
    found, wanted = (np.array([[float(row[n]) for n in names] for row in rows]) for rows in (packed, trained))
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    top = np.sort(wanted, axis=1)
    clear = top[:, -1] - top[:, -2] > 4e-3
    assert clear.any()
    assert [row["label"] for row, sure in zip(packed, clear, strict=True) if sure] == [
        row["label"] for row, sure in zip(trained, clear, strict=True) if sure
    ]
    assert (tmp_path / "runs" / "model" / "weights.safetensors").exists()
