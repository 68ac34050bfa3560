"""Frozen stages stay as they are, bit for bit, and compute as at test; the head may learn at another rate."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from asae_jax import keys
from asae_jax.config import check
from asae_jax.errors import UserError
from asae_jax.models.layers import BatchNorm
from asae_jax.run import build, parallel, steps
from asae_jax.run.state import create_state
from asae_jax.training.optimizer import create_optimizer
from tests.training.tiny import BATCH_SIZE, NUM_CLASSES, tiny_config

FROZEN = ("layer0", "layer1", "layer2")
BATCH = {
    "image": np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, 36, 36, 3), np.uint8),
    "label": np.arange(BATCH_SIZE, dtype=np.int32) % NUM_CLASSES,
}


def _network(config, axis_name=None):
    """One block a stage, which compiles in half the time."""
    network = build.create_network(config, NUM_CLASSES, axis_name=axis_name)
    return network.clone(backbone=network.backbone.clone(stage_sizes=(1, 1, 1, 1)))


@pytest.fixture(scope="module")
def config():
    return tiny_config(
        model__branching="none",
        init__pretrained="x",
        init__freeze="layer2",
        augment__size=16,
        optimizer__weight_decay=0.5,
    )


@pytest.fixture(scope="module")
def before_and_after(config):
    """A state and the next one, on one device, with a large weight decay."""
    network = _network(config, parallel.AXIS)
    optimizer = create_optimizer(
        config.optimizer, optax.constant_schedule(0.1), frozen=network.frozen_stages, head_rate=2.0
    )
    state = create_state(_network(config), optimizer, keys.stream_key(0, "init"), image_size=16)
    # Running statistics of a trained network, so that computing with them differs from the batch's.
    state = state.replace(batch_stats=jax.tree.map(lambda x: x + 0.25, state.batch_stats))
    function = functools.partial(
        steps.train_step,
        network=network,
        optimizer=optimizer,
        loss=build.create_loss(config, NUM_CLASSES),
        augment=build.create_augment(config),
        seed=0,
        axis_name=parallel.AXIS,
    )
    update = jax.pmap(
        function, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=None, devices=jax.devices()[:1]
    )
    after, _ = update(state, jax.tree.map(lambda x: x[None], BATCH))
    return state, after


def test_frozen_stages_keep_parameters_and_statistics_and_the_others_do_not(before_and_after):
    before, after = before_and_after
    for collection in ("params", "batch_stats"):
        old, new = getattr(before, collection)["backbone"], getattr(after, collection)["backbone"]
        for module in old:
            same = [
                bool(np.array_equal(a, b))
                for a, b in zip(jax.tree.leaves(old[module]), jax.tree.leaves(new[module]), strict=True)
            ]
            assert all(same) if module in FROZEN else not any(same), (collection, module)


def test_no_gradient_reaches_a_frozen_stage(before_and_after):
    """Momentum after the first step is gradient + decay * parameter."""
    before, after = before_and_after
    momentum = next(s.trace for s in after.opt_state if isinstance(s, optax.TraceState))["backbone"]
    for module in FROZEN:
        for moved, parameter in zip(
            jax.tree.leaves(momentum[module]), jax.tree.leaves(before.params["backbone"][module]), strict=True
        ):
            np.testing.assert_allclose(moved, 0.5 * parameter, rtol=1e-6)


@pytest.mark.usefixtures("float64")
def test_frozen_stages_compute_in_training_as_at_test(config, before_and_after):
    state, _ = before_and_after
    network, variables = _network(config), jax.tree.map(np.float64, dict(state.variables()))
    network = network.clone(backbone=network.backbone.clone(dtype=jnp.float64))
    images = jax.random.normal(jax.random.key(0), (4, 16, 16, 3))

    @functools.partial(jax.jit, static_argnames="train")
    def endpoints(*, train):
        options = {"mutable": ["batch_stats"]} if train else {}
        result = network.apply(variables, images, train=train, return_endpoints=True, **options)
        return (result[0] if train else result)[1]

    train, test = endpoints(train=True), endpoints(train=False)
    for name in FROZEN:
        np.testing.assert_allclose(train[name], test[name], rtol=1e-12, atol=1e-12)
    assert np.abs(train["layer3"] - test["layer3"]).max() > 0.1


class _TwoNorms(nn.Module):
    """Normalises images by frozen statistics and by those of the batch."""

    @nn.compact
    def __call__(self, images, *, train):
        return BatchNorm(frozen=True, name="frozen")(images, train=train), BatchNorm(name="free")(
            images, train=train
        )


@pytest.mark.usefixtures("float64")
def test_statistics_taken_again_leave_out_frozen_ones():
    network, images = _TwoNorms(), BATCH["image"].astype(np.float64)
    variables = network.init(jax.random.key(0), jnp.zeros((1, 4, 4, 3)), train=False)
    variables = jax.tree.map(np.float64, variables)
    measure = jax.vmap(
        functools.partial(
            steps.statistics_step,
            network=network,
            augment=lambda key, images, first_example: images,
            seed=0,
            axis_name="devices",
            momentum=0.9,
        ),
        in_axes=(None, 0, None),
        axis_name="devices",
    )
    statistics = jax.jit(measure)(variables, {"image": images[None]}, jnp.int32(0))
    statistics = jax.tree.map(lambda x: x[0], statistics)
    np.testing.assert_allclose(statistics["frozen"]["mean"], np.zeros(3), rtol=0, atol=1e-12)
    np.testing.assert_allclose(statistics["frozen"]["var"], np.ones(3), rtol=1e-12)
    np.testing.assert_allclose(statistics["free"]["mean"], images.mean((0, 1, 2)), rtol=1e-11)
    np.testing.assert_allclose(statistics["free"]["var"], images.var((0, 1, 2), ddof=1), rtol=1e-11)


def test_head_rate_multiplies_the_head_s_step_alone():
    params = {
        "backbone": {"layer4": {"kernel": jnp.ones(2)}, "head": {"kernel": jnp.ones(2), "bias": jnp.ones(1)}}
    }
    settings = tiny_config().optimizer
    gradients = jax.tree.map(jnp.ones_like, params)
    updates = []
    for rate in (1.0, 10.0):
        optimizer = create_optimizer(settings, optax.constant_schedule(0.1), head_rate=rate)
        updates.append(optimizer.update(gradients, optimizer.init(params), params)[0]["backbone"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b, 10 * a, rtol=1e-6), updates[0]["head"], updates[1]["head"]
    )
    np.testing.assert_array_equal(updates[0]["layer4"]["kernel"], updates[1]["layer4"]["kernel"])


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"init__freeze": "layer9", "init__pretrained": "x"}, "init.freeze.*layer0, layer1"),
        ({"init__freeze": "layer1"}, "set config.init.pretrained too"),
        ({"init__head_rate": -1.0}, "init.head_rate.*at least 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, remedy):
    with pytest.raises(UserError, match=remedy):
        check(tiny_config(**changes))
