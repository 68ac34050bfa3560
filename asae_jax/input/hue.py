"""Hue adjustment (paper section 3.5, eq. 11): stretch each image's hues onto the purple of the stain."""

from collections.abc import Callable

import cv2
import numpy as np

from asae_jax.types import HostImage

MIN_SATURATION = 26
"""Of 255. Below it a pixel's hue is mostly noise, and `robust` ignores the pixel."""

_HUES = 180  # OpenCV's circle: degrees / 2
_GREEN = 60  # where `robust` cuts the circle open: no stain of blood cells is green


def adjust_hue(image: HostImage, *, low: int = 125, high: int = 155, mode: str = "paper") -> HostImage:
    """Maps the image's hues linearly onto `low..high`; saturation and value stay.

    Hues are OpenCV's integers 0..179 (degrees / 2), the scale on which the paper's 125..155 is purple.

    `paper` is eq. (11) as printed: min and max over all pixels of this image, grey ones (hue 0) too.
    A few noisy pixels in a near-grey background then set the range and flatten the rest, and reds on
    both sides of 0 lie at opposite ends. `robust` measures only pixels of at least `MIN_SATURATION`,
    takes the 1st and 99th percentile for min and max, clips beyond them, and counts hues from green
    upwards (over blue, purple and red to yellow) instead of from red.

    Args:
      image: uint8 RGB `[height, width, 3]`; not changed.
      low: lowest hue of the result, 0..179.
      high: highest hue of the result, low..179.
      mode: one of `MODES`.

    Returns:
      uint8 RGB `[height, width, 3]`. Hues are rounded to the nearest integer, halves up; the way back to
      RGB is OpenCV's, which truncates on wide rows and rounds on narrow ones: one level of 255. An
      image of one hue (or, in `robust`, without a saturated pixel) gets the middle, (low + high) / 2.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"adjust_hue takes uint8 [height, width, 3]; got {image.dtype} {image.shape}")
    if not 0 <= low <= high < _HUES:
        raise ValueError(f"hues must fulfil 0 <= low <= high < {_HUES}; got {low} and {high}")
    if mode not in MODES:
        raise ValueError(f"unknown hue mode {mode!r}; known: {', '.join(MODES)}")
    return _looked_up(image, low, high, MODES[mode])


def _looked_up(image: HostImage, low: int, high: int, table: Callable[..., np.ndarray]) -> HostImage:
    """`image` with its hues as one of the tables of `MODES` gives them: see `adjust_hue`."""
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
    hue = cv2.extractChannel(hsv, 0)
    cv2.insertChannel(cv2.LUT(hue, table(hue, hsv, low, high)), hsv, 0)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _paper_table(hue: np.ndarray, _hsv: np.ndarray, low: int, high: int) -> np.ndarray:
    least, most, _, _ = cv2.minMaxLoc(hue)
    return _stretch(np.arange(256), int(least), int(most), low, high)


def _robust_table(hue: np.ndarray, hsv: np.ndarray, low: int, high: int) -> np.ndarray:
    counts = np.bincount(hue[cv2.extractChannel(hsv, 1) >= MIN_SATURATION], minlength=_HUES)
    cumulated = np.cumsum(np.roll(counts, -_GREEN))
    least, most = np.searchsorted(cumulated, cumulated[-1] * np.array([0.01, 0.99]), side="left")
    return _stretch((np.arange(256) - _GREEN) % _HUES, int(least), int(most), low, high)


def _stretch(hues: np.ndarray, least: int, most: int, low: int, high: int) -> np.ndarray:
    """Eq. (11) for each of `hues`, in integers: floor(x + 1/2), which no rounding mode changes."""
    if least == most:
        return np.full(len(hues), (low + high + 1) // 2, np.uint8)
    offset = np.minimum(np.maximum(hues, least), most) - least  # np.clip takes three times as long
    span = most - least
    return (low + (2 * (high - low) * offset + span) // (2 * span)).astype(np.uint8)


MODES: dict[str, Callable[..., np.ndarray]] = {"paper": _paper_table, "robust": _robust_table}
"""Name -> function of (hues `[height, width]`, the image in HSV `[height, width, 3]`, low, high), all uint8,
that gives the new hue of each hue, uint8 `[256]`. Exports take the function's text, and that of what it names
in this module: it may use NumPy (`np`) and OpenCV (`cv2`) beside."""
