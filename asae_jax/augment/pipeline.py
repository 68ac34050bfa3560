"""From uint8 batches to normalised images: `augment` for training, `preprocess` for testing."""

from typing import NamedTuple

import jax.numpy as jnp
import jaxtyping as jt

from asae_jax import keys
from asae_jax.augment.jpeg import compress, draw_quality
from asae_jax.augment.stain import background, draw_light, draw_stain, relight, restain
from asae_jax.augment.transforms import (
    EVEN,
    Draws,
    SquareImages,
    crop_matrices,
    draw,
    draw_blur,
    gaussian_blur,
    jitter_colours,
    warp,
)
from asae_jax.types import Array, ExampleKeys, Index, Key, StoredImages

Colour = tuple[float, float, float]
"""Red, green and blue."""

MEAN = (0.485, 0.456, 0.406)
"""ImageNet's mean of red, green and blue, in units of 0..1."""
STD = (0.229, 0.224, 0.225)
"""ImageNet's standard deviations, in units of 0..1."""
NORMALISATIONS: dict[str, tuple[Colour, Colour]] = {
    "imagenet": (MEAN, STD),
    "half": ((0.5,) * 3, (0.5,) * 3),
    "lite": ((127 / 255,) * 3, (128 / 255,) * 3),
}
"""Mean and standard deviation by name, in units of 0..1: what published weights were trained with. "half" is
Inception's and that of Google's vision transformers, "lite" EfficientNet-Lite's, (value - 127) / 128."""

LARGEST_SCALE = 4
"""Largest share of the image's area that a crop may have: cells are half as large as in the whole image.

Beyond the image is its reflection: crops of 1.5 times the area then have the same colours along their border
as images of two real sets have. A fill with the background's colour was smoother than any of them, with an
edge around the image.
"""

CroppedImages = jt.UInt8[Array, "batch {size} {size} 3"]
"""RGB, 0..255; `size` is the function's argument."""
AnyImages = jt.UInt8[Array, "*leading 3"]
"""RGB values 0..255."""
AnyColours = jt.Float[Array, "*leading 3"]
"""RGB values, 0..1 or normalised."""


class Laboratory(NamedTuple):
    """How far images may be changed into those of another laboratory; 0: not, and nothing is drawn.

    Attributes:
      stain: strength of `stain.draw_stain`, 0..1.
      light: strength of `stain.draw_light`, 0..1.
      jpeg: lowest quality of a JPEG compression, 1..100 (uniform up to 100).
    """

    stain: float = 0.0
    light: float = 0.0
    jpeg: float = 0.0


HOME = Laboratory()
"""No change."""


def augment(
    key: Key | ExampleKeys,
    images: StoredImages,
    *,
    size: int,
    first_example: Index = 0,
    scale: tuple[float, float] = (0.7, 1.0),
    scale_even: str = "area",
    horizontal_flip: bool = True,
    vertical_flip: bool = True,
    rotation: float = 180.0,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
    hue: float = 0.02,
    blur: float = 0.0,
    laboratory: Laboratory = HOME,
    mean: Colour = MEAN,
    std: Colour = STD,
) -> SquareImages:
    """Random resized crop, flips and rotation in one bilinear warp, then changes of colour and sharpness.

    Args:
      key: of the training step, from which each example's own key is folded; or `[batch]` keys, one each.
      images: uint8 RGB `[batch, height, width, 3]`.
      size: side of the result in pixels, at most the height and the width.
      first_example: number of the first image within the global batch.
      scale: range of the square crop's share of the image's area; what lies outside is reflected.
      scale_even: what of that share is uniform, the "area" itself or its "logarithm".
      horizontal_flip, vertical_flip: mirror left to right, top to bottom, each with probability 1/2.
      rotation: largest angle in degrees, either way (uniform).
      brightness, contrast, saturation: the factor is uniform in 1 -+ this, 0..1.
      hue: largest rotation of the colour as a share of the full circle, either way, 0..0.5.
      blur: largest standard deviation of a Gaussian blur in pixels of the result (uniform from 0).
      laboratory: changes into images of another one.
      mean, std: subtracted from each channel at the end, and divided by, in units of 0..1.

    Returns:
      float32 `[batch, size, size, 3]`, normalised.

    Raises:
      ValueError: not a batch of uint8 RGB images, a size above theirs, or a range that makes no sense.
    """
    check_images(images, size)
    _check_ranges(scale, scale_even, hue, blur, laboratory, (brightness, contrast, saturation))
    example_keys = key if key.ndim else keys.example_keys(key, len(images), first_example)
    flips, jitter = (horizontal_flip, vertical_flip), (brightness, contrast, saturation, hue)
    draws = draw(example_keys, height=images.shape[1], width=images.shape[2], scale=scale,
                 even=scale_even, flips=flips, rotation=rotation, jitter=jitter)  # fmt: skip
    return standardise(_views(example_keys, images, draws, size, blur, laboratory), mean, std)


def _views(
    example_keys: ExampleKeys,
    images: StoredImages,
    draws: Draws,
    size: int,
    blur: float,
    laboratory: Laboratory,
) -> SquareImages:
    """Images as drawn, 0..1, in the order in which they come about: stain, light, optics, camera, file."""
    views = warp(images, crop_matrices(draws, size=size), size=size)
    if laboratory.stain:
        views = restain(views, background(images), draw_stain(example_keys, laboratory.stain))
    if laboratory.light:
        views = relight(views, background(images), draw_light(example_keys, laboratory.light))
    if blur:
        views = gaussian_blur(views, draw_blur(example_keys, blur), largest=blur)
    views = jitter_colours(views, draws)
    if laboratory.jpeg:
        views = compress(views, draw_quality(example_keys, laboratory.jpeg))
    return views


def _check_ranges(
    scale: tuple[float, float],
    scale_even: str,
    hue: float,
    blur: float,
    laboratory: Laboratory,
    jitter: tuple[float, float, float],
) -> None:
    if blur < 0:
        raise ValueError(f"blur must be at least 0 pixels, got {blur}")
    if not 0 <= hue <= 0.5:
        raise ValueError(f"hue must lie in 0..0.5, got {hue}")
    if not 0 < scale[0] <= scale[1] <= LARGEST_SCALE:
        raise ValueError(f"scale must be (low, high) with 0 < low <= high <= {LARGEST_SCALE}, got {scale}")
    if scale_even not in EVEN:
        raise ValueError(f"scale_even must be {' or '.join(EVEN)}, got {scale_even}")
    if laboratory.jpeg and not 1 <= laboratory.jpeg <= 100:
        raise ValueError(f"jpeg must be 0 or lie in 1..100, got {laboratory.jpeg}")
    names = ("brightness", "contrast", "saturation", "stain", "light")
    for name, amount in zip(names, (*jitter, laboratory.stain, laboratory.light), strict=True):
        if not 0 <= amount <= 1:
            raise ValueError(f"{name} must lie in 0..1, got {amount}")


def preprocess(
    images: StoredImages,
    *,
    size: int,
    mean: Colour = MEAN,
    std: Colour = STD,
) -> SquareImages:
    """What testing sees: the centre crop, normalised.

    Args:
      images: uint8 RGB `[batch, height, width, 3]`.
      size: side of the result in pixels, at most the height and the width.
      mean: subtracted from each channel, in units of 0..1.
      std: each channel is divided by it, in units of 0..1.

    Returns:
      float32 `[batch, size, size, 3]`, normalised.

    Raises:
      ValueError: not a batch of uint8 RGB images, or a size above theirs.
    """
    return normalise(centre_crop(images, size=size), mean=mean, std=std)


def centre_crop(images: StoredImages, *, size: int) -> CroppedImages:
    """The middle `size` x `size` pixels of uint8 `[batch, height, width, 3]`.

    Where the margin is odd, the smaller half is above and to the left.

    Raises:
      ValueError: not a batch of uint8 RGB images, or a size above theirs.
    """
    check_images(images, size)
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, top : top + size, left : left + size]


def normalise(
    images: AnyImages,
    *,
    mean: Colour = MEAN,
    std: Colour = STD,
) -> AnyColours:
    """uint8 `[..., 3]` as float32 `(image / 255 - mean) / std`; mean and std in units of 0..1."""
    return standardise(images.astype(jnp.float32) / 255, mean, std)


def standardise(images: AnyColours, mean: tuple[float, ...], std: tuple[float, ...]) -> AnyColours:
    """`(image - mean) / std` per channel of float `[..., 3]`."""
    shape = (1,) * (images.ndim - 1) + (3,)
    mean_row, std_row = (jnp.asarray(values, jnp.float32).reshape(shape) for values in (mean, std))
    return (images - mean_row) / std_row


def check_images(images: Array, size: int) -> None:
    """Raises a ValueError unless these are uint8 RGB images of at least `size` x `size` pixels."""
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != jnp.uint8:
        raise ValueError(f"images must be uint8 [batch, height, width, 3], got {images.dtype} {images.shape}")
    if not 1 <= size <= min(images.shape[1:3]):
        raise ValueError(f"size must lie between 1 and the images' {images.shape[1:3]}, got {size}")
