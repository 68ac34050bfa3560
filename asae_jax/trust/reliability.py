"""Whether probabilities mean what they say: of images called 0.8, are 80 % right?"""

import dataclasses
from typing import NamedTuple

import numpy as np

NUM_BINS = 15
"""Equal-width bins, as in `asae_jax.metrics` (Guo et al. 2017, arXiv:1706.04599)."""


class Bins(NamedTuple):
    """A reliability diagram: one entry for each bin (lower, upper] of the confidence; float64 `[bins]`.

    Attributes:
      examples: images in the bin.
      confidence: their mean confidence; 0 where there are none.
      accuracy: share of them that are right; 0 where there are none.
    """

    examples: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


@dataclasses.dataclass(frozen=True)
class Reliability:
    """How well probabilities fit the labels; lower is better throughout.

    Attributes:
      nll: mean negative log-likelihood, nats.
      brier: mean squared difference of the probabilities and the one-hot label, summed over classes, 0..2.
      ece: expected calibration error of the most probable class, 0..1.
    """

    nll: float
    brier: float
    ece: float


def measure_reliability(log_probs: np.ndarray, labels: np.ndarray) -> Reliability:
    """NLL, Brier score and ECE of log-probabilities `[N, classes]`, N at least 1."""
    rows = np.arange(len(labels))
    probabilities = np.exp(np.asarray(log_probs, np.float64))
    one_hot = np.zeros_like(probabilities)
    one_hot[rows, labels] = 1
    bins = reliability_bins(probabilities.max(1), probabilities.argmax(1) == labels)
    gaps = bins.examples * np.abs(bins.confidence - bins.accuracy)
    return Reliability(
        nll=float(-np.asarray(log_probs, np.float64)[rows, labels].mean()),
        brier=float(((probabilities - one_hot) ** 2).sum(1).mean()),
        ece=float(gaps.sum() / len(labels)),
    )


def reliability_bins(confidence: np.ndarray, correct: np.ndarray, *, num_bins: int = NUM_BINS) -> Bins:
    """The reliability diagram of N images.

    Args:
      confidence: `[N]`, 0..1, probability of the predicted class.
      correct: bool `[N]`.
      num_bins: of equal width.
    """
    places = np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    count = np.bincount(places, minlength=num_bins).astype(np.float64)
    sums = (np.bincount(places, weights=values, minlength=num_bins) for values in (confidence, correct))
    return Bins(count, *(total / np.maximum(count, 1) for total in sums))
