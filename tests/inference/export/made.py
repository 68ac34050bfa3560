"""Networks with made-up weights, without training: nothing is compiled to make them."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from asae_jax.inference.export.program import Program
from asae_jax.run import build
from asae_jax.run.run import Run
from tests.training.tiny import tiny_config

CLASS_NAMES = ("BLA", "EBO", "NGS", "PMO")
STORED, SIZE = 20, 16
"""Pixels of prepared images, and what the network sees of them."""


def config(**changes):
    """A network of width 4 on 16 px; `changes` as `section__field=value`."""
    sizes = {"data__stored_size": STORED, "augment__size": SIZE, "model__width": 4}
    return tiny_config(**sizes | changes)


def program(uncertainty=None, workdir=Path("no_run"), **changes):
    """A `Program` whose statistics are unlike those of a fresh network."""
    settings = config(**changes)
    network = build.create_network(settings, len(CLASS_NAMES))
    images = jnp.zeros((1, settings.augment.size, settings.augment.size, 3))
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), images, train=False))
    run = Run(workdir, settings, CLASS_NAMES)
    run.variables, run.step = jax.tree_util.tree_map_with_path(_leaf, dict(shapes)), 12
    return Program(run, network, uncertainty)


def images(count):
    """uint8 `[count, STORED, STORED, 3]`."""
    return np.random.default_rng(1).integers(0, 256, (count, STORED, STORED, 3), np.uint8)


def _leaf(path, shape):
    name = path[-1].key
    rng = np.random.default_rng(len(jax.tree_util.keystr(path)) + sum(shape.shape))
    if name == "kernel":
        return rng.normal(0, np.prod(shape.shape[:-1]) ** -0.5, shape.shape).astype(np.float32)
    if name in ("scale", "var"):
        return rng.uniform(0.5, 1.5, shape.shape).astype(np.float32)
    return rng.normal(0, 0.3, shape.shape).astype(np.float32)
