"""The ASAE layer's maps for one image, cell by cell, in NumPy float64 (paper, section 3.2)."""

import math

import numpy as np


def find_peaks(attention: np.ndarray, window: int) -> np.ndarray:
    """Boolean [H, W]: cells whose window's maximum, first in row-major order, is the cell itself."""
    height, width = attention.shape
    reach = window // 2
    peaks = np.zeros(attention.shape, bool)
    for i in range(height):
        for j in range(width):
            cells = [
                (a, b)
                for a in range(max(i - reach, 0), min(i + reach + 1, height))
                for b in range(max(j - reach, 0), min(j + reach + 1, width))
            ]
            peaks[i, j] = max(cells, key=lambda cell: attention[cell]) == (i, j)
    return peaks


def ranked_peaks(attention: np.ndarray, peaks: np.ndarray) -> list[tuple[int, int]]:
    """Positions of the peaks, highest first, equal ones in row-major order."""
    cells = [(int(i), int(j)) for i, j in np.argwhere(peaks)]
    return sorted(cells, key=lambda cell: -attention[cell])


def suppression_mask(attention: np.ndarray, row: int, col: int, ratio: float, area: float) -> np.ndarray:
    """Float [H, W]: 0 on the hidden cells, 1 elsewhere (eq. 3 and 4)."""
    height, width = attention.shape
    if area < 1:
        area = area * height * width
    side = max(1, round(math.sqrt(area)))
    before = side // 2  # an even side has one cell more before the centre than after it
    peak = float(attention[row, col])
    alpha = min(ratio * peak, peak)
    mask = np.ones(attention.shape)
    for i in range(row - before, row - before + side):
        for j in range(col - before, col - before + side):
            if 0 <= i < height and 0 <= j < width and attention[i, j] >= alpha:
                mask[i, j] = 0
    return mask


def enhancement_map(attention: np.ndarray) -> np.ndarray:
    """Sigmoid."""
    return 1 / (1 + np.exp(-attention))
