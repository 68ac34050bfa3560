"""Calibration: temperature scaling, and how well probabilities fit the labels (NLL, Brier score, ECE).

Temperature scaling (Guo et al. 2017, arXiv:1706.04599, section 4.2) divides all scores by one number. That
changes the probability of the most probable class, never which class it is.
"""

import dataclasses
import math
import statistics
from typing import NamedTuple

import numpy as np
import scipy  # a part is loaded when it is first used

from asae_jax.evaluation.metrics import ECE_BINS, Scored, confidence_bins

LIMITS = (0.05, 20.0)
"""Temperatures outside are not believed: they come from a handful of examples, all right or all wrong."""

_Z = statistics.NormalDist().inv_cdf(0.975)


@dataclasses.dataclass(frozen=True)
class Temperature:
    """A fitted temperature.

    Attributes:
      value: scores are divided by it; above 1 the network was too sure, below 1 not sure enough.
      low: lower end of its 95 % interval.
      high: upper end.
      fitted: what was fitted where `value` is 1 instead (see `if_needed`); else None.
    """

    value: float
    low: float
    high: float
    fitted: float | None = None

    def if_needed(self) -> "Temperature":
        """This temperature, or 1 where its interval contains 1.

        The examples do not tell then whether the network is too sure or not sure enough, and the fit follows
        their chance: applied to other images it may as well make calibration worse.
        """
        if self.low <= 1 <= self.high:
            return dataclasses.replace(self, value=1.0, fitted=self.value)
        return self


def soften(scores: np.ndarray, temperature: float) -> np.ndarray:
    """float64 log-probabilities `[..., classes]` at a temperature above 0.

    Logits and log-probabilities differ by a constant per row, so that both give the same.
    """
    # As scipy.special.log_softmax, whose import takes a fifth of a second: `predict` needs no other part.
    scaled = np.asarray(scores, np.float64) / temperature
    below = scaled - scaled.max(axis=-1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=-1, keepdims=True))


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> Temperature:
    """The temperature of the least mean negative log-likelihood, within `LIMITS`.

    The likelihood is convex in b = 1 / temperature; the root of its derivative, the mean of E_p[z] - z_label
    over the examples, is searched for in log b. The interval is the sandwich estimate for independent
    examples, taken for log b; it is `LIMITS` itself where the fit ends at one of them.

    Args:
      scores: logits or log-probabilities `[N, classes]`, finite, N at least 1.
      labels: int `[N]`.
    """
    scores, labels = soften(scores, 1.0), np.asarray(labels)
    inverse = _best_inverse(scores, labels)
    if not 1.001 / LIMITS[1] < inverse < 0.999 / LIMITS[0]:
        return Temperature(1 / inverse, *LIMITS)
    slopes, curvatures = _slopes(scores, labels, inverse)
    error = np.sqrt(np.mean(slopes**2) / len(labels)) / (curvatures.mean() * inverse)
    factor = float(np.exp(min(_Z * error, 10.0)))
    return Temperature(1 / inverse, max(LIMITS[0], 1 / inverse / factor), min(LIMITS[1], factor / inverse))


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
    """NLL, Brier score and ECE of log-probabilities `[N, classes]`, finite, N at least 1."""
    overall = Scored.of(log_probs, labels).overall(np.ones((1, len(labels))))
    misses = np.exp(np.asarray(log_probs, np.float64))
    misses[np.arange(len(labels)), labels] -= 1
    return Reliability(
        nll=float(overall["nll"][0]), brier=float((misses**2).sum(1).mean()), ece=float(overall["ece"][0])
    )


def reliability_bins(confidence: np.ndarray, correct: np.ndarray, *, num_bins: int = ECE_BINS) -> Bins:
    """The reliability diagram of N images.

    Args:
      confidence: `[N]`, 0..1, probability of the predicted class.
      correct: bool `[N]`.
      num_bins: number of bins of equal width, at least 1.
    """
    places = confidence_bins(confidence, num_bins)
    count = np.bincount(places, minlength=num_bins).astype(np.float64)
    sums = (np.bincount(places, weights=values, minlength=num_bins) for values in (confidence, correct))
    return Bins(count, *(total / np.maximum(count, 1) for total in sums))


def _best_inverse(scores: np.ndarray, labels: np.ndarray) -> float:
    """The inverse temperature of the least mean loss; a limit where the loss falls up to it."""

    def slope(log_inverse: float) -> float:
        return float(_slopes(scores, labels, math.exp(log_inverse))[0].mean())

    low, high = -math.log(LIMITS[1]), -math.log(LIMITS[0])
    if slope(high) <= 0:
        return 1 / LIMITS[0]
    if slope(low) >= 0:
        return 1 / LIMITS[1]
    return math.exp(scipy.optimize.brentq(slope, low, high, xtol=1e-14))


def _slopes(scores: np.ndarray, labels: np.ndarray, inverse: float) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative of each example's negative log-likelihood by `inverse`, `[N]` each."""
    probabilities = np.exp(soften(scores, 1 / inverse))
    mean = (probabilities * scores).sum(1)
    variance = (probabilities * (scores - mean[:, None]) ** 2).sum(1)
    return mean - scores[np.arange(len(labels)), labels], variance
