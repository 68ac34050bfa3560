"""Which images a person should label first: different from each other, and among these the least certain.

The features are divided into as many clusters as images are wanted (k-means on directions), so that the
proposals cover what there is; of the half of each cluster that is nearest its centre the image with the
smallest margin between its two most probable classes is taken, so that they are neither odd nor obvious.
"""

import warnings

import numpy as np
from scipy.cluster.vq import kmeans2


def propose(features: np.ndarray, probabilities: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Rows of `count` images to label, the least certain first, int `[min(count, N)]`.

    Args:
      features: float `[N, channels]`.
      probabilities: `[N, classes]`.
      count: how many, 1 or more.
      seed: of the clusters.
    """
    features = np.asarray(features, np.float64)
    directions = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    two = np.sort(probabilities, axis=1)[:, -2:]
    margins = two[:, 1] - two[:, 0]
    if count >= len(features):
        return np.argsort(margins, kind="stable")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a cluster that became empty: others fill its place
        centres, cluster = kmeans2(directions, count, minit="++", seed=seed)
    away = np.linalg.norm(directions - centres[cluster], axis=1)
    chosen = [_of_cluster(np.flatnonzero(cluster == k), away, margins) for k in np.unique(cluster)]
    rest = np.setdiff1d(np.argsort(margins, kind="stable"), chosen, assume_unique=True)
    rows = np.array([*chosen, *rest[: count - len(chosen)]])
    return rows[np.argsort(margins[rows], kind="stable")]


def _of_cluster(rows: np.ndarray, away: np.ndarray, margins: np.ndarray) -> int:
    near = rows[away[rows] <= np.median(away[rows])]
    return int(near[margins[near].argmin()])
