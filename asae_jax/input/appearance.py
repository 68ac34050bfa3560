"""How single-cell crops look, apart from what the cell is: light, stain, scale, sharpness, crowding.

Sets of two laboratories differ in these, and networks take the difference for one of cells. Measured on each
crop by plain thresholds: estimates for comparing sets, not measurements of cells.
"""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np

from asae_jax.types import HostImage

Item = TypeVar("Item")

MEASURES = {
    "nucleus_size": "diameter of the nucleus in the middle, percent of the crop's shorter side",
    "background_lightness": "background: lightness, CIELAB L",
    "background_red": "background: green to red, CIELAB a",
    "background_yellow": "background: blue to yellow, CIELAB b",
    "nucleus_lightness": "nucleus: lightness, CIELAB L",
    "nucleus_red": "nucleus: green to red, CIELAB a",
    "nucleus_yellow": "nucleus: blue to yellow, CIELAB b",
    "saturation": "mean saturation, 0..255",
    "sharpness": "sharpness: fine detail in parts of all contrast, percent",
    "crowding": "dark matter at the border, percent of its area",
}
"""Column of `appearance` -> what it is."""

SIDE = 96
"""Pixels to which the shorter side is brought; sharpness is of the detail that is left."""

_LIGHT = 95  # percentile of lightness that counts as background
_DARK = 30  # percentile of the nucleus' lightness, up to which its pixels give its colour
_BORDER = 6  # width of the border, pixels of `SIDE`


def appearance(image: HostImage) -> np.ndarray:
    """Measures of one crop, float64 `[len(MEASURES)]`; NaN for those of a nucleus where none is found.

    Nuclei are what is darker in green light, which they absorb most, than Otsu's threshold.

    Args:
      image: uint8 RGB `[height, width, 3]`.
    """
    small = _square(image)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lightness, green = lab[..., 0], cv2.GaussianBlur(small[..., 1], (0, 0), 1.5)
    background = lab[lightness >= np.percentile(lightness, _LIGHT)].mean(axis=0)
    _, mask = cv2.threshold(green, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    size, nucleus = _nucleus(mask, lab)
    border = np.pad(np.zeros([SIDE - 2 * _BORDER] * 2, bool), _BORDER, constant_values=True)
    return np.array(
        [
            size,
            *background,
            *nucleus,
            cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[..., 1].mean(),
            _sharpness(lightness),
            100 * mask[border].mean(),
        ]
    )


def evenly(items: Sequence[Item] | np.ndarray, most: int) -> list[Item]:
    """At most `most` of the items, evenly spaced: so from all slides and folders."""
    places = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[place] for place in np.unique(places)]


def nucleus_sizes(measures: np.ndarray) -> np.ndarray:
    """The diameters of nuclei, percent of the shorter side, of the crops `[N, measures]` that have one."""
    sizes = measures[:, list(MEASURES).index("nucleus_size")]
    return sizes[np.isfinite(sizes)]


def scale_between(reference: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """By what `other` crops must be enlarged for their nuclei to be as large as those of `reference`.

    Args:
      reference: diameters `[N]`, percent of the side, above 0.
      other: the same of the other set, `[M]`.

    Returns:
      Ratio of the medians and its 95 % interval, by the normal error of a median in logarithms.
    """
    logs = np.log(reference), np.log(other)
    ratio = float(np.median(logs[0]) - np.median(logs[1]))
    width = 1.96 * float(np.hypot(median_error(logs[0]), median_error(logs[1])))
    return float(np.exp(ratio)), float(np.exp(ratio - width)), float(np.exp(ratio + width))


def spread(values: np.ndarray) -> float:
    """The standard deviation of a normal distribution with these quartiles."""
    low, high = np.percentile(values, (25, 75))
    return float(high - low) / 1.349


def median_error(values: np.ndarray) -> float:
    """The standard error of the median of values `[N]`, as of a normal distribution."""
    return float(np.sqrt(np.pi / 2)) * spread(values) / len(values) ** 0.5


def _square(image: HostImage) -> HostImage:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = image[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(middle, (SIDE, SIDE), interpolation=method), np.uint8)


def _nucleus(mask: np.ndarray, lab: np.ndarray) -> tuple[float, Sequence[float]]:
    """Diameter in percent of the side, and colour, of the dark matter nearest the middle; NaN for none.

    The diameter is that of a disc of its area, but at most twice that of the largest disc inside: cells that
    touch are one dark piece.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= 20]
    if not large:
        return np.nan, [np.nan] * 3
    depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    away = np.hypot(*(np.indices(mask.shape) - (SIDE - 1) / 2))
    chosen = min(large, key=lambda k: away[labels == k].min())
    inside = labels == chosen
    width = 2 * float((depth * (away < SIDE / 3))[inside].max() or depth[inside].max())
    diameter = min(2 * np.sqrt(inside.sum() / np.pi), 2 * width)
    lightness = lab[..., 0][inside]
    darkest = lab[inside][lightness <= np.percentile(lightness, _DARK)]
    return 100 * diameter / SIDE, list(darkest.mean(axis=0))


def _sharpness(lightness: np.ndarray) -> float:
    """Variance lost by a blur of one pixel, percent of all variance."""
    total = float(lightness.var())
    if total < 1e-6:
        return 0.0
    return 100 * float((lightness - cv2.GaussianBlur(lightness, (0, 0), 1.0)).var()) / total
