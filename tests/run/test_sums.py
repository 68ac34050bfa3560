"""Mergeable sums of the training step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.run.sums import Sums

SCORES = jnp.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [9.0, 0.0]])
LABELS = jnp.array([0, 0, 0, 1])
LOSSES = jnp.array([1.0, 2.0, 4.0, 8.0])
MEANS = {"loss": 15 / 4, "accuracy": 2 / 4}


def test_means_are_per_example():
    assert Sums.of(LOSSES, SCORES, LABELS).means() == pytest.approx(MEANS)


def test_sums_weigh_examples_not_batches():
    parts = [Sums.of(LOSSES[i:j], SCORES[i:j], LABELS[i:j]) for i, j in ((0, 1), (1, 4))]
    assert jax.tree.map(lambda *sums: sum(sums), *parts).means() == pytest.approx(MEANS)


def test_sums_pass_through_jit_and_devices():
    def step(*batch):
        return jax.lax.psum(Sums.of(*batch), "devices")

    shards = [part.reshape(2, 2, *part.shape[1:]) for part in (LOSSES, SCORES, LABELS)]
    found = jax.pmap(step, axis_name="devices", devices=jax.devices()[:2], out_axes=None)(*shards)
    assert found.means() == pytest.approx(MEANS)


def test_sums_over_nothing_are_not_a_score():
    nothing = Sums.of(LOSSES[:0], SCORES[:0], LABELS[:0])
    assert all(np.isnan(value) for value in nothing.means().values())
