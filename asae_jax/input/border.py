"""The colours along an image's border, where there is no cell: what a classifier should not need."""

import cv2
import numpy as np

from asae_jax.types import HostImage

BORDER_FEATURES = 12
"""Mean, deviation, 10th and 90th percentile of L, a and b along the border."""
BORDER_SIDE = 64
"""Pixels: the size at which borders are measured."""

_BORDER = 2  # pixels at that size: about 3 % of the side
_BAND = np.flatnonzero(np.pad(np.zeros([BORDER_SIDE - 2 * _BORDER] * 2), _BORDER, constant_values=1))
_PLACES = {share: divmod((len(_BAND) - 1) * share, 1) for share in (0.1, 0.9)}
"""Of each percentile the place below it among the sorted pixels, and how far it lies behind that."""


def border_colours(small: HostImage) -> np.ndarray:
    """The features of the border, float64 `[12]` (see `BORDER_FEATURES`).

    Args:
      small: uint8 RGB, resized to `BORDER_SIDE` x `BORDER_SIDE`.
    """
    lab = cv2.cvtColor(small.reshape(-1, 3)[_BAND][None], cv2.COLOR_RGB2LAB)
    mean, deviation = cv2.meanStdDev(lab)
    return np.concatenate([mean[:, 0], deviation[:, 0], *_percentiles(lab[0])])


def _percentiles(lab: np.ndarray) -> list[np.ndarray]:
    """`np.percentile(lab, [10, 90], axis=0)`, which takes 0.1 ms for so few numbers."""
    wanted = [int(place) + step for place, _ in _PLACES.values() for step in (0, 1)]
    levels = np.partition(lab.T, wanted, axis=1).astype(np.float64)
    return [
        levels[:, int(place)] * (1 - part) + levels[:, int(place) + 1] * part
        for place, part in _PLACES.values()
    ]
