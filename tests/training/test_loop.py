"""The order within the loop, with steps and scores that are given instead of computed."""

import types

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from asae_jax.errors import UserError
from asae_jax.run import build
from asae_jax.run.metrics_file import read_metrics
from asae_jax.run.steps import StepMetrics
from asae_jax.run.sums import Sums
from asae_jax.training import loop
from tests.training.tiny import tiny_config

EPOCH = 3
"""Steps of an epoch."""


class _Checkpoints:
    """Notes what is saved; of the scores the highest is the best."""

    def __init__(self, done):
        self._done, self._best = done, -1.0

    def is_best(self, score):
        return score is not None and score >= self._best

    def save(self, state, *, score=None):
        self._best = max(self._best, -1.0 if score is None else score)
        self._done.append(("saved", state.step, score))


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """`(losses of the steps, scores of the epochs, **settings) -> what was done`: (what, step, detail) each.

    Of a validation the detail is the last step that had been reported, of a checkpoint its score.
    """

    def train(losses, scores, **changes):
        done = []

        def update(state, batch):
            sums = Sums(*map(jnp.float32, (losses[state.step], 0, 1)))
            return types.SimpleNamespace(step=state.step + 1), StepMetrics(sums, jnp.float32(1))

        def validated(run, score, state, log, meter, epoch):
            done.append(("validated", state.step, read_metrics(tmp_path, "train")[-1]["step"]))
            return scores[epoch - 1]

        monkeypatch.setattr(build, "compiled_train_step", lambda *_, **__: update)
        monkeypatch.setattr(loop, "Scorer", lambda run: None)
        monkeypatch.setattr(loop, "_batches", lambda run, state: _Empty())
        monkeypatch.setattr(loop, "_validate", validated)
        run = types.SimpleNamespace(
            config=tiny_config(train__log_every=100, **changes), workdir=tmp_path, num_classes=2,
            data=types.SimpleNamespace(class_counts=np.ones(2)),
        )  # fmt: skip
        plan = types.SimpleNamespace(
            run=run, last_step=len(losses), steps_per_epoch=EPOCH, optimizer=None,
            schedule=optax.constant_schedule(0.1),
        )  # fmt: skip
        assert loop.train_steps(plan, types.SimpleNamespace(step=0), _Checkpoints(done)) == 0
        return done

    return train


class _Empty:
    """Batches without anything in them."""

    def __next__(self):
        return {}

    def close(self):
        pass


def test_an_epoch_is_reported_then_validated_then_saved(trained):
    assert trained([1.0] * 7, [0.5, 0.6]) == [
        ("validated", 3, 3), ("saved", 3, 0.5), ("validated", 6, 6), ("saved", 6, 0.6), ("saved", 7, None),
    ]  # fmt: skip


def test_a_step_that_is_not_finite_is_named_before_its_network_is_scored_or_saved(trained, tmp_path):
    with pytest.raises(UserError, match="not finite at step 3 "):
        trained([1.0, 1.0, np.nan, 1.0], None)
    assert not read_metrics(tmp_path, "train")


def test_between_checkpoints_only_the_best_is_saved(trained):
    done = trained([1.0] * 15, [0.5, 0.4, 0.5, 0.3, 0.2], train__checkpoint_every=4)
    assert [step for what, step, _ in done if what == "saved"] == [3, 9, 12, 15]
