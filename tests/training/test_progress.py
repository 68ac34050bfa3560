import jax.numpy as jnp
import numpy as np
import optax
import pytest

from asae_jax.errors import UserError
from asae_jax.run.steps import StepMetrics
from asae_jax.run.sums import Sums
from asae_jax.training.metrics_log import MetricsLog, read_metrics
from asae_jax.training.progress import Meter


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
    meter.close()
    log.close()
    (record,) = read_metrics(tmp_path, "train")
    assert record["step"] == 2
    assert record["epoch"] == pytest.approx(0.4)
    assert record["loss"] == pytest.approx(33 / 40)
    assert record["accuracy"] == pytest.approx(4 / 40)
    assert record["learning_rate"] == pytest.approx(0.1)


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
