"""Devices in words and numbers, and what does not fit into their memory."""

import jax
import pytest

from asae_jax.errors import UserError
from asae_jax.run import devices, parallel
from asae_jax.run.devices import SCORING, TRAINING, within_memory


@pytest.mark.parametrize("when", ["asked for", "joined"])
def test_scores_that_do_not_fit_into_memory_name_their_own_batch(monkeypatch, when):
    """In training too, whose remedies do not help. Devices run behind the program, which may learn late."""

    def full(*_, **__):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    class Failed:
        __array__ = full

    answer = full if when == "asked for" else lambda *_: Failed()
    monkeypatch.setattr(jax, "pmap", lambda *_, **__: answer)
    score = parallel.parallel_score(lambda variables, batch: batch)
    said = r"a batch that is scored does not fit .*: give a smaller --config.eval.batch_size\.$"
    with pytest.raises(UserError, match=said), within_memory(TRAINING):
        parallel.join(score({}, {}))


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
