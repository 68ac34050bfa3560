"""The random part of the augmentation: one set of numbers per example."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from asae_jax.types import Key


class Draws(NamedTuple):
    """What is random about each example: float32 `[batch]` each.

    Attributes:
      side: of the square crop, in pixels of the stored image.
      centre_x: of the crop, in pixels; 0 is the centre of the first column.
      centre_y: likewise, for rows.
      flip_x: -1 for a horizontal flip, else 1.
      flip_y: -1 for a vertical flip, else 1.
      angle: of rotation about the crop's centre, radians.
      brightness: factor of all channels.
      contrast: factor of the distance from the image's mean grey.
      saturation: factor of the distance from the pixel's own grey.
      hue: rotation of the colour about its grey, radians.
    """

    side: jax.Array
    centre_x: jax.Array
    centre_y: jax.Array
    flip_x: jax.Array
    flip_y: jax.Array
    angle: jax.Array
    brightness: jax.Array
    contrast: jax.Array
    saturation: jax.Array
    hue: jax.Array


def draw(
    example_keys: Key,
    *,
    height: int,
    width: int,
    scale: tuple[float, float],
    flips: tuple[bool, bool],
    rotation: float,
    jitter: tuple[float, float, float, float],
) -> Draws:
    """The random part of `augment`, from one key per example; the options mean what they mean there.

    Args:
      example_keys: `[batch]` keys.
      height: of the stored image in pixels.
      width: likewise.
      scale: range of the crop's share of the area.
      flips: horizontal, vertical.
      rotation: degrees.
      jitter: brightness, contrast, saturation, hue.
    """
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (10,)))(example_keys)
    share, x, y, flip_x, flip_y, turn, brighten, contrast, saturate, hue = uniform.T
    side = jnp.sqrt(scale[0] + share * (scale[1] - scale[0])) * math.sqrt(height * width)
    side = jnp.minimum(side, min(height, width))  # a square cannot cover an oblong image
    return Draws(
        side=side,
        centre_x=x * (width - side) + (side - 1) / 2,
        centre_y=y * (height - side) + (side - 1) / 2,
        flip_x=jnp.where(flips[0] & (flip_x < 0.5), -1.0, 1.0),
        flip_y=jnp.where(flips[1] & (flip_y < 0.5), -1.0, 1.0),
        angle=math.radians(rotation) * _signed(turn),
        brightness=1 + jitter[0] * _signed(brighten),
        contrast=1 + jitter[1] * _signed(contrast),
        saturation=1 + jitter[2] * _signed(saturate),
        hue=2 * math.pi * jitter[3] * _signed(hue),
    )


def _signed(uniform: jax.Array) -> jax.Array:
    """Uniform in 0..1 made uniform in -1..1."""
    return 2 * uniform - 1
