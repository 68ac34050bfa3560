"""Images decoded at a reduced scale, and where the centre square lies in them.

libjpeg decodes a JPEG at a half, a quarter or an eighth of its size without computing all pixels. That is
enough where the whole image is made at least as much smaller anyway. It comes near to the mean over areas,
but is not equal to it (docs/performance.md says how near), so it is part of a preparation's identity.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from asae_jax.types import HostImage

FACTORS = (8, 4, 2)
"""By which sides may be divided."""

Reduction = Callable[[int, int], int]
"""Height and width of an image in pixels -> 1, or one of `FACTORS`."""


class Reduced(NamedTuple):
    """An image at a reduced scale.

    Attributes:
      pixels: uint8 RGB `[height // factor, width // factor, 3]`: a last row or column of which the file holds
        only a part is left out, as encoders fill the rest with anything.
      factor: 1 for the image itself, or one of `FACTORS`.
      size: height and width of the image itself in pixels.
    """

    pixels: HostImage
    factor: int
    size: tuple[int, int]

    @classmethod
    def of(cls, pixels: HostImage, factor: int, size: tuple[int, int]) -> "Reduced":
        """Of `pixels` as a decoder gives them, `[ceil(height / factor), ceil(width / factor), 3]`."""
        return cls(pixels[: size[0] // factor, : size[1] // factor], factor, size)


def square_side(height: int, width: int, scale: float) -> int:
    """Pixels of the side of the middle square that is cut out: (shorter side) / `scale`."""
    return max(1, round(min(height, width) / scale))


def largest_factor(height: int, width: int, scale: float, size: int) -> int:
    """The largest factor by which the middle square still has `size` pixels a side; 1 if none.

    It is 1 too where the square reaches beyond the image: the mirror image begins at its last row and column,
    which the reduced picture may lack.

    Args:
      height: of the image in pixels.
      width: of the image in pixels.
      scale: shorter side of the image by side of the middle square, above 0.
      size: side of the square in pixels that is needed, 1 or more.
    """
    side = square_side(height, width, scale)
    if side > min(height, width):
        return 1
    return next((factor for factor in FACTORS if side // factor >= size), 1)


def reduced_square(image: Reduced, scale: float, size: int) -> HostImage:
    """The middle square of the image itself, out of its reduced picture; see `preparation.centre_square`.

    Args:
      image: of a factor above 1.
      scale: how many times as large cells become in the frame.
      size: pixels of the side that is wanted in the end.

    Returns:
      uint8 RGB `[n, n, 3]`: cut out where the square begins and ends between pixels of the reduced picture,
      else interpolated (bilinear) to a multiple of `size`; at the edges the last pixels are continued.
    """
    height, width = image.size
    side, factor = square_side(height, width, scale), image.factor
    top, left = (height - side) // 2, (width - side) // 2
    if not (side % factor or top % factor or left % factor):
        rows, columns = (slice(start // factor, (start + side) // factor) for start in (top, left))
        return image.pixels[rows, columns]
    blocks = max(side // factor // size, 1)
    step = side / factor / (blocks * size)
    middle = (step - 1) / 2  # of the first pixel: both grids count from the middle of their pixels
    inverse = np.array([[step, 0, left / factor + middle], [0, step, top / factor + middle]])
    return cv2.warpAffine(
        image.pixels,
        inverse,
        (blocks * size, blocks * size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
