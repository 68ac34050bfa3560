"""`crossval`: folds whose networks answer as the test wants, so that what they say together is known."""

import csv
import html
import json
import re
import shlex

import cv2
import numpy as np
import pytest

from asae_jax import cli
from asae_jax.evaluation.metrics import evaluate_scores, wilson_interval
from asae_jax.evaluation.predictions import PREDICTIONS_SHA256, write_predictions
from asae_jax.experiments import unfinished
from asae_jax.experiments.crossval import folds, pooled
from asae_jax.experiments.crossval.pooled import judged
from asae_jax.experiments.grid import run_folder
from asae_jax.input.run_split import chosen_split
from asae_jax.json_files import read_json
from asae_jax.run import folder
from asae_jax.run.data import load_index
from tests.edited import edited
from tests.experiments.fakes import FakeProcess, two_slots

CLASSES = ("BLA", "LYT", "MON")
COPIES = 1
"""Images of each fold that are among those trained on as well, as its run counts them."""
UNREADABLE = []
"""Names of images that no run can read."""


@pytest.fixture
def cells(tmp_path):
    """A list of ten pictures of each of three classes, two pictures of each patient."""
    rng = np.random.default_rng(0)
    (tmp_path / "cells").mkdir()
    with (tmp_path / "cells.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "patient"])
        for name in CLASSES:
            for number in range(10):
                path = f"cells/{name}{number}.png"
                cv2.imwrite(str(tmp_path / path), rng.integers(256, size=(24, 24, 3), dtype=np.uint8))
                writer.writerow([path, name, f"{name}-{number // 2}"])
    return tmp_path / "cells.csv"


def wrong_of(names):
    """The cells numbered 7 are called the next class, which that network is sure of."""
    return np.array(["7." in name for name in names])


class FoldProcess(FakeProcess):
    """A run that ends at once, with the test images of its fold scored as `wrong_of` says."""

    def poll(self):
        if self._accuracy is None:
            return 2
        write_fold(self._workdir, self.run)
        return 0


def write_fold(workdir, run):
    config, place = run.config, run_folder(workdir, run.name)
    index = load_index(config)
    splits = chosen_split(config.data, place, index)
    rows = np.flatnonzero(splits == "test")
    rows = rows[~np.isin(index.names[rows], UNREADABLE)]
    names, labels = index.names[rows], index.labels[rows]
    said = np.where(wrong_of(names), (labels + 1) % 3, labels)
    log_probs = np.log(np.full((len(rows), len(index.class_names)), 0.05))
    log_probs[np.arange(len(rows)), said] = np.log(0.9)
    (place / "evaluation").mkdir(parents=True, exist_ok=True)
    scores = evaluate_scores(log_probs, labels, index.class_names, bootstrap=0)
    path = place / "evaluation" / "test_predictions.csv"
    scores[PREDICTIONS_SHA256] = write_predictions(path, names, labels, log_probs, index.class_names)
    (path.with_name("test.json")).write_text(json.dumps(scores | {"split": "test", "num_trained_on": COPIES}))
    assert config.train.batch_size  # as every run folder has them
    assert config.train.epochs
    folder.write(place, config, folder.record_of(index, UNREADABLE))
    estimates = {
        "abstention": {"target_error": 0.05, "certainty": 0.8, "coverage": 0.5 * (run.row != "fold0")},
        "conformal": {"method": "aps", "error": 0.1},
        "outliers": {"method": "neighbours", "quantile": 0.95},
        "measured": {
            "test": {
                "labelled": {"count": 4, "of": len(rows)},
                "error_of_labelled": {"count": 1, "of": 4},
                "labelled_without_a_person": {"count": 3, "of": len(rows)},
                "error_without_a_person": {"count": 0, "of": 3},
                "sets_with_the_true_class": {"count": 5, "of": len(rows)},
                "outliers": None,
            }
        },
    }
    (place / "uncertainty.json").write_text(json.dumps(estimates))


@pytest.fixture
def crossval(cells, tmp_path, monkeypatch):
    """Runs the command; `crossval.started` has the names of the runs it started."""
    monkeypatch.setattr(unfinished, "choose_slots", lambda jobs: two_slots())
    monkeypatch.setattr(unfinished, "POLL_SECONDS", 0.0)

    def run(*options, failing=()):
        run.started = []

        def start(planned, workdir, slot, *, kept_open):
            run.started.append(planned.name)
            return FoldProcess(planned, workdir, accuracy=None if planned.name in failing else 1.0)

        monkeypatch.setattr(unfinished, "TrainProcess", start)
        source, path = run.data
        places = [f"--workdir={run.workdir}", f"--config.data.source={source}", f"--config.data.path={path}"]
        return cli.main(["crossval", "--config=default", *places, "--folds=5", *options])

    run.workdir, run.data = tmp_path / "folds", ("csv", cells)
    return run


def test_every_image_is_scored_once_by_the_network_of_its_fold(crossval, cells, capsys):
    assert crossval() == 0
    assert crossval.started == [f"fold{number}" for number in range(5)]
    scores = read_json(crossval.workdir / "crossval.json", remedy="")
    # Of 30 cells the three numbered 7 are wrong, each called the next class.
    assert scores["num_examples"] == 30
    assert scores["accuracy"] == pytest.approx(0.9)
    assert scores["confusion_matrix"] == [[9, 1, 0], [0, 9, 1], [1, 0, 9]]
    assert scores["macro_f1"] == pytest.approx(0.9)
    assert scores["nll"] == pytest.approx(-(27 * np.log(0.9) + 3 * np.log(0.05)) / 30, abs=1e-6)
    assert scores["num_never_tested"] == 0
    assert (scores["intervals_over"], scores["num_groups"]) == ("groups", 15)
    with (crossval.workdir / "crossval_predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with cells.open(newline="") as file:
        assert [row["path"] for row in rows] == sorted(row["path"] for row in csv.DictReader(file))
    assert all((row["label"] != row["true"]) == wrong_of([row["path"]])[0] for row in rows)
    said = capsys.readouterr().out
    assert "5 folds, 0 finished" in said
    assert "cross-validated: 27 of 30 images right, 90.0 %" in said
    assert "in 1 of 5 folds no threshold keeps to 5.0 %" in said


def test_no_patient_is_in_two_folds_and_each_is_in_one(crossval):
    assert crossval() == 0
    found = []
    for fold in range(5):
        path = crossval.workdir / "runs" / f"fold{fold}" / "evaluation" / "test_predictions.csv"
        with path.open(newline="") as file:
            found.append({(row["true"], int(row["path"][-5]) // 2) for row in csv.DictReader(file)})
    assert sum(map(len, found)) == len(set().union(*found)) == 15


def test_scores_of_the_folds_and_their_spread(crossval):
    assert crossval() == 0
    scores = read_json(crossval.workdir / "crossval.json", remedy="")
    each = [
        read_json(crossval.workdir / "runs" / f"fold{fold}" / "evaluation" / "test.json", remedy="")
        for fold in range(5)
    ]
    assert [fold["accuracy"] for fold in scores["folds"]] == [one["accuracy"] for one in each]
    assert sum(fold["num_examples"] for fold in scores["folds"]) == 30
    values = [one["macro_f1"] for one in each]
    mean = sum(values) / 5
    assert scores["over_folds"]["macro_f1"]["mean"] == pytest.approx(mean)
    deviation = (sum((value - mean) ** 2 for value in values) / 4) ** 0.5
    assert scores["over_folds"]["macro_f1"]["standard_deviation"] == pytest.approx(deviation)


def test_the_likelihood_is_that_of_the_probabilities_before_they_were_rounded(crossval):
    """A network that was sure and wrong in fold 2: less than six decimals can say."""
    assert crossval() == 0
    files = [crossval.workdir / "runs" / f"fold{fold}" / "evaluation" / "test.json" for fold in range(5)]
    with edited(files[2]) as scores:
        scores["nll"] = 20.0
    assert crossval() == 0
    each = [read_json(path, remedy="") for path in files]
    scores = read_json(crossval.workdir / "crossval.json", remedy="")
    total = sum(one["num_examples"] * one["nll"] for one in each)
    assert scores["nll"] == pytest.approx(total / 30, rel=1e-12)
    assert "nll" not in scores["intervals"]
    assert "accuracy" in scores["intervals"]


def test_the_likelihood_is_the_mean_over_images_of_folds_of_any_size():
    folds = [{"num_examples": 10, "nll": 1.0}, {"num_examples": 30, "nll": 2.0}]
    assert pooled._mean_over_images(folds, "nll") == pytest.approx(1.75)


def test_estimates_of_the_folds_are_counted_together(crossval, capsys):
    assert crossval() == 0
    found = read_json(crossval.workdir / "crossval.json", remedy="")["judged"]
    assert found["labelled"] == {
        "count": 20, "of": 30, "share": 20 / 30, "interval": list(wilson_interval(20, 30))
    }  # fmt: skip
    assert found["error_of_labelled"]["share"] == 5 / 20
    assert found["labelled_without_a_person"]["count"] == 15
    assert found["error_without_a_person"]["share"] == 0
    assert "the networks label 50.0 % [" in capsys.readouterr().out
    page = (crossval.workdir / "index.html").read_text()
    assert "<dt>labelled by itself, percent</dt><dd>50.0 " in page
    assert found["promised_by"] == 4
    assert "outliers" not in found
    runs = [crossval.workdir / "runs" / f"fold{fold}" for fold in range(5)]
    path = runs[1] / "uncertainty.json"
    content = json.loads(path.read_text())
    del content["measured"]["test"]["labelled_without_a_person"]  # as an earlier version wrote it
    path.write_text(json.dumps(content))
    assert judged(runs)["labelled"]["count"] == 20
    assert "labelled_without_a_person" not in judged(runs)
    (runs[2] / "uncertainty.json").unlink()
    assert judged(runs) is None


def test_all_labels_are_looked_at(crossval):
    """The cells numbered 7: called another class as surely as cells of that class are."""
    assert crossval() == 0
    with (crossval.workdir / "suspected_labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == {f"cells/{name}7.png" for name in CLASSES}
    page = (crossval.workdir / "index.html").read_text()
    assert "3 of 30 cross-validated images may be labelled wrongly" in page
    assert 'href="runs/fold4/index.html"' in page
    assert "--ensemble=" in page


@pytest.mark.parametrize("how", ["running", "reestimate"])
def test_the_command_for_new_cells_is_one_that_predict_takes(crossval, how):
    assert crossval(f"--config.eval.batch_statistics={how}") == 0
    (line,) = re.findall("<pre[^>]*>(.*)</pre>", (crossval.workdir / "index.html").read_text())
    command = shlex.split(html.unescape(re.sub("<[^>]*>", "", line)))
    assert command[:2] == ["asae", "predict"]
    assert cli.parse(command[1:]).config.eval.batch_statistics == "running"


def test_what_is_finished_is_not_repeated_and_nothing_is_pooled_before_all_are(crossval, capsys):
    assert crossval(failing=("fold3",)) == unfinished.EXIT_FAILED
    assert not (crossval.workdir / "crossval.json").exists()
    said = capsys.readouterr()
    assert "fold3: failed: the loss is not finite at step 3" in said.out + said.err
    assert crossval() == 0
    assert crossval.started == ["fold3"]
    assert crossval() == 0
    assert crossval.started == []
    assert "5 folds, 5 finished" in capsys.readouterr().out


def test_a_changed_label_is_refused(crossval, cells, capsys):
    assert crossval() == 0
    cells.write_text(cells.read_text().replace("BLA3.png,BLA", "BLA3.png,MON"))
    assert crossval() == 2
    assert "the images are not those that" in capsys.readouterr().err


def test_a_label_that_is_changed_while_folds_are_missing_is_refused_before_any_is_trained(
    crossval, cells, capsys
):
    assert crossval(failing=("fold3",)) == unfinished.EXIT_FAILED
    cells.write_text(cells.read_text().replace("BLA3.png,BLA", "BLA3.png,MON"))
    assert crossval() == 2
    assert "the images are not those that" in capsys.readouterr().err
    assert crossval.started == []


def test_folds_whose_statistics_are_of_another_number_of_batches_are_refused(crossval, capsys):
    again = "--config.eval.batch_statistics=reestimate"
    assert crossval(again) == 0
    assert crossval(again, "--config.eval.reestimate_batches=3") == 2
    assert "eval.reestimate_batches=3 (there: 50)" in capsys.readouterr().err


def test_a_fold_that_was_evaluated_over_another_number_of_batches_is_refused(crossval, capsys):
    again = ("--config.eval.batch_statistics=reestimate", "--config.eval.reestimate_batches=3")
    assert crossval(*again) == 0
    with edited(crossval.workdir / "runs" / "fold1" / "evaluation" / "test.json") as scores:
        scores["batch_statistics"] = "reestimate"  # over 50
    assert crossval(*again) == 2
    assert "batch_statistics 'reestimate', not 'reestimate over 3 batches'" in capsys.readouterr().err


def test_folds_of_another_split_are_refused(crossval, capsys):
    """Two runs that test the same images."""
    assert crossval() == 0
    place = crossval.workdir / "runs"
    for name in ("test.json", "test_predictions.csv"):
        (place / "fold1" / "evaluation" / name).write_bytes(
            (place / "fold0" / "evaluation" / name).read_bytes()
        )
    assert crossval() == 2
    assert "two folds in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--folds=1", "config.crossval.folds=1 cannot be used: allowed: at least 2"),
        ("--folds=16", "15 groups cannot make 16 folds"),
        ("--config.data.folds=3", "leave config.data.folds and config.data.fold out"),
        ("--config.data.seed=0", "data.seed"),
        ("--config.train.max_steps=3", "config.train.max_steps=3 cannot be used: `crossval` compares runs"),
    ],
)
def test_mistakes_end_in_one_line_before_anything_is_started(crossval, capsys, option, said):
    assert crossval(option) == 2
    assert said in capsys.readouterr().err
    assert crossval.started == []


@pytest.mark.filterwarnings("always:classes ", "always:.*in no fold")
def test_a_fold_that_tests_nothing_is_refused_before_any_is_started(crossval, cells, capsys):
    """Five patients with all classes, one of them with the only cell of a fourth."""
    with cells.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["patient"] = str(int(row["path"][-5]) // 2)
    cv2.imwrite(str(cells.parent / "cells" / "rare.png"), np.zeros((24, 24, 3), np.uint8))
    with cells.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "patient"])
        writer.writeheader()
        writer.writerows([*rows, {"path": "cells/rare.png", "label": "PMO", "patient": "2"}])
    assert crossval() == 2
    assert "4 groups cannot make 5 folds (1 more alone have a class" in capsys.readouterr().err
    assert crossval.started == []
    assert not (crossval.workdir / "runs").exists()
    assert crossval("--folds=4") == 0
    said = capsys.readouterr()
    assert "7 images of 1 groups are tested in no fold" in said.err
    assert "7 images are tested in no fold" in said.out
    scores = read_json(crossval.workdir / "crossval.json", remedy="")
    assert (scores["num_examples"], scores["num_never_tested"]) == (24, 7)


def test_other_settings_than_those_of_the_folds_are_refused(crossval, capsys):
    assert crossval() == 0
    assert crossval("--config.train.epochs=3") == 2
    assert "train.epochs=3" in capsys.readouterr().err
    assert crossval("--config.uncertainty.target_error=0.1") == 2
    assert "uncertainty.target_error=0.1 (there: 0.05)" in capsys.readouterr().err


def test_what_is_left_to_be_chosen_is_chosen_once_for_all_folds_and_kept(crossval, capsys, monkeypatch):
    monkeypatch.setattr(folds, "default_workers", lambda: 2)
    monkeypatch.setattr(folds, "devices_of_a_slot", lambda: 7)
    options = ("--config.train.epochs=0", "--config.train.batch_size=0")
    assert crossval(*options, failing=("fold4",)) == unfinished.EXIT_FAILED
    files = [crossval.workdir / "runs" / f"fold{fold}" / "config.json" for fold in range(4)]
    chosen = {
        (train["batch_size"], train["epochs"])
        for train in (json.loads(f.read_text())["train"] for f in files)
    }
    [(size, epochs)] = chosen
    assert size == 42  # two cores share 30; 3 classes and 7 devices share 21 and, nearer to 32, 42
    assert epochs
    assert crossval(*options) == 0
    assert crossval.started == ["fold4"]
    assert "27 of 30 images right" in capsys.readouterr().out


def test_copies_that_were_trained_on_are_counted_together_and_said(crossval, capsys):
    assert crossval() == 0
    scores = read_json(crossval.workdir / "crossval.json", remedy="")
    assert scores["num_trained_on"] == 5 * COPIES
    assert "5 of the images are among those trained on" in capsys.readouterr().out
    page = (crossval.workdir / "index.html").read_text()
    assert "5 of the images are among those trained on as well: new ones do worse." in page
    assert "which was not trained on them" not in page


def test_patients_in_two_folds_are_counted_and_said(crossval, capsys):
    """Split by image, the two cells of a patient lie in two folds, or in one by chance."""
    assert crossval("--config.data.split_by=image") == 0
    scores = read_json(crossval.workdir / "crossval.json", remedy="")
    folds = {}
    for fold in range(5):
        path = crossval.workdir / "runs" / f"fold{fold}" / "evaluation" / "test_predictions.csv"
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                folds.setdefault((row["true"], int(row["path"][-5]) // 2), set()).add(fold)
    shared = sum(len(found) == 2 for found in folds.values())
    assert scores["num_groups_trained_on"] == shared > 0
    assert f"{shared} of the groups have training images too" in capsys.readouterr().out


def test_a_patient_with_an_unreadable_image_is_trained_on_by_no_fold(crossval, monkeypatch, capsys):
    monkeypatch.setattr("tests.experiments.test_crossval.UNREADABLE", ["cells/BLA0.png"])
    assert crossval() == 0
    scores = read_json(crossval.workdir / "crossval.json", remedy="")
    assert (scores["num_examples"], scores["num_never_tested"]) == (29, 1)
    assert scores["num_groups_trained_on"] == 0
    assert "training images too" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "field", "value", "said"),
    [
        ("abstention", "target_error", 0.1, "target_error (0.05 and 0.1)"),
        ("abstention", "certainty", 0.5, "certainty (0.5 and 0.8)"),
        ("conformal", "error", 0.2, "conformal_error (0.1 and 0.2)"),
        ("outliers", "method", "energy", "outliers (energy and neighbours)"),
    ],
)
def test_folds_whose_estimates_are_set_otherwise_are_refused(crossval, capsys, part, field, value, said):
    assert crossval() == 0
    with edited(crossval.workdir / "runs" / "fold2" / "uncertainty.json") as estimates:
        estimates[part][field] = value
    assert crossval() == 2
    assert f"are set for a different {said}: give all of them one" in capsys.readouterr().err


def test_data_with_a_split_of_their_own_are_refused(crossval, cells, capsys):
    lines = cells.read_text().splitlines()
    cells.write_text("\n".join([lines[0] + ",split", *(line + ",test" for line in lines[1:4])]
                               + [line + ",train" for line in lines[4:]]))  # fmt: skip
    assert crossval() == 2
    assert "crossval cannot be used with these csv data, which have a split of their own" in (
        capsys.readouterr().err
    )
    assert crossval.started == []


def test_a_workdir_among_the_images_is_refused_and_nothing_is_written_there(crossval, cells, capsys):
    images = cells.parent / "folders"
    for name in CLASSES:
        (images / name).mkdir(parents=True)
        for path in (cells.parent / "cells").glob(f"{name}*.png"):
            path.rename(images / name / path.name)
    before = sorted(images.rglob("*"))
    crossval.workdir, crossval.data = images / "folds", ("folder", images)
    assert crossval() == 2
    assert "lies in the folder of the images" in capsys.readouterr().err
    assert sorted(images.rglob("*")) == before
    assert crossval.started == []
