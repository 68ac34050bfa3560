"""Published variations on the ASAE layer's maps, none of them in its paper.

All are off by default, but for the first in the networks that it is meant for.

- A self-attention map of features that have both signs: `magnitude`, the mean of the absolute values, which
  Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, section 3.1, compare with other
  powers. The paper's backbones end their blocks in a ReLU, and there the plain mean is that too; in linear
  bottlenecks and the residual streams of ConvNeXt and vision transformers signs cancel in it.
- Enhancement that keeps the features' scale: `mean_one` divides the sigmoid by its mean; `residual` is 1 + A,
  the residual attention F * (1 + A) of Wang et al., "Residual Attention Network", CVPR 2017, eq. (3).
- A ramp from nothing to the whole layer over training: Ghiasi et al., "DropBlock", NeurIPS 2018, section 3,
  raise the share of what is dropped linearly, as a fixed one 'does not work well'. Here one region of an
  image is hidden or not, so what rises is the probability that it is.
- Rescaling of what is kept: DropBlock's algorithm 1, features times count(M) / count_ones(M). It is taken per
  image, as the algorithm is written for one map: over the batch, as in most code, an image's features would
  depend on its neighbours.
- A random place as a control: the same region, moved. If the attention's choice of the place matters, the
  layer has to beat it.
"""

import zlib

import jax
import jax.numpy as jnp
from jax import lax

from asae_jax import keys
from asae_jax.types import Array, AttentionMap, ExampleNumbers, ImageFeatures, Key, Number, at_least_float32

PLACES = ("peak", "random")
"""Where the suppressed region lies."""


def magnitude(features: ImageFeatures) -> AttentionMap:
    """Mean of the absolute values over the channels, relative to its mean over the map.

    So the sigmoid of it does not depend on the features' scale, which differs a lot between networks.

    Args:
      features: `[batch, height, width, channels]`.

    Returns:
      float32 `[batch, height, width]`, at least 0, mean 1; all 0 where all features are.
    """
    values = jnp.mean(jnp.abs(at_least_float32(features)), axis=-1)
    mean = jnp.mean(values, axis=(1, 2), keepdims=True)
    return values / jnp.where(mean > 0, mean, 1)


def mean_one(attention: AttentionMap) -> AttentionMap:
    """Sigmoid divided by its mean over the map: float32, mean 1, same shape.

    By logarithms: where the whole map is far below zero 0 / 0 would arise.
    """
    positions = attention.shape[1] * attention.shape[2]
    return positions * jax.nn.softmax(jax.nn.log_sigmoid(attention), axis=(1, 2))


def residual(attention: AttentionMap) -> AttentionMap:
    """1 + sigmoid: float32, within 1..2, same shape; the features are never weakened."""
    return 1 + jax.nn.sigmoid(attention)


def ramped_enhancement(enhancement: AttentionMap, strength: Number) -> AttentionMap:
    """1 - t + t * E: from no enhancement at strength t = 0 to the map itself at 1, same shape."""
    return 1 + strength * (enhancement - 1)


def ramped_mask(
    key: Key, mask: AttentionMap, strength: Number, *, first_example: ExampleNumbers = 0
) -> AttentionMap:
    """The mask of each image with probability `strength`, otherwise ones, which hide nothing.

    Args:
      key: one for the batch; every image draws by its own, folded from it.
      mask: `[batch, height, width]`, 0 where hidden.
      strength: probability, 0..1; may be traced.
      first_example: number of the first image within the global batch, or of each.

    Returns:
      float32, same shape.
    """
    drawn = jax.vmap(jax.random.uniform)(_image_keys(key, "ramp", len(mask), first_example))
    return jnp.where((drawn < strength)[:, None, None], mask, jnp.ones_like(mask))


def moved_region(key: Key, mask: AttentionMap, *, first_example: ExampleNumbers = 0) -> AttentionMap:
    """The hidden region of each image at a random place: shape and number of positions stay.

    Every place at which the region lies inside the map is equally likely, its own one included.

    Args:
      key: one for the batch; every image draws by its own, folded from it.
      mask: `[batch, height, width]`, 0 where hidden.
      first_example: number of the first image within the global batch, or of each.

    Returns:
      float32, same shape.
    """
    image_keys = _image_keys(key, "place", len(mask), first_example)
    return jax.vmap(_move)(image_keys, mask)


def _move(key: Key, mask: Array) -> Array:
    """One image's mask `[height, width]`, shifted as a whole; nothing crosses the border."""
    for axis, draw in enumerate(jax.random.uniform(key, (2,))):
        hidden = (mask == 0).any(1 - axis)
        length = mask.shape[axis]
        first, last = jnp.argmax(hidden), length - 1 - jnp.argmax(hidden[::-1])
        target = (draw * (length - (last - first))).astype(jnp.int32)
        mask = jnp.roll(mask, target - first, axis)
    return mask


def _image_keys(key: Key, name: str, count: int, first_example: ExampleNumbers) -> Array:
    """Keys apart from those that choose the peaks, so that these stay what they are."""
    return keys.example_keys(jax.random.fold_in(key, zlib.crc32(name.encode())), count, first_example)


def kept_rescaled(mask: AttentionMap) -> AttentionMap:
    """The mask divided by the share of the map that it keeps: mean 1 for each image; all hidden stays 0."""
    kept = jnp.mean(lax.stop_gradient(mask), axis=(1, 2), keepdims=True)
    return mask / jnp.where(kept > 0, kept, 1)
