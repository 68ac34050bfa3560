"""Hides regions of images: the pixels of a map's cells, filled with something that says nothing."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from asae_jax.inference.alignment import Grid
from asae_jax.types import Images

_RING = 16  # the border is this part of the side
_BLUR = 10  # the blur's standard deviation is this part of the side


def tile(region: jax.Array, grid: Grid) -> jax.Array:
    """Cells `[batch, cells, cells]` as pixels `[batch, size, size]`: each pixel is its nearest cell's.

    What a cell of a deep stage depends on is larger, with its centre there.
    """
    places = grid.nearest(grid.size)
    return region[:, places][:, :, places]


def hide(images: Images, region: jax.Array, grid: Grid, *, fill: str) -> Images:
    """Normalised square images with the cells of `region` replaced.

    Args:
      images: float `[batch, size, size, 3]`.
      region: bool `[batch, cells, cells]`, True where to hide.
      grid: where these cells lie.
      fill: one of `FILLS`: "border", the image's mean colour along its border (background, where cells are
        in the middle); "mean", its mean colour; "blur", the image itself, blurred by a Gaussian of a tenth
        of its side.
    """
    hidden = tile(region, grid)[..., None]
    return jnp.where(hidden, FILLS[fill](images), images)


def change(images: Images, hidden_images: Images, region: jax.Array, grid: Grid) -> jax.Array:
    """Mean absolute change of the hidden pixels, in the images' units: float32 `[batch]`."""
    count = jnp.sum(tile(region, grid), axis=(1, 2))
    total = jnp.sum(jnp.abs(images - hidden_images), axis=(1, 2, 3)) / images.shape[-1]
    return total / jnp.maximum(count, 1)


def _border(images: Images) -> Images:
    size = images.shape[1]
    ring = max(1, size // _RING)
    inside = (jnp.arange(size) >= ring) & (jnp.arange(size) < size - ring)
    outside = ~(inside[:, None] & inside[None, :])[None, :, :, None]
    total = jnp.sum(jnp.where(outside, images, 0), axis=(1, 2), keepdims=True)
    return total / jnp.sum(outside)


def _mean(images: Images) -> Images:
    return jnp.mean(images, axis=(1, 2), keepdims=True)


def _blur(images: Images) -> Images:
    """Gaussian whose weights are taken anew at the border, where part of it lies outside."""
    size = images.shape[1]
    places = jnp.arange(size, dtype=jnp.float32)
    distances = (places[:, None] - places[None, :]) / (size / _BLUR)
    weights = jax.nn.softmax(-0.5 * distances**2, axis=-1)
    return jnp.einsum("ri,bijc,sj->brsc", weights, images, weights)


FILLS: dict[str, Callable[[Images], Images]] = {"border": _border, "mean": _mean, "blur": _blur}
