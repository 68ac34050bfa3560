import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from asae_jax.errors import UserError
from asae_jax.run.checkpoint import Checkpoints
from asae_jax.run.state import TrainState


def _state(step, width=3):
    params = {"kernel": jnp.arange(width, dtype=jnp.float32) + step}
    return TrainState(
        step=jnp.int32(step),
        params=params,
        batch_stats={"mean": jnp.full(2, 0.5)},
        opt_state=optax.sgd(0.1, momentum=0.9).init(params),
        average=None,
    )


@pytest.fixture
def checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    yield checkpoints
    checkpoints.close()


def test_newest_and_best_are_kept_when_the_score_falls(checkpoints):
    for step, score in ((1, 0.5), (2, 0.9), (3, 0.4), (4, 0.3)):
        checkpoints.save(_state(step), score=score)
    checkpoints.wait()
    assert checkpoints.newest == 4
    assert checkpoints.best == 2
    np.testing.assert_array_equal(checkpoints.restore(_state(0), 2).params["kernel"], [2, 3, 4])


def test_a_checkpoint_without_a_score_is_never_the_best(checkpoints):
    checkpoints.save(_state(1), score=0.1)
    checkpoints.save(_state(2))
    checkpoints.wait()
    assert (checkpoints.newest, checkpoints.best) == (2, 1)


def test_without_scores_the_newest_counts_as_best(checkpoints):
    assert checkpoints.best is None
    checkpoints.save(_state(3))
    checkpoints.wait()
    assert checkpoints.best == 3


def test_everything_comes_back_bit_for_bit(checkpoints):
    state = _state(5)
    checkpoints.save(state, score=0.5)
    checkpoints.wait()
    restored = checkpoints.restore(_state(0), 5)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_another_network_is_refused_in_one_line(checkpoints):
    checkpoints.save(_state(1))
    checkpoints.wait()
    with pytest.raises(UserError, match=r"opt_state.0.trace.kernel is \[3\] there and \[4\] here"):
        checkpoints.restore(_state(0, width=4), 1)


def test_an_array_that_is_missing_is_named(checkpoints):
    checkpoints.save(_state(1))
    checkpoints.wait()
    with_average = _state(0).replace(average={"params": {"kernel": jnp.zeros(3)}})
    with pytest.raises(UserError, match=r"average.params.kernel is missing there"):
        checkpoints.restore(with_average, 1)


def test_a_full_disk_is_one_clear_line(checkpoints, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ocp.CheckpointManager, "save", full)
    with pytest.raises(UserError, match=r"No space left on device.*free some space"):
        checkpoints.save(_state(1))


def test_a_disk_without_room_is_one_line_before_anything_is_written(checkpoints, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=10))
    with pytest.raises(UserError, match=r"cannot write a checkpoint to .* \(\d+ bytes needed, 10 free\)"):
        checkpoints.save(_state(1), score=0.5)
    checkpoints.wait()
    assert checkpoints.newest is None
