import types

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from asae_jax.config import BY_NAME
from asae_jax.errors import UserError
from asae_jax.evaluation.scoring import SCORING
from asae_jax.run.metrics_file import read_metrics
from asae_jax.run.steps import StepMetrics
from asae_jax.run.sums import Sums
from asae_jax.terminal import COMPILING, Forecast, plan
from asae_jax.training.metrics_log import MetricsLog
from asae_jax.training.progress import SAVING, TRAINING, Meter, greeting, parts_of_training
from tests.training.tiny import tiny_config


def _metrics(loss, correct, count, norm=1.0):
    sums = Sums(*(jnp.float32(value) for value in (loss, correct, count)))
    return StepMetrics(sums, jnp.float32(norm))


def _meter(log, **changes):
    settings = {"start_step": 0, "total_steps": 10, "steps_per_epoch": 5, "log_every": 2} | changes
    return Meter(log, optax.constant_schedule(0.1), **settings)


def test_reports_the_mean_over_examples_not_over_batches(tmp_path):
    log = MetricsLog(tmp_path)
    meter = _meter(log)
    meter.add(_metrics(30.0, 1, 10))
    meter.add(_metrics(3.0, 3, 30))
    assert not list(read_metrics(tmp_path, "train"))  # the device would wait for the host
    meter.add(_metrics(1e9, 0, 1))
    meter.close()
    log.close()
    (record,) = read_metrics(tmp_path, "train")
    assert record["step"] == 2
    assert record["epoch"] == pytest.approx(0.4)
    assert record["loss"] == pytest.approx(33 / 40)
    assert record["accuracy"] == pytest.approx(4 / 40)
    assert record["learning_rate"] == pytest.approx(0.1)


def test_the_learning_rate_is_that_of_the_newest_step_reported(tmp_path):
    """Steps count from 0 in the schedule: of two steps the second had rate 1."""
    log = MetricsLog(tmp_path)
    settings = {"start_step": 0, "total_steps": 10, "steps_per_epoch": 5, "log_every": 2}
    meter = Meter(log, lambda step: float(step), **settings)
    for _ in range(2):
        meter.add(_metrics(1.0, 1, 1))
    meter.report()
    meter.close()
    log.close()
    assert [record["learning_rate"] for record in read_metrics(tmp_path, "train")] == [1.0]


@pytest.mark.parametrize(("loss", "norm"), [(np.nan, 1.0), (np.inf, 1.0), (1.0, np.nan)])
def test_names_the_first_step_that_is_not_finite(tmp_path, loss, norm):
    log = MetricsLog(tmp_path)
    meter = _meter(log, start_step=4, log_every=100)
    meter.add(_metrics(1.0, 1, 1))
    meter.add(_metrics(loss, 1, 1, norm))
    meter.add(_metrics(np.nan, 1, 1))
    with pytest.raises(UserError, match="not finite at step 6 "):
        meter.report()
    meter.close()
    log.close()


class _Data:
    """Of 3 classes with 30, 6 and 4 training images; 10 validation and 20 test images."""

    index = types.SimpleNamespace(
        num_classes=3, source="folder", skipped=(), groups=None, contents=np.array([b""] * 40)
    )
    splits = np.array(["train"] * 40)
    prepared = types.SimpleNamespace(bad=())

    def indices(self, split):
        return np.arange({"train": 40, "validation": 10, "test": 20}[split])

    def labels(self, indices):
        return np.repeat([0, 1, 2], [30, 6, 4])[indices]


def _parts(config, **changes):
    steps = {"start_step": 0, "last_step": 50, "steps_per_epoch": 10, "finishes": True} | changes
    return {name: part.total for name, part in parts_of_training(config, _Data(), **steps).items()}


def test_the_plan_counts_all_that_will_be_done():
    config = tiny_config(
        train__epochs=5, train__validate_every=2, train__checkpoint_every=1, uncertainty__images_per_class=5
    )
    validated = 10 * 3  # after epochs 2, 4 and the last
    final = 10 + 20 + (5 + 5 + 4) + 10 + 20  # evaluation, then the training sample, validation and test again
    compiled = 1 + (1 + 2 + 3) / 3  # the step; validation, two evaluations and three parts score only
    whole = {TRAINING: 50, SAVING: 5, SCORING: validated + final, COMPILING: compiled}
    assert _parts(config) == pytest.approx(whole)
    resumed = _parts(config, start_step=25)
    assert (resumed[TRAINING], resumed[SAVING], resumed[SCORING]) == (25, 3, 20 + final)
    stopped = _parts(config, start_step=10, last_step=25, finishes=False)
    assert (stopped[TRAINING], stopped[SAVING], stopped[SCORING]) == (15, 1, 10)
    trained = _parts(config, start_step=50)
    assert (trained[TRAINING], trained[SCORING], trained[COMPILING]) == (0, final, pytest.approx(5 / 3))


@pytest.mark.parametrize(
    ("tta", "mode", "passes"),
    [(False, "skip", 1), (True, "skip", 8), (False, "second_look", 2), (True, "second_look", 16)],
)
def test_the_plan_counts_every_pass_over_a_scored_image(tta, mode, passes):
    """Until scoring is timed: each pass takes a third of what a training step takes for an image."""
    config = tiny_config(train__batch_size=4, eval__tta=tta, eval__test_mode=mode)
    steps = {"start_step": 0, "last_step": 50, "steps_per_epoch": 10, "finishes": True}
    part = parts_of_training(config, _Data(), **steps)[SCORING]
    assert (part.like, part.ratio) == (TRAINING, pytest.approx(passes / 3 / 4))


@pytest.mark.parametrize("setting", ["model.branching", "loss.name"])
def test_the_greeting_has_words_for_every_choice(setting, tmp_path):
    section, field = setting.split(".")
    state = types.SimpleNamespace(params={"kernel": np.zeros((1000, 1500))}, step=0)
    for choice in BY_NAME[setting].choices:
        config = tiny_config(train__batch_size=56, **{f"{section}__{field}": choice})
        network, images, training, folder, *_ = greeting(config, _Data(), state, 3, tmp_path).splitlines()
        assert network.startswith("network: resnet18, ")
        assert "1.5 million parameters, images of 32 x 32 pixels; loss: " in network
        assert not {"none", "ce", "adl"} & set(network.replace(",", " ").split())
        assert images == "images: 40 train, 10 validation, 20 test, of 3 classes"
        assert "2 epochs (passes over the images) of 3 steps of 56 images, from the start, on " in training
        assert folder == f"run folder: {tmp_path}"


@pytest.mark.parametrize(
    ("error", "fewest", "share", "advised"),
    [
        (0.05, 32, 0.1, "0.5"),  # gives 50
        (0.1, 16, 0.1, "0.35"),
        (0.01, 161, 0.1, None),  # no share is enough
        (0.05, 32, 0.5, None),
        (0.2, None, 0.1, None),  # ten images, all right, are enough
        (0.05, None, 0.0, None),  # as was asked for
    ],
)
def test_the_greeting_says_when_no_cell_can_be_labelled(error, fewest, share, advised, tmp_path):
    """Of the ten validation images of `_Data`."""
    state = types.SimpleNamespace(params={"kernel": np.zeros(8)}, step=0)
    config = tiny_config(uncertainty__target_error=error, data__validation_fraction=share)
    said = greeting(config, _Data(), state, 3, tmp_path)
    few = [line for line in said.splitlines() if line.startswith("only 10 validation images")]
    assert len(few) == (fewest is not None)
    if few:
        assert f"at most {100 * error:g} % errors takes {fewest}, all right" in few[0]
        assert (f"--config.data.validation_fraction={advised} where" in few[0]) == (advised is not None)
        assert few[0].endswith(
            "`evaluate --config.uncertainty.target_error=0.15`, enough if all 10 are right"
        ), "1 - 0.2**(1/10) is 0.1487"


def test_half_of_the_labels_wrong_is_not_advised(tmp_path):
    """Two validation images could promise no better: 1 - 0.2**(1/2) is 0.55."""
    data, state = _Data(), types.SimpleNamespace(params={"kernel": np.zeros(8)}, step=0)
    data.indices = lambda split: np.arange({"train": 40, "validation": 2, "test": 20}[split])
    said = greeting(tiny_config(data__validation_fraction=0.1), data, state, 3, tmp_path)
    (few,) = [line for line in said.splitlines() if line.startswith("only 2 validation images")]
    assert "allow more errors" not in few


def test_scores_are_explained_before_the_first_and_come_with_the_time_left(tmp_path, capsys):
    log = MetricsLog(tmp_path)
    steps = {"start_step": 0, "last_step": 10, "steps_per_epoch": 5, "finishes": True}
    forecast = Forecast(parts_of_training(tiny_config(), _Data(), **steps))
    forecast.measured(COMPILING, 1, 10.0)
    forecast.measured(TRAINING, 1, 60.0)
    with plan(forecast):
        meter = _meter(log)
        for epoch in (1, 2):
            meter.say_validation(epoch, {"accuracy": 0.5, "macro_f1": 0.4, "nll": 1.25})
        meter.close()
    log.close()
    explained, first, second = capsys.readouterr().out.splitlines()
    assert explained.startswith("scores of the validation images, which are not trained on. accuracy: ")
    assert first.startswith("epoch   1  validation: accuracy 0.500, macro-F1 0.400, NLL 1.250, about ")
    assert first.endswith(" min left")
    assert second.startswith("epoch   2  ")
