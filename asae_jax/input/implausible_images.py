"""Images that cannot be crops of stained cells, by plain thresholds."""

import cv2

from asae_jax.types import HostImage

GREY_TOLERANCE = 4
"""Levels of 255 by which the channels of a greyscale image may differ (JPEG rounds)."""
FLAT = 3.0
"""Standard deviation of a thumbnail, levels of 255, below which an image is blank."""
TINY = 24
"""Pixels. Below, a nucleus has no texture left."""
THUMBNAIL = 16
"""Side of the grey thumbnails, pixels."""

GREY = "without colour"
"""What is said of a greyscale image."""

_STRIP = 3  # times as long as wide
_SIDE = 64


def why_implausible(image: HostImage) -> str:
    """Why an image seems to be no crop of a stained cell, in a few words; empty where it may be one.

    Args:
      image: uint8 RGB `[height, width, 3]`.
    """
    shorter, longer = sorted(image.shape[:2])
    if shorter < TINY:
        return f"a side under {TINY} pixels"
    if longer > _STRIP * shorter:
        return "a narrow strip"
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    if grey_square(small, THUMBNAIL).std() < FLAT:
        return "blank"
    return GREY if colourfulness(small) <= GREY_TOLERANCE else ""


def grey_square(image: HostImage, side: int) -> HostImage:
    """The whole image in grey, uint8 `[side, side]`, without regard to its aspect ratio."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)


def colourfulness(image: HostImage) -> int:
    """Largest difference between the channels of a pixel, 0..255."""
    red, green, blue = cv2.split(image)
    return int(
        max(cv2.norm(one, other, cv2.NORM_INF) for one, other in ((red, green), (green, blue), (red, blue)))
    )
