"""Crops with one dark disc in the middle, the nucleus."""

import cv2
import numpy as np

BACKGROUND, NUCLEUS = (240, 220, 200), (90, 40, 130)


def crop(diameter=40.0, side=100, *, neighbours=(), background=BACKGROUND, soft=0.0):
    """uint8 RGB `[side, side, 3]`; `neighbours` are middles of further discs, `soft` a blur in pixels."""
    image = np.full((side, side, 3), background, np.uint8)
    for x, y in ((side / 2, side / 2), *neighbours):
        cv2.circle(image, (round(x), round(y)), round(diameter / 2), NUCLEUS, -1)
    return cv2.GaussianBlur(image, (0, 0), soft) if soft else image
