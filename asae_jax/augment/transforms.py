"""The random transforms of a batch: what is drawn for each example, one bilinear warp, one colour jitter."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jaxtyping as jt
import numpy as np
from jax import lax

from asae_jax.types import Array, ExampleKeys, Images, StoredImages

PerExample = jt.Float[Array, "batch"]
"""One number per example, float32."""
Matrices = jt.Float[Array, "batch 2 3"]
"""One affine map of image places per example, float32."""
ColourMatrices = jt.Float[Array, "batch 3 3"]
"""One linear map of colours per example, float32."""
Grid = jt.Float[Array, "batch {size} {size}"]
"""One coordinate for each pixel of each result, float32; `size` is the function's argument."""
SquareImages = jt.Float[Array, "batch {size} {size} 3"]
"""RGB, 0..1 or normalised, float32; `size` likewise."""


class Draws(NamedTuple):
    """The random numbers of each example: float32 `[batch]` each.

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

    side: PerExample
    centre_x: PerExample
    centre_y: PerExample
    flip_x: PerExample
    flip_y: PerExample
    angle: PerExample
    brightness: PerExample
    contrast: PerExample
    saturation: PerExample
    hue: PerExample


def draw(
    example_keys: ExampleKeys,
    *,
    height: int,
    width: int,
    scale: tuple[float, float],
    flips: tuple[bool, bool],
    rotation: float,
    jitter: tuple[float, float, float, float],
    even: str = "area",
) -> Draws:
    """The random part of `augment`, from one key per example; the options mean what they mean there.

    Args:
      example_keys: `[batch]` keys.
      height: of the stored image in pixels.
      width: of the stored image in pixels.
      scale: range of the crop's share of the area, above 0; a crop above 1 has the whole image inside.
      flips: whether images may be flipped horizontally and vertically.
      rotation: largest angle in degrees.
      jitter: largest change of brightness, contrast, saturation (0..1) and hue (0..0.5 of the circle).
      even: what of the crop is uniform, one of `EVEN`.
    """
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (10,)))(example_keys)
    share, x, y, flip_x, flip_y, turn, brighten, contrast, saturate, hue = uniform.T
    side = jnp.sqrt(EVEN[even](share, *scale)) * math.sqrt(height * width)
    if scale[1] <= 1:
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


def _even_area(uniform: PerExample, low: float, high: float) -> PerExample:
    return low + uniform * (high - low)


def _even_logarithm(uniform: PerExample, low: float, high: float) -> PerExample:
    return low * jnp.power(high / low, uniform)


EVEN: dict[str, Callable[[PerExample, float, float], PerExample]] = {
    "area": _even_area,
    "logarithm": _even_logarithm,
}
"""What of a crop is uniform -> the crop's share of the area, of a uniform number in 0..1 and the range."""


def _signed(uniform: PerExample) -> PerExample:
    """Uniform in 0..1 made uniform in -1..1."""
    return 2 * uniform - 1


def crop_matrices(draws: Draws, *, size: int) -> Matrices:
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


def warp(images: StoredImages, matrices: Matrices, *, size: int) -> SquareImages:
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
    # One list of pixels for the whole batch: XLA's CPU code reads it four to eight times faster than a
    # gather per image and channel (vmap of map_coordinates), and faster than pixels packed into integers.
    pixels = images.reshape(-1, channels)
    first = (jnp.arange(batch) * (height * width))[:, None, None]

    def read(row: Array, column: Array) -> Array:
        places = (first + row * width + column).reshape(-1)
        values = jnp.take(pixels, places, axis=0, mode="clip")
        return values.reshape(batch, size, size, channels).astype(jnp.float32)

    above, below = (_mix(read(row, columns[0]), read(row, columns[1]), right_share) for row in rows)
    # Without the barrier XLA computes the warp once more wherever its result is used: in the mean grey that
    # took 10.3 of the 10.5 ms of 256 views of 224 px on an H100. With it they take 0.5.
    return lax.optimization_barrier(_mix(above, below, bottom_share) / 255)


def _places(matrices: Matrices, size: int) -> tuple[Grid, Grid]:
    """Where each pixel of the result is read: x and y `[batch, size, size]`."""
    offsets = jnp.arange(size) - (size - 1) / 2
    u, v = offsets[None, None, :], offsets[None, :, None]
    a = matrices[..., None, None]
    x, y = (a[:, i, 0] * u + a[:, i, 1] * v + a[:, i, 2] for i in (0, 1))
    return x, y


def _reflect(index: Array, length: int) -> Array:
    """Any whole number as an index 0..length-1, mirrored at the border pixels: -1 becomes 1."""
    period = max(2 * (length - 1), 1)  # an image of one pixel repeats it
    index = jnp.abs(index) % period
    return jnp.minimum(index, period - index)


def _mix(a: Array, b: Array, share: Array) -> Array:
    """`a` where the share is 0, `b` where it is 1."""
    return a * (1 - share) + b * share


_BLUR = 1  # folded into an example's key


def draw_blur(example_keys: ExampleKeys, largest: float) -> PerExample:
    """Standard deviations of a blur in pixels, uniform in 0..largest: float32 `[batch]`.

    Drawn apart from `draw`, so that without blur its random numbers are what they were before there was one.
    """
    blur_keys = jax.vmap(lambda key: jax.random.fold_in(key, _BLUR))(example_keys)
    return largest * jax.vmap(lambda key: jax.random.uniform(key))(blur_keys)


def gaussian_blur(images: Images, deviations: PerExample, *, largest: float) -> Images:
    """Each image convolved with a Gaussian of its own width, cut off at twice the largest one.

    Outside, the image is reflected about its border pixels. Below a fifth of a pixel nothing changes.

    Args:
      images: float32 `[batch, size, size, 3]`.
      deviations: standard deviations in pixels, 0..largest, `[batch]`.
      largest: decides how far the kernels reach.
    """
    reach = min(math.ceil(2 * largest), images.shape[1] - 1)
    offsets = jnp.arange(-reach, reach + 1)
    exponents = -0.5 * (offsets[None] / jnp.maximum(deviations, 0.1)[:, None]) ** 2
    weights = jax.nn.softmax(exponents, axis=1)[:, :, None, None, None]
    for axis in (1, 2):
        around = [(reach, reach) if i == axis else (0, 0) for i in range(4)]
        padded, length = jnp.pad(images, around, mode="reflect"), images.shape[axis]
        shifted = (lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(2 * reach + 1))
        images = sum((weights[:, i] * part for i, part in enumerate(shifted)), jnp.zeros_like(images))
    return images


_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_GREY = np.tile(_YIQ[0], (3, 1))  # colour -> its grey (ITU-R BT.601 luma) in all three channels
_CHROMA = np.eye(3) - _GREY
_CHROMA_TURNED = np.linalg.inv(_YIQ) @ np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ _YIQ
_PARTS = np.stack([_GREY, _CHROMA, _CHROMA_TURNED]).astype(np.float32)


def jitter_colours(images: Images, draws: Draws) -> Images:
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


def _colour_matrices(draws: Draws) -> ColourMatrices:
    """The linear part of the four steps: `[batch, 3, 3]`, rows are the new channels."""
    cos, sin = draws.saturation * jnp.cos(draws.hue), draws.saturation * jnp.sin(draws.hue)
    parts = jnp.stack([jnp.ones_like(cos), cos, sin], axis=-1)
    gain = draws.brightness * draws.contrast
    return gain[:, None, None] * jnp.einsum("bp,pij->bij", parts, _PARTS, precision="highest")


def _mean_grey(images: Images) -> PerExample:
    """Mean of the luma of each image, 0..1.

    One sum over a row of all its values: XLA sums columns of three, the channels, slowly.
    """
    batch, height, width, _ = images.shape
    weights = jnp.tile(jnp.asarray(_YIQ[0] / (height * width), jnp.float32), height * width)
    return jnp.sum(images.reshape(batch, -1) * weights[None], axis=-1)
