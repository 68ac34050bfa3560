"""Every row at a tiny size: traced always; trained for two steps by `pytest -m slow`, which takes minutes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax import keys
from asae_jax.experiments.rows import ROWS
from asae_jax.experiments.settings import flat, row_config
from asae_jax.losses import mean_branch_log_probs
from asae_jax.training import build, parallel, step
from asae_jax.training.optimizer import create_optimizer, create_schedule
from asae_jax.training.state import create_state
from tests.experiments.fakes import base_config

NUM_CLASSES = 9  # more than GMMCE keeps
STEPS = 2


def _tiny(name):
    """The row's own settings on a network of width 8 that sees 32 px."""
    config = row_config(base_config(), ROWS[name], seed=0)
    config.data.stored_size, config.augment.size = 36, 32
    config.model.width = 8
    config.model.stem = "small"
    config.optimizer.learning_rate = 0.01
    return config


def _training(config):
    """(maker of the state, step on batches `[1, images, ...]`)."""
    schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=config.train.epochs)
    optimizer = create_optimizer(config.optimizer, schedule)
    start = functools.partial(
        create_state,
        build.create_network(config, NUM_CLASSES),
        optimizer,
        image_size=config.augment.size,
        with_average=config.optimizer.ema_decay > 0,
    )
    update = functools.partial(
        step.train_step,
        network=build.create_network(config, NUM_CLASSES, axis_name=parallel.AXIS),
        optimizer=optimizer,
        loss=build.create_loss(config, NUM_CLASSES, class_counts=np.arange(1, NUM_CLASSES + 1)),
        augment=build.create_augment(config),
        seed=0,
        axis_name=parallel.AXIS,
        ema_decay=config.optimizer.ema_decay,
        loss_per_branch=config.loss.branches == "mean_loss",
        mix=build.create_mix(config),
    )
    return start, jax.vmap(update, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=None)


def _batch():
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(1, NUM_CLASSES, 36, 36, 3), dtype=np.uint8)
    return {"image": jnp.asarray(images), "label": jnp.arange(NUM_CLASSES, dtype=jnp.int32)[None]}


def _what_is_traced(name):
    """The settings that the network and the loss have; rows of other data share them."""
    settings = flat(_tiny(name))
    return tuple(
        f"{n}={v}" for n, v in settings.items() if n.partition(".")[0] in ("model", "asae", "loss", "drop")
    )


@pytest.mark.parametrize("name", {_what_is_traced(name): name for name in ROWS}.values())
def test_the_loss_of_every_row_can_be_traced_in_training(name):
    config = _tiny(name)
    network = build.create_network(config, NUM_CLASSES)
    loss = build.create_loss(config, NUM_CLASSES, class_counts=np.arange(1, NUM_CLASSES + 1))

    def losses(key, images):
        streams = dict.fromkeys(("params", *step.LAYER_STREAMS), key)
        logits, _ = network.init_with_output(streams, images, train=True)
        scores = mean_branch_log_probs(logits) if logits.ndim == 3 else logits
        return loss(scores, jnp.arange(NUM_CLASSES))

    traced = jax.eval_shape(losses, jax.random.key(0), jnp.zeros((NUM_CLASSES, 32, 32, 3)))
    assert (traced.shape, traced.dtype) == ((NUM_CLASSES,), jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_every_row_takes_two_steps(name):
    start, update = _training(_tiny(name))
    state, update, batch = start(keys.stream_key(0, "init")), jax.jit(update), _batch()
    for number in range(STEPS):
        state, metrics = update(state, batch)
        assert np.isfinite(float(metrics.sums.loss))
        assert float(metrics.gradient_norm) > 0
        assert int(state.step) == number + 1
