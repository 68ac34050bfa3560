"""From uint8 batches to normalised float images, on the device: augmented for training, plain for testing.

The paper (section 4.2): random crop to 224x224, horizontal flip (by reference to He et al.), vertical
flip, rotation and colour jitter. It gives no amounts; the defaults are DESIGN.md's (section 4). All of it
is pure JAX with one key per example, so the result does not depend on the number of devices.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asae_jax import keys
from asae_jax.types import Images, Key

MEAN = (0.485, 0.456, 0.406)
"""ImageNet's mean of red, green and blue, in units of 0..1."""
STD = (0.229, 0.224, 0.225)
"""ImageNet's standard deviations, in units of 0..1."""

_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_GREY = np.tile(_YIQ[0], (3, 1))  # colour -> its grey (ITU-R BT.601 luma) in all three channels
_CHROMA = np.eye(3) - _GREY
_CHROMA_TURNED = np.linalg.inv(_YIQ) @ np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ _YIQ


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
    _check_images(images, size)
    _check_ranges(scale, brightness=brightness, contrast=contrast, saturation=saturation, hue=2 * hue)
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
    return _standardise(jitter_colours(warped, draws), mean, std)


def preprocess(
    images: jax.Array,
    *,
    size: int,
    mean: tuple[float, float, float] = MEAN,
    std: tuple[float, float, float] = STD,
) -> Images:
    """What testing sees: the centre crop, normalised. uint8 `[batch, height, width, 3]` in, float32 out.

    Raises:
      ValueError: not a batch of uint8 RGB images, or a size above theirs.
    """
    return normalize(center_crop(images, size=size), mean=mean, std=std)


def center_crop(images: jax.Array, *, size: int) -> jax.Array:
    """The middle `size` x `size` pixels of uint8 `[batch, height, width, 3]`.

    Where the margin is odd, the smaller half is above and to the left.

    Raises:
      ValueError: not a batch of uint8 RGB images, or a size above theirs.
    """
    _check_images(images, size)
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, top : top + size, left : left + size]


def normalize(
    images: jax.Array,
    *,
    mean: tuple[float, float, float] = MEAN,
    std: tuple[float, float, float] = STD,
) -> Images:
    """uint8 `[..., 3]` as float32 `(image / 255 - mean) / std`; mean and std in units of 0..1."""
    return _standardise(images.astype(jnp.float32) / 255, mean, std)


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
    share, x, y, flip_x, flip_y, turn, *colours = uniform.T
    side = jnp.sqrt(scale[0] + share * (scale[1] - scale[0])) * math.sqrt(height * width)
    side = jnp.minimum(side, min(height, width))  # a square cannot cover an oblong image
    factors = [1.0 + amount * _signed(u) for amount, u in zip(jitter[:3], colours, strict=False)]
    return Draws(
        side,
        x * (width - side) + (side - 1) / 2,
        y * (height - side) + (side - 1) / 2,
        jnp.where(flips[0] & (flip_x < 0.5), -1.0, 1.0),
        jnp.where(flips[1] & (flip_y < 0.5), -1.0, 1.0),
        math.radians(rotation) * _signed(turn),
        *factors,
        2 * math.pi * jitter[3] * _signed(colours[3]),
    )


def crop_matrices(draws: Draws, *, size: int) -> jax.Array:
    """The maps `[batch, 2, 3]` from a place in the result to the place in the stored image shown there.

    They take `(u, v, 1)`, pixels right of and below the result's centre, to `(x, y)` in the stored
    image, where 0 is the centre of the first pixel.
    """
    zoom = draws.side / size
    cos, sin = zoom * jnp.cos(draws.angle), zoom * jnp.sin(draws.angle)
    rows = [
        [cos * draws.flip_x, -sin * draws.flip_y, draws.centre_x],
        [sin * draws.flip_x, cos * draws.flip_y, draws.centre_y],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def warp(images: jax.Array, matrices: jax.Array, *, size: int) -> jax.Array:
    """Bilinear warp of each image by its own affine map.

    Outside, the image is reflected about its border pixels (OpenCV's BORDER_REFLECT_101). There is no
    smoothing before the reading, so a zoom far above 1 aliases.

    Args:
      images: uint8 `[batch, height, width, 3]`.
      matrices: float32 `[batch, 2, 3]` as `crop_matrices` makes them.
      size: side of the result in pixels.

    Returns:
      float32 `[batch, size, size, 3]`, 0..1.
    """
    batch, height, width, channels = images.shape
    x, y = _places(matrices, size)
    left, top = jnp.floor(x), jnp.floor(y)
    right_share, bottom_share = (x - left)[..., None], (y - top)[..., None]
    columns = [_reflect(left.astype(jnp.int32) + i, width) for i in (0, 1)]
    rows = [_reflect(top.astype(jnp.int32) + i, height) for i in (0, 1)]
    # One list of pixels for the whole batch: XLA's CPU code reads it eight times faster than a gather
    # per image and channel (map_coordinates), and faster than pixels packed into integers.
    pixels = images.reshape(-1, channels)
    first = (jnp.arange(batch) * (height * width))[:, None, None]

    def read(row: jax.Array, column: jax.Array) -> jax.Array:
        places = (first + row * width + column).reshape(-1)
        values = jnp.take(pixels, places, axis=0, mode="clip")
        return values.reshape(batch, size, size, channels).astype(jnp.float32)

    above, below = (_mix(read(row, columns[0]), read(row, columns[1]), right_share) for row in rows)
    return _mix(above, below, bottom_share) / 255


def jitter_colours(images: jax.Array, draws: Draws) -> jax.Array:
    """Brightness, contrast, saturation and hue of float images `[batch, height, width, 3]`, 0..1.

    In this order: times the brightness; away from or towards the image's mean grey; away from or
    towards the pixel's grey; a turn of the chroma plane of YIQ, which keeps the grey. Each step is
    affine, and greys stay grey in the last two, so that all four are one 3x3 matrix and one offset per
    image. Clipped to 0..1 once, at the end.
    """
    gain = draws.brightness * draws.contrast
    chroma = [draws.saturation * jnp.cos(draws.hue), draws.saturation * jnp.sin(draws.hue)]
    parts = zip([jnp.ones_like(gain), *chroma], [_GREY, _CHROMA, _CHROMA_TURNED], strict=True)
    matrices = sum(
        _per_image(gain * amount, 3) * jnp.asarray(part, jnp.float32)[None] for amount, part in parts
    )
    mean_grey = images.mean(axis=(1, 2)) @ jnp.asarray(_YIQ[0], jnp.float32)
    offset = draws.brightness * (1 - draws.contrast) * mean_grey
    turned = sum(images[..., i : i + 1] * matrices[:, None, None, :, i] for i in range(3))
    return jnp.clip(turned + _per_image(offset, 4), 0, 1)


def _places(matrices: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Where each pixel of the result is read: x and y `[batch, size, size]`."""
    offsets = jnp.arange(size) - (size - 1) / 2
    u, v = offsets[None, None, :], offsets[None, :, None]
    a = matrices[..., None, None]
    x, y = (a[:, i, 0] * u + a[:, i, 1] * v + a[:, i, 2] for i in (0, 1))
    return x, y


def _reflect(index: jax.Array, length: int) -> jax.Array:
    """Any whole number as an index 0..length-1, mirrored at the border pixels: -1 is 1, length is length - 2."""
    period = max(2 * (length - 1), 1)
    index = jnp.abs(index) % period
    return jnp.minimum(index, period - index) if length > 1 else index


def _mix(a: jax.Array, b: jax.Array, share: jax.Array) -> jax.Array:
    """`a` where the share is 0, `b` where it is 1."""
    return a * (1 - share) + b * share


def _signed(uniform: jax.Array) -> jax.Array:
    """Uniform in 0..1 made uniform in -1..1."""
    return 2 * uniform - 1


def _per_image(values: jax.Array, ndim: int) -> jax.Array:
    """`[batch]` with axes of length one appended, up to `ndim` axes."""
    return values.reshape(-1, *[1] * (ndim - 1))


def _standardise(images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...]) -> Images:
    shape = (1,) * (images.ndim - 1) + (3,)
    mean_row, std_row = (jnp.asarray(values, jnp.float32).reshape(shape) for values in (mean, std))
    return (images - mean_row) / std_row


def _check_images(images: jax.Array, size: int) -> None:
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != jnp.uint8:
        raise ValueError(f"images must be uint8 [batch, height, width, 3], got {images.dtype} {images.shape}")
    if not 1 <= size <= min(images.shape[1:3]):
        raise ValueError(f"size must lie between 1 and the images' {images.shape[1:3]}, got {size}")


def _check_ranges(scale: tuple[float, float], **amounts: float) -> None:
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"scale must be (low, high) with 0 < low <= high <= 1, got {scale}")
    for name, amount in amounts.items():
        if not 0 <= amount <= 1:
            raise ValueError(f"{name} is out of range")
