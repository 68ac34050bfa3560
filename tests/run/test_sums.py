"""Mergeable sums of the training step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.run.sums import Sums


def batches():
    scores = jnp.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [9.0, 0.0]])
    labels = jnp.array([0, 0, 0, 1])
    losses = jnp.array([1.0, 2.0, 4.0, jnp.nan])
    return losses, scores, labels, jnp.array([1.0, 1.0, 1.0, 0.0])


def test_sums_leave_padding_out():
    means = Sums.of(*batches()).means()
    assert means == pytest.approx({"loss": 7 / 3, "accuracy": 2 / 3})


def test_sums_weigh_examples_not_batches():
    losses, scores, labels, _ = (part[:3] for part in batches())
    parts = [Sums.of(losses[i:j], scores[i:j], labels[i:j]) for i, j in ((0, 1), (1, 3))]
    whole = Sums.of(losses, scores, labels)
    assert (Sums.zero() + parts[0] + parts[1]).means() == pytest.approx(whole.means())


def test_sums_pass_through_jit_and_devices():
    losses, scores, labels, mask = batches()

    def step(*batch):
        return jax.lax.psum(Sums.of(*batch), "devices")

    shards = [part.reshape(2, 2, *part.shape[1:]) for part in (losses, scores, labels, mask)]
    found = jax.pmap(step, axis_name="devices", devices=jax.devices()[:2], out_axes=None)(*shards)
    assert found.means() == pytest.approx(Sums.of(*batches()).means())


def test_sums_over_nothing_are_not_a_score():
    assert all(np.isnan(value) for value in Sums.zero().means().values())
