"""Distance of features to the class means (Lee et al. 2018, arXiv:1807.03888)."""

from typing import NamedTuple

import numpy as np

_CHUNK = 64  # images compared with all class means at a time


class ClassGaussians(NamedTuple):
    """One Gaussian per class with a common covariance, in the space of pooled features.

    Attributes:
      means: float32 `[classes, channels]`.
      whitening: float32 `[channels, channels]`; the inverse of the covariance is its square.
      shrinkage: 0..1, how far the covariance was drawn to a multiple of the identity; `[]`.
    """

    means: np.ndarray
    whitening: np.ndarray
    shrinkage: np.ndarray


def fit_class_gaussians(features: np.ndarray, labels: np.ndarray, num_classes: int) -> ClassGaussians:
    """Class means and the common covariance, shrunk as Ledoit and Wolf (2004) say.

    Args:
      features: `[N, channels]`, every class present.
      labels: int `[N]`.
      num_classes: number of classes.
    """
    features = np.asarray(features, np.float64)
    means = np.stack([features[labels == c].mean(0) for c in range(num_classes)])
    covariance, shrinkage = ledoit_wolf(features - means[labels])
    values, vectors = np.linalg.eigh(covariance)
    # A channel that is always zero (a dead ReLU) has no variance: the floor keeps its weight finite.
    values = np.maximum(values, 1e-6 * values.max() + 1e-12)
    whitening = (vectors / np.sqrt(values)) @ vectors.T
    return ClassGaussians(
        means.astype(np.float32), whitening.astype(np.float32), np.asarray(shrinkage, np.float32)
    )


def ledoit_wolf(centred: np.ndarray) -> tuple[np.ndarray, float]:
    """(covariance, shrinkage) of centred examples `[N, channels]` (Ledoit and Wolf 2004, lemma 3.2 ff.).

    The covariance is drawn to a multiple of the identity by the share that minimises the expected squared
    error; so it can be inverted with fewer examples than channels.
    """
    n, channels = centred.shape
    sample = centred.T @ centred / n
    level = np.trace(sample) / channels
    spread = (sample**2).sum() - channels * level**2
    noise = ((centred**2).sum(1) ** 2).sum() / n**2 - (sample**2).sum() / n
    shrinkage = float(np.clip(noise / spread, 0, 1)) if spread > 0 else 1.0
    return (1 - shrinkage) * sample + shrinkage * level * np.eye(channels), shrinkage


def distances(gaussians: ClassGaussians, features: np.ndarray) -> np.ndarray:
    """Mahalanobis distance of each image to the nearest class mean, float64 `[N]`."""
    whitened = np.asarray(features, np.float64) @ gaussians.whitening
    means = gaussians.means.astype(np.float64) @ gaussians.whitening
    nearest = [
        np.linalg.norm(whitened[i : i + _CHUNK, None] - means[None], axis=-1).min(1)
        for i in range(0, len(whitened), _CHUNK)
    ]
    return np.concatenate(nearest) if nearest else np.zeros(0)
