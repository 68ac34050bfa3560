"""Train, stop, go on, evaluate: the real commands at a tiny size."""

import csv
import json
import os
import re
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from asae_jax import cli
from asae_jax.config import load_recipe
from asae_jax.errors import UserError
from asae_jax.evaluation.scoring import Scorer
from asae_jax.run import build
from asae_jax.run.checkpoint import Checkpoints
from asae_jax.run.metrics_file import read_metrics
from asae_jax.run.run import open_run
from asae_jax.training.progress import Meter

CONFIG = Path(__file__).with_name("tiny_config_file.py")


pytestmark = pytest.mark.usefixtures("shallow_networks", "blank_pictures")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


def _main(cache, workdir, *options, command="train"):
    return cli.main(
        [
            command,
            f"--config={CONFIG}",
            f"--workdir={workdir}",
            f"--config.data.cache_dir={cache}",
            *options,
        ]
    )


@pytest.fixture(scope="module")
def finished(cache, tmp_path_factory):
    """An uninterrupted run of 6 steps."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    assert _main(cache, workdir) == 0
    return workdir


def _final_state(workdir):
    """Everything in the newest checkpoint, as `Checkpoints.read` gives it, and its step."""
    checkpoints = Checkpoints(workdir)
    try:
        return checkpoints.newest, checkpoints.read(checkpoints.newest)
    finally:
        checkpoints.close()


def _same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_finished_run_leaves_everything_a_reader_needs(finished):
    names = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    expected = {"config.json", "run.json", "splits.csv", "metrics.jsonl", "curves.png", "uncertainty.json"}
    expected |= {"index.html", "evaluation/suspected_labels.csv"}
    for split in ("test", "validation"):
        expected |= {f"evaluation/{split}{end}" for end in
                     (".json", "_predictions.csv", "_confusion.png", "_per_class.png")}  # fmt: skip
    assert expected <= names
    assert [record["step"] for record in read_metrics(finished, "train")] == [2, 3, 4, 6]
    assert [record["epoch"] for record in read_metrics(finished, "validation")] == [1, 2]


def test_the_contract_of_the_evaluation_file(finished):
    scores = json.loads((finished / "evaluation" / "test.json").read_text())
    confusion = np.array(scores["confusion_matrix"])
    assert confusion.sum() == scores["num_examples"]
    assert scores["accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum())
    assert len(scores["class_names"]) == 14
    for field in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "ece", "nll"):
        low, high = scores["intervals"][field]
        assert low <= high
        assert np.isfinite(scores[field])
    for name, entry in scores["per_class"].items():
        assert set(entry) == {"precision", "recall", "f1", "support"}, name
    with (finished / "splits.csv").open() as file:
        splits = [row["split"] for row in csv.DictReader(file)]
    assert scores["num_examples"] == splits.count("test")
    with (finished / "evaluation" / "test_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == scores["num_examples"]
    assert np.mean([row["true"] == row["label"] for row in rows]) == pytest.approx(scores["accuracy"])


def _check_choice(workdir):
    """The record that chose the best checkpoint: the scores that `evaluate` finds on validation images."""
    checkpoints = Checkpoints(workdir)
    best = checkpoints.best
    checkpoints.close()
    (record,) = [record for record in read_metrics(workdir, "validation") if record["step"] == best]
    scores = json.loads((workdir / "evaluation" / "validation.json").read_text())
    for field in ("accuracy", "balanced_accuracy", "macro_f1", "nll", "ece"):
        assert record[field] == pytest.approx(scores[field], rel=1e-4), field
    kept = json.loads((workdir / "checkpoints" / str(best) / "metrics" / "metrics").read_text())
    assert kept["score"] == record["macro_f1"]
    return record


def test_the_best_checkpoint_is_chosen_by_the_validation_images(finished):
    record = _check_choice(finished)
    assert record["macro_f1"] != record["accuracy"]  # which of the two chose can be told


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(finished, cache, tmp_path, capsys):
    workdir = tmp_path / "parts"
    chosen = "--config.train.batch_size=0"  # 56, the only one that 14 classes and 8 devices share
    assert _main(cache, workdir, chosen, "--config.train.max_steps=2") == 0
    shown = capsys.readouterr().out
    assert "batch size: 56 images" in shown
    assert re.search(
        r"stopped at step 2 of \d+ \(config\.train\.max_steps\): without it the same command", shown
    )
    assert load_recipe(workdir / "config.json").train.max_steps == 0
    assert not (workdir / "evaluation").exists()
    assert _main(cache, workdir, chosen, "--config.train.max_steps=4") == 0
    assert "batch size:" not in capsys.readouterr().out
    assert _main(cache, workdir) == 0
    assert "from step 4" in capsys.readouterr().out
    _same(_final_state(workdir), _final_state(finished))
    for name in ("test", "validation"):
        whole, parts = (w / "evaluation" / f"{name}.json" for w in (finished, workdir))
        assert whole.read_bytes() == parts.read_bytes()


def test_a_run_that_was_stopped_on_eight_devices_goes_on_with_two(finished, cache, tmp_path, monkeypatch):
    workdir = tmp_path / "fewer"
    options = ("--config.train.validate_every=2", "--config.train.max_steps")
    assert _main(cache, workdir, options[0], f"{options[1]}=2") == 0
    two, pmap = jax.devices()[:2], jax.pmap
    with monkeypatch.context() as patch:
        patch.setattr(jax, "pmap", lambda *args, **options: pmap(*args, **options | {"devices": two}))
        for name in ("devices", "local_devices"):
            patch.setattr(jax, name, lambda *_: two)
        for name in ("device_count", "local_device_count"):
            patch.setattr(jax, name, lambda: 2)
        assert _main(cache, workdir, options[0], f"{options[1]}=4") == 0
    records, whole = (read_metrics(folder, "train") for folder in (workdir, finished))
    assert [record["step"] for record in records] == [2, 3, 4]
    # Step 3 scores what eight devices left; its gradient may round to another side of a ReLU, and so step 4.
    for record, expected in zip(records[:2], whole, strict=False):
        np.testing.assert_allclose(record["loss"], expected["loss"], rtol=1e-5)


def test_the_scores_that_choose_the_best_checkpoint_are_of_one_kind(finished, cache, tmp_path, capsys):
    workdir, done = tmp_path / "half", tmp_path / "done"
    assert _main(cache, workdir, "--config.train.max_steps=2") == 0
    for change, before in (("select_by=accuracy", "macro_f1"), ("test_mode=enhance", "skip")):
        assert _main(cache, workdir, f"--config.eval.{change}") == 2
        name, value = change.split("=")
        assert f"eval.{name}='{value}' (there: '{before}')" in capsys.readouterr().err
    # Of a way of testing that is not asked for, and of a run that is finished, nothing is compared.
    assert _main(cache, workdir, "--config.eval.look_threshold=0.5", "--config.train.max_steps=3") == 0
    shutil.copytree(finished, done)
    assert _main(cache, done, "--config.eval.test_mode=enhance") == 0
    assert json.loads((done / "evaluation" / "test-2.json").read_text())["test_mode"] == "enhance"


def test_the_best_epoch_is_kept_however_rarely_checkpoints_are_written(cache, tmp_path):
    workdir = tmp_path / "rare"
    assert _main(cache, workdir, "--config.train.checkpoint_every=2") == 0
    scores = {record["step"]: record["macro_f1"] for record in read_metrics(workdir, "validation")}
    checkpoints = Checkpoints(workdir)
    assert {int(entry.name) for entry in (workdir / "checkpoints").iterdir()} == scores.keys() == {3, 6}
    assert checkpoints.best == max(scores, key=lambda step: (scores[step], step))
    checkpoints.close()


def _signalled(function, when=lambda *_: True):
    """`function`, and behind it a signal that asks the run to end, `when` that is true of its arguments."""

    def act(self, *args, **options):
        function(self, *args, **options)
        if when(*args):
            os.kill(os.getpid(), signal.SIGTERM)

    return act


@pytest.mark.usefixtures("usual_signals")
def test_a_signal_saves_and_the_same_command_goes_on(finished, cache, tmp_path, monkeypatch, capsys):
    """In the first step, and while the last one is saved, which leaves the scores to be done."""
    workdir, last = tmp_path / "signalled", 6
    in_step = (1, Meter, "add", _signalled(Meter.add))
    in_saving = (last, Checkpoints, "save", _signalled(Checkpoints.save, lambda state: state.step == last))
    for step, *patched in (in_step, in_saving):
        with monkeypatch.context() as patch:
            patch.setattr(*patched)
            assert _main(cache, workdir) == 128 + signal.SIGTERM
        assert f"interrupted after step {step}; the same command goes on" in capsys.readouterr().out
        assert _final_state(workdir)[0] == step
    assert not (workdir / "evaluation").exists()
    assert _main(cache, workdir) == 0
    _same(_final_state(workdir), _final_state(finished))
    assert (workdir / "evaluation" / "test.json").exists()


def test_evaluate_repeats_the_scores_from_the_folder_alone(finished):
    before = (finished / "evaluation" / "test.json").read_bytes()
    assert cli.main(["evaluate", f"--workdir={finished}"]) == 0
    assert (finished / "evaluation" / "test.json").read_bytes() == before


def test_evaluate_with_other_settings_of_the_test(finished, cache):
    options = ["--config.eval.test_mode=enhance", "--config.eval.name=enhanced",
               "--config.eval.batch_statistics=reestimate", "--config.eval.reestimate_batches=2"]  # fmt: skip
    assert _main(cache, finished, *options, command="evaluate") == 0
    enhanced = json.loads((finished / "evaluation" / "enhanced.json").read_text())
    plain = json.loads((finished / "evaluation" / "test.json").read_text())
    assert enhanced["test_mode"] == "enhance"
    assert enhanced["num_examples"] == plain["num_examples"]
    assert enhanced["nll"] != plain["nll"]


def test_evaluate_takes_its_own_settings_by_their_short_names(finished):
    options = ["--test_mode=mean", "--name=averaged", f"--workdir={finished}"]
    assert cli.main(["evaluate", *options]) == 0
    averaged = json.loads((finished / "evaluation" / "averaged.json").read_text())
    assert averaged["test_mode"] == "mean"


def test_a_finished_run_is_not_trained_again(finished, cache):
    before = (finished / "metrics.jsonl").read_bytes()
    assert _main(cache, finished) == 0
    assert (finished / "metrics.jsonl").read_bytes() == before


def test_changed_settings_are_refused_in_one_line(finished, cache, capsys):
    assert _main(cache, finished, "--config.optimizer.momentum=0.5") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "optimizer.momentum=0.5 (there: 0.9)" in error


def test_changed_data_are_refused_in_one_line(finished, cache, capsys):
    assert _main(cache, finished, "--config.data.num_examples=170", command="evaluate") == 2
    assert "data.num_examples=170" in capsys.readouterr().err


def test_nan_stops_the_run_and_leaves_the_last_good_checkpoint(cache, tmp_path, capsys):
    workdir = tmp_path / "nan"
    options = ["--config.optimizer.learning_rate=1e30", "--config.optimizer.warmup_epochs=1"]
    assert _main(cache, workdir, *options, "--config.train.max_steps=1") == 0
    assert _main(cache, workdir, *options) == 2
    error = capsys.readouterr().err
    assert "not finite at step" in error
    assert "learning_rate" in error
    assert _final_state(workdir)[0] == 1


def test_too_little_memory_ends_in_one_line_with_the_settings_that_need_less(
    cache, tmp_path, monkeypatch, capsys
):
    def update(state, batch):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setattr(build, "compiled_train_step", lambda *_, **__: update)
    assert _main(cache, tmp_path / "large") == 2
    assert "add --config.model.remat=True, then" in capsys.readouterr().err.splitlines()[-1]


def test_the_shuffled_sampler_and_the_plain_network_train(cache, tmp_path):
    options = ["--config.data.sampler=shuffled", "--config.model.branching=none", "--config.loss.name=ce",
               "--config.optimizer.ema_decay=0.5", "--config.train.epochs=1",
               "--config.train.validate_every=2"]  # fmt: skip
    assert _main(cache, tmp_path / "plain", *options) == 0
    assert _final_state(tmp_path / "plain")[1]["average"]
    assert [record["epoch"] for record in read_metrics(tmp_path / "plain", "validation")] == [1]  # the last
    _check_choice(tmp_path / "plain")  # the moving average's scores


def test_scores_that_are_not_finite_end_in_one_line(finished):
    run = open_run(finished)
    broken = jax.tree.map(lambda x: x * np.nan, run.variables)
    with pytest.raises(UserError, match=r"not finite for \d+ of \d+ images"):
        Scorer(run)(broken, run.data.indices("test"))


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated")
def test_predict_finds_a_training_image_among_the_training_cells(finished, tmp_path):
    """The run keeps small pictures of them; an image that it was trained on is most like itself."""
    data = open_run(finished).data
    rows = data.indices("train")[[0, 5]]
    for row in rows:
        Image.fromarray(data.index.read(int(row))).save(tmp_path / f"{row:04}.png")
    output = tmp_path / "found.csv"
    assert cli.main(["predict", f"--workdir={finished}", f"--input={tmp_path}", f"--output={output}"]) == 0
    page = output.with_suffix(".html").read_text(encoding="utf-8")
    shown = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    for cell, row in zip(shown["cells"], rows, strict=True):
        number, similarity = cell["near"][0]
        assert similarity > 0.999
        assert shown["training"][number] == data.labels(rows[rows == row])[0]
        assert len(cell["near"]) == 5
    assert (finished / "uncertainty-cells.npz").exists()
