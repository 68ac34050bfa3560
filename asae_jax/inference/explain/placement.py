"""Puts the region that a peak hides elsewhere: the same cells, so that only the place differs."""

import math

import numpy as np

PLACES = ("peak", "gradcam", "centre")
"""Where the region is put for a reason; what follows are places drawn at random."""


def placed_regions(
    region: np.ndarray, grad_cam: np.ndarray, rng: np.random.Generator, draws: int, *, middle: float
) -> np.ndarray:
    """The region where the peak has it, and the same shape in other places.

    Args:
      region: bool `[height, width]`, not empty.
      grad_cam: float `[height, width]`.
      rng: draws the places.
      draws: how many.
      middle: of the image, in cells from the edge of the first, along both sides (`Grid.middle_of_image`).

    Returns:
      bool `[3 + draws, height, width]`, all with the same number of cells: in place; where it covers the
      most of `grad_cam`; in the middle; and at random, every place inside of the map equally likely.
    """
    shape = _cut_out(region)
    rows, cols = (outer - inner + 1 for outer, inner in zip(region.shape, shape.shape, strict=True))
    covered = np.lib.stride_tricks.sliding_window_view(grad_cam, shape.shape)[..., shape].sum(-1)
    corners = [
        np.unravel_index(covered.argmax(), covered.shape),
        (_centred(shape.shape[0], middle, rows), _centred(shape.shape[1], middle, cols)),
        *zip(rng.integers(rows, size=draws), rng.integers(cols, size=draws), strict=True),
    ]
    return np.stack([region, *(_put(shape, top, left, region.shape) for top, left in corners)])


def _centred(length: int, middle: float, places: int) -> int:
    """The place of `places` at which `length` cells have their middle nearest to `middle`."""
    return min(max(math.ceil(middle - length / 2 - 0.5), 0), places - 1)


def _cut_out(region: np.ndarray) -> np.ndarray:
    """The region's bounding box."""
    rows, cols = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    return region[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def _put(shape: np.ndarray, top: int, left: int, size: tuple[int, ...]) -> np.ndarray:
    placed = np.zeros(size, bool)
    placed[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
    return placed
