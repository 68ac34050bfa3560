"""Distance of features to the nearest training images (Sun et al. 2022, arXiv:2204.06507)."""

from typing import NamedTuple

import numpy as np

K = 10
"""The distance is that to the K-th nearest, so that a few odd training images make nothing familiar."""

_CHUNK = 256  # images compared with all training images at a time


class Neighbours(NamedTuple):
    """The directions of training images' features.

    Attributes:
      directions: float32 `[images, channels]`, of length 1.
    """

    directions: np.ndarray


def fit_neighbours(features: np.ndarray) -> Neighbours:
    """The directions of `features` `[images, channels]`, at least one image."""
    return Neighbours(_directions(features))


def neighbour_distances(neighbours: Neighbours, features: np.ndarray) -> np.ndarray:
    """Distance of each image's direction to its K-th nearest (or farthest, of fewer), 0..2, float64 `[N]`."""
    known, directions = neighbours.directions, _directions(features)
    place = max(0, len(known) - K)
    found = [
        np.partition(directions[i : i + _CHUNK] @ known.T, place, axis=1)[:, place]
        for i in range(0, len(directions), _CHUNK)
    ]
    cosines = np.concatenate(found).astype(np.float64) if found else np.zeros(0)
    return np.sqrt(np.maximum(2 - 2 * cosines, 0))


def _directions(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
