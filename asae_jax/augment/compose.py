"""The whole augmentation of a training batch."""

import jax

from asae_jax import keys
from asae_jax.augment.colour import jitter_colours
from asae_jax.augment.draws import draw
from asae_jax.augment.plain import MEAN, STD, check_images, standardise
from asae_jax.augment.warp import crop_matrices, warp
from asae_jax.types import Images, Key


def augment(
    key: Key,
    images: jax.Array,
    *,
    size: int,
    first_example: jax.Array | int = 0,
    scale: tuple[float, float] = (0.7, 1.0),
    horizontal_flip: bool = True,
    vertical_flip: bool = True,
    rotation: float = 180.0,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
    hue: float = 0.02,
    mean: tuple[float, float, float] = MEAN,
    std: tuple[float, float, float] = STD,
) -> Images:
    """Random resized crop, flips and rotation in one bilinear warp; then colour jitter and normalisation.

    Args:
      key: of the training step; each example's own key is folded from it.
      images: uint8 RGB `[batch, height, width, 3]`.
      size: side of the result in pixels, at most the height and the width.
      first_example: number of the first image within the global batch.
      scale: range of the square crop's share of the image's area, 0..1 (uniform).
      horizontal_flip: flip left and right with probability 1/2.
      vertical_flip: flip top and bottom with probability 1/2.
      rotation: largest angle in degrees, either way (uniform); what lies outside the image is reflected.
      brightness: the factor is uniform in 1 -+ this, 0..1.
      contrast: likewise.
      saturation: likewise.
      hue: largest rotation of the colour as a share of the full circle, either way, 0..0.5.
      mean: subtracted from each channel, in units of 0..1.
      std: each channel is divided by it, in units of 0..1.

    Returns:
      float32 `[batch, size, size, 3]`, normalised.

    Raises:
      ValueError: not a batch of uint8 RGB images, a size above theirs, or a range that makes no sense.
    """
    check_images(images, size)
    _check_ranges(scale, brightness=brightness, contrast=contrast, saturation=saturation)
    if not 0 <= hue <= 0.5:
        raise ValueError(f"hue must lie in 0..0.5, got {hue}")
    batch, height, width, _ = images.shape
    draws = draw(
        keys.example_keys(key, batch, first_example),
        height=height,
        width=width,
        scale=scale,
        flips=(horizontal_flip, vertical_flip),
        rotation=rotation,
        jitter=(brightness, contrast, saturation, hue),
    )
    warped = warp(images, crop_matrices(draws, size=size), size=size)
    return standardise(jitter_colours(warped, draws), mean, std)


def _check_ranges(scale: tuple[float, float], **amounts: float) -> None:
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"scale must be (low, high) with 0 < low <= high <= 1, got {scale}")
    for name, amount in amounts.items():
        if not 0 <= amount <= 1:
            raise ValueError(f"{name} must lie in 0..1, got {amount}")
