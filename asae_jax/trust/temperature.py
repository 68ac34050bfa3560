"""Temperature scaling (Guo et al. 2017, arXiv:1706.04599, section 4.2): one number that softens all scores.

The most probable class never changes; only how sure the network says it is.
"""

import dataclasses

import numpy as np

LIMITS = (0.05, 20.0)
"""Temperatures outside are not believed: they come from a handful of examples, all right or all wrong."""

_Z = 1.959963984540054  # 97.5 % point of the normal distribution


@dataclasses.dataclass(frozen=True)
class Temperature:
    """A fitted temperature.

    Attributes:
      value: scores are divided by it; above 1 the network was too sure, below 1 not sure enough.
      low: lower end of its 95 % interval.
      high: upper end.
    """

    value: float
    low: float
    high: float


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """float64 log-probabilities of logits or log-probabilities `[..., classes]`."""
    shifted = np.asarray(scores, np.float64)
    shifted = shifted - shifted.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def soften(scores: np.ndarray, temperature: float) -> np.ndarray:
    """float64 log-probabilities `[N, classes]` at a temperature above 0.

    Logits and log-probabilities differ by a constant per row, so that both give the same.
    """
    return log_softmax(np.asarray(scores, np.float64) / temperature)


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> Temperature:
    """The temperature of the least mean negative log-likelihood, within `LIMITS`.

    The likelihood is convex in b = 1 / temperature; its derivative, the mean of E_p[z] - z_label over the
    examples, is brought to zero by bisection. The interval is the sandwich estimate for independent
    examples, taken for log b; it is `LIMITS` itself where the fit ends at one of them.

    Args:
      scores: logits or log-probabilities `[N, classes]`, finite, N at least 1.
      labels: int `[N]`.
    """
    scores, labels = log_softmax(scores), np.asarray(labels)
    low, high = 1 / LIMITS[1], 1 / LIMITS[0]
    for _ in range(60):
        middle = float(np.sqrt(low * high))
        if _slopes(scores, labels, middle)[0].mean() > 0:
            high = middle
        else:
            low = middle
    inverse = float(np.sqrt(low * high))
    if not 1.001 / LIMITS[1] < inverse < 0.999 / LIMITS[0]:
        return Temperature(1 / inverse, *LIMITS)
    slopes, curvatures = _slopes(scores, labels, inverse)
    error = np.sqrt(np.mean(slopes**2) / len(labels)) / (curvatures.mean() * inverse)
    factor = float(np.exp(min(_Z * error, 10.0)))
    return Temperature(1 / inverse, max(LIMITS[0], 1 / inverse / factor), min(LIMITS[1], factor / inverse))


def _slopes(scores: np.ndarray, labels: np.ndarray, inverse: float) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative of each example's negative log-likelihood by `inverse`, `[N]` each."""
    probabilities = np.exp(soften(scores, 1 / inverse))
    mean = (probabilities * scores).sum(1)
    variance = (probabilities * (scores - mean[:, None]) ** 2).sum(1)
    return mean - scores[np.arange(len(labels)), labels], variance
