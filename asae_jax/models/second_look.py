"""A second look at test: the crop around what the attention shows, at the size of the whole image.

WS-DAN (Hu et al. 2019, "See Better Before Looking Closer") and CAL (Rao et al., ICCV 2021) score an image
again, cropped to its attended region, and average. As CAL's code has it: the region holds the positions
of at least a share (there 0.3) of the map's maximum, and a margin of a tenth of the image's side around it.
Differences: the map is a mean over the channels of a stage, not a learnt attention; the crop is a square,
because a cell's shape should not change; one crop, not three, and no mirrored copy.

A share of the maximum is for maps that fall to about zero, as behind a ReLU. A mean of magnitudes does not:
with the included models its minimum is 0.22 to 0.62 of its maximum, so that every position would be attended.
There the share is of what lies above the map's mean: of 220 demonstration cells 0.3 of it crops 77, 70 and
30 % with `blood11`, `cells` and `marrow8`.
"""

import jax
import jax.numpy as jnp
import jaxtyping as jt

from asae_jax.models.placement import Placement
from asae_jax.types import Array, Images

MARGIN = 0.1
"""Added on each side of the region, as a share of the image's side."""

Attention = jt.Float[Array, "batch rows columns"]
"""One value per position of a feature map, which need not be as large as the image."""
Squares = jt.Float[Array, "batch 3"]
"""Top, left and side of one square per image, in pixels; edges of pixels are whole numbers."""


def attended_crop(
    images: Images,
    attention: Attention,
    *,
    threshold: float,
    above_mean: bool = False,
    places: tuple[Placement, Placement],
) -> Images:
    """The attended square of each image, resized to the image's size by bilinear interpolation.

    Args:
      images: float `[batch, size, size, 3]`.
      attention: `[batch, rows, columns]`.
      threshold: share of the maximum, 0..1. Where the maximum is negative, the maximum alone counts.
      above_mean: the share is of the maximum above the map's mean, for maps that nowhere come near zero.
      places: of the map's rows and of its columns on the image.

    Returns:
      Same shape and dtype as `images`.
    """
    height, width = images.shape[1:3]
    squares = attended_squares(
        attention, height, width, threshold=threshold, above_mean=above_mean, places=places
    )

    def crop(image: Array, square: Array) -> Array:
        zoom = jnp.stack([height / square[2], width / square[2]])
        return jax.image.scale_and_translate(
            image, image.shape, (0, 1), zoom, -square[:2] * zoom, "linear", antialias=False
        )

    return jax.vmap(crop)(images, squares).astype(images.dtype)


def attended_squares(
    attention: Attention,
    height: int,
    width: int,
    *,
    threshold: float,
    above_mean: bool = False,
    places: tuple[Placement, Placement],
) -> Squares:
    """The smallest square inside the image around all attended positions and the margin.

    Positions at the border of the map are taken to reach the border of the image.

    Args:
      attention: `[batch, rows, columns]`.
      height: of the image in pixels.
      width: of the image in pixels.
      threshold: see `attended_crop`.
      above_mean: see there.
      places: see there.
    """
    highest = attention.max((1, 2), keepdims=True)
    base = attention.mean((1, 2), keepdims=True) if above_mean else 0
    attended = attention >= jnp.minimum(base + threshold * (highest - base), highest)
    top, bottom = _span(attended.any(2), height, places[0])
    left, right = _span(attended.any(1), width, places[1])
    side = jnp.minimum(jnp.maximum(bottom - top, right - left), min(height, width))
    corner = (
        jnp.clip((near + far - side) / 2, 0, length - side)
        for near, far, length in ((top, bottom, height), (left, right, width))
    )
    return jnp.stack([*corner, side], axis=1)


def _span(attended: Array, length: int, place: Placement) -> tuple[Array, Array]:
    """First and last pixel edge, with the margin, of what is attended along one side: `[batch]` each."""
    count = attended.shape[1]
    first = jnp.argmax(attended, axis=1)
    last = count - jnp.argmax(attended[:, ::-1], axis=1)
    margin = MARGIN * length
    edge = place.first - place.stride / 2
    near = jnp.where(first == 0, 0, edge + first * place.stride)
    far = jnp.where(last == count, length, edge + last * place.stride)
    return jnp.maximum(near - margin, 0), jnp.minimum(far + margin, length)
