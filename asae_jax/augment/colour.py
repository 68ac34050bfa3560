"""Colour jitter as one affine map of the colours of each image."""

import jax
import jax.numpy as jnp
import numpy as np

from asae_jax.augment.draws import Draws

_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_GREY = np.tile(_YIQ[0], (3, 1))  # colour -> its grey (ITU-R BT.601 luma) in all three channels
_CHROMA = np.eye(3) - _GREY
_CHROMA_TURNED = np.linalg.inv(_YIQ) @ np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ _YIQ
_PARTS = np.stack([_GREY, _CHROMA, _CHROMA_TURNED]).astype(np.float32)


def jitter_colours(images: jax.Array, draws: Draws) -> jax.Array:
    """Brightness, contrast, saturation and hue of float images `[batch, height, width, 3]`, 0..1.

    In this order: times the brightness; away from or towards the image's mean grey; away from or
    towards the pixel's grey; a turn of the chroma plane of YIQ, which keeps the grey. Each step is
    affine, and greys stay grey in the last two, so that all four are one 3x3 matrix and one offset per
    image. Clipped to 0..1 once, at the end.
    """
    offset = draws.brightness * (1 - draws.contrast) * _mean_grey(images)
    matrices = _colour_matrices(draws)
    turned = [images[..., i : i + 1] * matrices[:, None, None, :, i] for i in range(3)]
    return jnp.clip(turned[0] + turned[1] + turned[2] + offset[:, None, None, None], 0, 1)


def _colour_matrices(draws: Draws) -> jax.Array:
    """The linear part of the four steps: `[batch, 3, 3]`, rows are the new channels."""
    cos, sin = draws.saturation * jnp.cos(draws.hue), draws.saturation * jnp.sin(draws.hue)
    parts = jnp.stack([jnp.ones_like(cos), cos, sin], axis=-1)
    gain = draws.brightness * draws.contrast
    return gain[:, None, None] * jnp.einsum("bp,pij->bij", parts, _PARTS, precision="highest")


def _mean_grey(images: jax.Array) -> jax.Array:
    """`[batch]`."""
    return jnp.sum(images.mean(axis=(1, 2)) * _YIQ[:1].astype(np.float32), axis=-1)
