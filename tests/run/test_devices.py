"""Devices in words and numbers, and what does not fit into their memory."""

import types

import jax
import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.evaluation.scoring import reestimate_statistics
from asae_jax.inference.adapt.all_layers import cross_fit_all
from asae_jax.inference.adapt.statistics import estimated_statistics
from asae_jax.run import build, devices, parallel
from asae_jax.run.devices import SCORING, TRAINING, within_memory
from tests.training.tiny import tiny_config


def _full(*_, **__):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")


@pytest.mark.parametrize("when", ["asked for", "joined"])
def test_scores_that_do_not_fit_into_memory_name_their_own_batch(monkeypatch, when):
    """In training too, whose remedies do not help. Devices run behind the program, which may learn late."""

    class Failed:
        __array__ = _full

    answer = _full if when == "asked for" else lambda *_: Failed()
    monkeypatch.setattr(jax, "pmap", lambda *_, **__: answer)
    score = parallel.parallel_score(lambda variables, batch: batch)
    said = r"a batch that is scored does not fit .*: give a smaller --config.eval.batch_size\.$"
    with pytest.raises(UserError, match=said), within_memory(TRAINING):
        parallel.join(score({}, {}))


ROWS = np.arange(8)
IMAGES = np.zeros((8, 36, 36, 3), np.uint8)
WEIGHTS = {"params": {"kernel": np.zeros(3)}, "batch_stats": {}}


@pytest.mark.parametrize(
    ("compute", "remedy"),
    [
        (reestimate_statistics, "give --config.eval.batch_statistics=running"),
        (lambda run: estimated_statistics(run, WEIGHTS, IMAGES, [ROWS]), "to `adapt` --statistics=keep"),
        (lambda run: cross_fit_all(run, WEIGHTS, IMAGES, ROWS % 2, _full, [ROWS < 4]), "give --layers=last"),
    ],
)
def test_what_else_does_not_fit_into_memory_names_its_remedy(monkeypatch, compute, remedy):
    for step in ("compiled_statistics_step", "compiled_train_step"):
        monkeypatch.setattr(build, step, lambda *_, **__: _full)
    data = types.SimpleNamespace(training_batches=lambda _: iter([{"image": IMAGES}]))
    run = types.SimpleNamespace(config=tiny_config(), num_classes=2, variables=WEIGHTS, data=data)
    with pytest.raises(UserError, match=f"does not fit into the memory of .*: .*{remedy}"):
        compute(run)


def test_other_errors_of_the_device_pass():
    error = jax.errors.JaxRuntimeError("INTERNAL: broken")
    with pytest.raises(jax.errors.JaxRuntimeError, match="broken"), within_memory(SCORING):
        raise error


@pytest.fixture
def probe(monkeypatch):
    """Asks `code` in the place of JAX, and forgets the answer."""

    def asked(code):
        monkeypatch.setattr(devices, "_PROBE", code)
        devices.probe.cache_clear()
        return devices.probe()

    yield asked
    devices.probe.cache_clear()


@pytest.mark.parametrize(
    ("flags", "backend", "count", "known"),
    [
        ("", "cpu", 4, 1),  # a run makes its own, whatever JAX_NUM_CPU_DEVICES says
        ("--xla_force_host_platform_device_count=8", "cpu", 8, 8),
        ("", "gpu", 4, 4),
    ],
)
def test_devices_that_do_not_follow_the_batch(monkeypatch, probe, flags, backend, count, known):
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert probe(f"print('a line of the driver'); print('{backend}', {count})") == (backend, known)


def test_why_there_is_no_device_is_told(probe):
    with pytest.raises(UserError, match=r"^JAX cannot start on this machine: no driver$"):
        probe("import sys; sys.exit('no driver')")
