"""Mixing within the training step: who meets whom on any number of devices, and what the loss becomes."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from asae_jax import keys
from asae_jax.augment import cutmix, mixup
from asae_jax.losses import branch_disagreement, cross_entropy, mean_branch_log_probs, mean_branch_loss
from asae_jax.run import build, steps
from asae_jax.run.state import create_state
from tests.training.tiny import tiny_config

COUNT = 16
AXIS = "devices"
IMAGES = np.random.default_rng(0).normal(size=(COUNT, 8, 8, 3)).astype(np.float32)
LABELS = np.arange(COUNT, dtype=np.int32) % 5


KEY = keys.step_key(keys.stream_key(7, "mix"), 0)
"""Of the first step of a run with seed 7."""


@functools.cache
def mixed_on(devices, mix):
    """`mix_share` on the first `devices` devices, its results joined."""

    def share(images, labels):
        images, targets = steps.mix_share(images, labels, mix, KEY, AXIS)
        return images, [labels for _, labels in targets], [weight for weight, _ in targets]

    mapped = jax.pmap(share, axis_name=AXIS, out_axes=(0, 0, None), devices=jax.devices()[:devices])
    images, labels, weights = mapped(*(x.reshape(devices, -1, *x.shape[1:]) for x in (IMAGES, LABELS)))
    return np.asarray(images).reshape(IMAGES.shape), [np.ravel(x) for x in labels], np.asarray(weights)


def test_the_mix_does_not_depend_on_the_number_of_devices():
    one, labels_one, weights_one = mixed_on(1, cutmix)
    eight, labels_eight, weights_eight = mixed_on(8, cutmix)
    np.testing.assert_allclose(one, eight, atol=1e-6)
    np.testing.assert_array_equal(labels_one, labels_eight)
    np.testing.assert_allclose(weights_one, weights_eight, rtol=1e-6)


def test_every_image_is_the_partner_of_one_and_brings_its_label():
    partners, (own, theirs), weights = mixed_on(2, lambda key, images, partners: (partners, 0.25))
    found = [int(np.flatnonzero((image == IMAGES).all((1, 2, 3)))[0]) for image in partners]
    assert sorted(found) == [*range(COUNT)]
    assert found != [*range(COUNT)]
    np.testing.assert_array_equal(own, LABELS)
    np.testing.assert_array_equal(theirs, LABELS[found])
    np.testing.assert_allclose(weights, [0.25, 0.75])


def test_what_is_mixed_and_how_are_drawn_by_keys_of_their_own():
    """A key that is used twice would tie the share of a partner to which one it is."""
    partners, _, (data, _) = mixed_on(2, lambda key, _, partners: (partners, jax.random.key_data(key)))
    order = [int(np.flatnonzero((image == IMAGES).all((1, 2, 3)))[0]) for image in partners]
    given = jax.random.wrap_key_data(data)
    assert not (jax.random.key_data(KEY) == data).all()
    for key in (KEY, given):
        assert order != jax.random.permutation(key, COUNT).tolist()


def half(key, images, partners):
    return images + 0.5 * partners, jnp.float32(0.3)


class Branches(nn.Module):
    """Logits `[branches, batch, 5]`, or `[batch, 5]`, of the images' mean colours."""

    count: int

    @nn.compact
    def __call__(self, images, *, train):
        logits = nn.Dense(5 * max(self.count, 1))(images.mean((1, 2)))
        return jnp.moveaxis(logits.reshape(-1, self.count, 5), 1, 0) if self.count else logits


@pytest.mark.parametrize(
    ("branches", "per_branch", "agreement"),
    [(0, False, 0.0), (2, False, 0.0), (2, True, 0.0), (2, True, 0.5), (0, False, 0.5)],
)
def test_the_loss_is_the_shares_mean_of_both_labels_losses(branches, per_branch, agreement):
    network, optimizer = Branches(branches), optax.sgd(0.1)
    state = create_state(network, optimizer, jax.random.key(0), image_size=8)

    function = functools.partial(
        steps.train_step, network=network, optimizer=optimizer, loss=cross_entropy, seed=7, axis_name=AXIS,
        augment=lambda key, images, first_example: images, loss_per_branch=per_branch, mix=half,
        agreement=agreement,
    )  # fmt: skip
    update = jax.pmap(function, axis_name=AXIS, in_axes=(None, 0), out_axes=None, devices=jax.devices()[:2])
    batch = {"image": IMAGES.reshape(2, 8, 8, 8, 3), "label": LABELS.reshape(2, 8)}
    _, metrics = update(state, batch)
    mixed, (own, theirs), _ = mixed_on(2, half)
    logits = jax.jit(functools.partial(network.apply, train=True))({"params": state.params}, mixed)
    scores = mean_branch_log_probs(logits) if branches else logits

    @jax.jit
    def losses(labels):
        return (
            mean_branch_loss(cross_entropy, logits, labels) if per_branch else cross_entropy(scores, labels)
        )

    expected = 0.3 * losses(own) + 0.7 * losses(theirs)
    if branches:
        expected += agreement * branch_disagreement(logits)
    np.testing.assert_allclose(metrics.sums.loss, expected.sum(), rtol=1e-5)
    assert metrics.sums.count == COUNT
    assert metrics.sums.correct == np.sum(np.argmax(scores, -1) == own)


def test_the_configured_mix_is_the_authors_unless_told():
    assert build.create_mix(tiny_config()) is None
    assert build.create_mix(tiny_config(augment__mix="mixup")) is mixup
    assert build.create_mix(tiny_config(augment__mix="cutmix")) is cutmix
    told = build.create_mix(tiny_config(augment__mix="cutmix", augment__mix_alpha=0.5))
    assert (told.func, told.keywords) == (cutmix, {"alpha": 0.5})
