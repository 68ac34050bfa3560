"""The colours along an image's border, where there is no cell: what a classifier should not need."""

import cv2
import numpy as np

from asae_jax.types import HostImage

BORDER_FEATURES = 12
"""Mean, deviation, 10th and 90th percentile of L, a and b along the border."""
BORDER_SIDE = 64
"""Pixels: the size at which borders are measured."""

_BORDER = 2  # pixels at that size: about 3 % of the side


def border_colours(small: HostImage) -> np.ndarray:
    """The features of the border, float64 `[12]` (see `BORDER_FEATURES`).

    Args:
      small: uint8 RGB, resized to `BORDER_SIDE` x `BORDER_SIDE`.
    """
    inside = slice(_BORDER, -_BORDER)
    band = np.ones(small.shape[:2], bool)
    band[inside, inside] = False
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)[band].astype(np.float64)
    return np.concatenate([lab.mean(axis=0), lab.std(axis=0), *np.percentile(lab, [10, 90], axis=0)])
