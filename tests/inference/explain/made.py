"""Weights for networks that are never trained."""

import jax
import jax.numpy as jnp
import numpy as np


def random_variables(network, size):
    """As at the start of training, without compiling the initialisation."""
    images = jnp.zeros((1, size, size, 3))
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), images, train=False))
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            return rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape).astype(np.float32)
        return np.full(leaf.shape, name in ("scale", "var"), np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)
