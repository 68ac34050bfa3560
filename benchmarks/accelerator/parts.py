"""Parts of a training step, each timed alone: where to look when the step is slower than it should be.

Alone a part cannot be fused with its neighbours, and reads and writes all that it shares with them. So parts
need not add up to the step: compare each with the memory's rate.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from asae_jax import keys
from asae_jax.losses import mean_branch_log_probs
from asae_jax.models.asae import ASAE
from asae_jax.models.convolution import convolve
from asae_jax.models.layers import BatchNorm
from asae_jax.models.pooling import max_pool
from asae_jax.run import build
from asae_jax.run.state import abstract_state
from asae_jax.training.optimizer import create_optimizer, create_schedule
from benchmarks.rival import CLASSES, Work, batch_of, our_config

Part = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function, and what it is called with."""


def random_views(work: Work, stored: int) -> Part:
    """Crop, rotation, colours, normalisation."""
    images = jnp.asarray(batch_of(work, stored)["image"])
    return build.create_augment(our_config(work)), (keys.stream_key(0, "augment"), images)


def pooling(work: Work, stored: int) -> Part:
    """Max-pooling of the stem, and its gradient."""
    pool = functools.partial(max_pool, size=3, strides=2, padding=1)
    return _with_gradient(pool, _map(work, 2, work.width))


def normalisation(work: Work, stored: int) -> Part:
    """Batch normalisation and ReLU of the largest maps, and their gradient."""
    x = _map(work, 4, 4 * work.width)
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), x[:1], train=False)

    def forward(x: jax.Array) -> jax.Array:
        return nn.relu(norm.apply(variables, x, train=True, mutable=["batch_stats"])[0])

    return _with_gradient(forward, x)


def convolution(work: Work, stored: int, *, size: int) -> Part:
    """A convolution of the first stage, `size` x `size`, and both gradients."""
    x = _map(work, 4, work.width)
    features = work.width if size > 1 else 4 * work.width
    kernel = jax.random.normal(jax.random.key(1), (size, size, work.width, features)).astype(x.dtype)
    zeros = ((size // 2, size // 2),) * 2
    return _with_gradient(functools.partial(convolve, strides=1, zeros=zeros), x, kernel)


def stem(work: Work, stored: int) -> Part:
    """The first convolution, of images, and its kernel's gradient."""
    images = jax.random.normal(jax.random.key(0), (work.batch_size, work.size, work.size, 3)).astype(
        work.dtype
    )
    kernel = jax.random.normal(jax.random.key(1), (7, 7, 3, work.width)).astype(work.dtype)
    zeros = ((3, 3), (3, 3))
    return _with_gradient(functools.partial(convolve, images, strides=2, zeros=zeros), kernel)


def layer(work: Work, stored: int) -> Part:
    """The ASAE layer without the stages behind it, and its gradient."""
    asae = ASAE(area=0.18)

    def forward(x: jax.Array) -> jax.Array:
        return asae.apply({}, x, rngs={"asae": jax.random.key(1)})

    return _with_gradient(forward, _map(work, 16, 16 * work.width))


def loss(work: Work, stored: int) -> Part:
    """GMMCE of two branches, and its gradient."""
    gmmce = build.create_loss(our_config(work._replace(layer="asae")), CLASSES)
    logits = jax.random.normal(jax.random.key(0), (2, work.batch_size, CLASSES))
    labels = jnp.asarray(batch_of(work)["label"])
    return _with_gradient(lambda logits: gmmce(mean_branch_log_probs(logits), labels), logits)


def optimiser(work: Work, stored: int) -> Part:
    """The update of all weights."""
    config = our_config(work)
    schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=1)
    rule = create_optimizer(config.optimizer, schedule)
    shapes = abstract_state(build.create_network(config, CLASSES), rule, image_size=work.size)
    params, state = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), (shapes.params, shapes.opt_state))

    def update(gradients: Any, params: Any, state: Any) -> Any:
        changes, state = rule.update(gradients, state, params)
        return optax.apply_updates(params, changes), state, optax.tree.norm(gradients)

    return update, (params, params, state)


PARTS: dict[str, Callable[..., Part]] = {
    "random views": random_views,
    "convolution of images": stem,
    "max-pooling": pooling,
    "batch normalisation": normalisation,
    "3 x 3 convolution": functools.partial(convolution, size=3),
    "1 x 1 convolution": functools.partial(convolution, size=1),
    "ASAE layer": layer,
    "GMMCE": loss,
    "optimiser": optimiser,
}


def _map(work: Work, reduction: int, channels: int) -> jax.Array:
    """Random features of the side that they have after `reduction`."""
    side = max(1, work.size // reduction)
    shape = (work.batch_size, side, side, channels)
    values = np.random.default_rng(0).normal(size=shape[1:]).astype(np.float32)
    return jnp.broadcast_to(jnp.asarray(values, jnp.dtype(work.dtype)), shape).copy()


def _with_gradient(forward: Callable[..., jax.Array], *arguments: jax.Array) -> Part:
    """The function and its gradient with respect to all arguments."""
    shape = jax.eval_shape(forward, *arguments)
    cotangent = jax.random.normal(jax.random.key(2), shape.shape).astype(shape.dtype)

    def both(cotangent: jax.Array, *arguments: jax.Array) -> Any:
        result, pullback = jax.vjp(forward, *arguments)
        return result, pullback(cotangent)

    return both, (cotangent, *arguments)
