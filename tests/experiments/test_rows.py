"""Every row by its registered name, at a tiny size: two steps of its network, layer, loss and mix."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax import keys
from asae_jax.experiments.rows import ROWS
from asae_jax.experiments.settings import flat, row_config
from asae_jax.training import build, parallel, step
from asae_jax.training.optimizer import create_optimizer, create_schedule
from asae_jax.training.state import create_state
from tests.experiments.fakes import base_config

NUM_CLASSES = 9  # more than GMMCE keeps
STEPS = 2

_COMPILE_QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
# For two steps of tiny batches: nearly all the time goes into compiling, and this halves it.

_SHALLOW = {
    "resnet18": {"stage_sizes": (1, 1, 1, 1)},
    "resnet50": {"stage_sizes": (2, 1, 1, 1)},
    "se_resnet18": {"stage_sizes": (1, 1, 1, 1)},
    "nl_resnet18": {"stage_sizes": (1, 2, 2, 1)},
    "adl_resnet18": {"stage_sizes": (1, 1, 1, 2)},
    "convnext_tiny": {"stage_sizes": (1, 1, 1, 1)},
    "efficientnet_b0": {"repeats": (1,) * 7},
    "vit_small": {"stage_sizes": (1, 1, 1, 1)},
}
# One block of each kind, and all places of extra modules: the whole networks took half of this file's time.


def _tiny(name):
    """The row's own settings on a network of width 8 that sees 32 px."""
    config = row_config(base_config(), ROWS[name], seed=0)
    config.data.stored_size, config.augment.size = 36, 32
    config.model.width = 8
    config.model.stem = "small"
    config.optimizer.learning_rate = 0.01
    return config


def _network(config, axis_name=None):
    network = build.create_network(config, NUM_CLASSES, axis_name=axis_name)
    return network.clone(backbone=network.backbone.clone(**_SHALLOW.get(config.model.name, {})))


def _state(config, optimizer):
    """A state with the shapes of a fresh one, filled at random: drawing that one has to be compiled."""
    start = functools.partial(
        create_state,
        _network(config),
        optimizer,
        image_size=config.augment.size,
        with_average=config.optimizer.ema_decay > 0,
    )
    shapes = jax.eval_shape(start, keys.stream_key(0, "init"))
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.zeros(leaf.shape, leaf.dtype)
        if path[-1] == jax.tree_util.DictKey("var"):
            return jnp.ones(leaf.shape, leaf.dtype)
        return jnp.asarray(rng.normal(0, 0.05, leaf.shape), leaf.dtype)

    state = jax.tree_util.tree_map_with_path(fill, shapes)
    return state.replace(opt_state=optimizer.init(state.params))


def _update(config, optimizer):
    """The training step on batches `[1, images, ...]`."""
    update = functools.partial(
        step.train_step,
        network=_network(config, parallel.AXIS),
        optimizer=optimizer,
        loss=build.create_loss(config, NUM_CLASSES, class_counts=np.arange(1, NUM_CLASSES + 1)),
        augment=build.create_augment(config),
        seed=0,
        axis_name=parallel.AXIS,
        ema_decay=config.optimizer.ema_decay,
        loss_per_branch=config.loss.branches == "mean_loss",
        agreement=config.loss.agreement,
        mix=build.create_mix(config),
    )
    mapped = jax.vmap(update, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=None)
    return jax.jit(mapped, compiler_options=_COMPILE_QUICKLY)


def _batch():
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(1, NUM_CLASSES, 36, 36, 3), dtype=np.uint8)
    return {"image": jnp.asarray(images), "label": jnp.arange(NUM_CLASSES, dtype=jnp.int32)[None]}


_OF_THE_DATA = ("data.", "reproduce.")
_steps_taken = {}


def _two_steps(name):
    """States and metrics of the steps; rows that differ in their data alone share them."""
    config = _tiny(name)
    same = tuple(f"{n}={v}" for n, v in flat(config).items() if not n.startswith(_OF_THE_DATA))
    if same not in _steps_taken:
        schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=config.train.epochs)
        optimizer = create_optimizer(config.optimizer, schedule)
        states, measured = [_state(config, optimizer)], []
        update, batch = _update(config, optimizer), _batch()
        for _ in range(STEPS):
            state, metrics = update(states[-1], batch)
            states.append(state)
            measured.append(metrics)
        _steps_taken[same] = states, measured
    return _steps_taken[same]


@pytest.mark.parametrize("name", ROWS)
def test_every_row_takes_two_steps(name):
    states, measured = _two_steps(name)
    assert [int(state.step) for state in states] == [0, 1, 2]
    for metrics in measured:
        assert np.isfinite(float(metrics.sums.loss))
        assert float(metrics.gradient_norm) > 0
    before, after = (jax.tree.leaves(state.params) for state in (states[0], states[-1]))
    assert all(np.isfinite(leaf).all() for leaf in after)
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
