"""Scored examples and their overall metrics under any weighting."""

from dataclasses import dataclass

import numpy as np

from asae_jax.metrics.confusion import summarise

ECE_BINS = 15
"""Equal-width bins of the expected calibration error (Guo et al., arXiv:1706.04599)."""


@dataclass(frozen=True)
class Scored:
    """What each of N examples contributes to the metrics.

    Attributes:
      labels: int64 `[N]`.
      predictions: int64 `[N]`, the most probable class, the first of equals.
      confidence: float64 `[N]`, 0..1, the probability of the prediction.
      nll: float64 `[N]`, nats, the negative log-probability of the label.
      num_classes: number of classes.
    """

    labels: np.ndarray
    predictions: np.ndarray
    confidence: np.ndarray
    nll: np.ndarray
    num_classes: int

    @classmethod
    def of(cls, log_probs: np.ndarray, labels: np.ndarray) -> "Scored":
        """From log-probabilities `[N, classes]` and labels `[N]`.

        Raises:
          ValueError: no examples, wrong shapes, labels beyond the classes, or scores that are not finite.
        """
        log_probs, labels = np.asarray(log_probs, np.float64), np.asarray(labels, np.int64)
        if log_probs.ndim != 2 or labels.shape != log_probs.shape[:1] or not labels.size:
            raise ValueError(
                f"need [N, classes] scores and [N] labels, got {log_probs.shape}, {labels.shape}"
            )
        if not np.isfinite(log_probs).all():
            raise ValueError("log_probs must be finite")
        if labels.min() < 0 or labels.max() >= log_probs.shape[1]:
            raise ValueError(f"labels must lie in 0..{log_probs.shape[1] - 1}")
        predictions = log_probs.argmax(axis=1)
        rows = np.arange(labels.size)
        return cls(
            labels=labels,
            predictions=predictions,
            confidence=np.minimum(np.exp(log_probs[rows, predictions]), 1.0),
            nll=-log_probs[rows, labels],
            num_classes=log_probs.shape[1],
        )

    def overall(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The six overall metrics when example i counts `weights[..., i]` times.

        Args:
          weights: float64 `[resamples, N]`, at least 0, with a positive sum in each row.

        Returns:
          `accuracy`, `balanced_accuracy`, `macro_f1`, `weighted_f1`, `nll`, `ece`, each `[resamples]`.
        """
        total = weights.sum(axis=1)
        return {
            **summarise(self._confusion(weights)),
            "nll": weights @ self.nll / total,
            "ece": self._calibration_gap(weights) / total,
        }

    def _confusion(self, weights: np.ndarray) -> np.ndarray:
        cells = self.labels * self.num_classes + self.predictions
        counts = _sum_by(cells, weights, self.num_classes**2)
        return counts.reshape(-1, self.num_classes, self.num_classes)

    def _calibration_gap(self, weights: np.ndarray) -> np.ndarray:
        """Sum over the bins (lower, upper] of |sum of confidences - number of hits|."""
        bins = np.clip(np.ceil(self.confidence * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
        gaps = weights * (self.confidence - (self.predictions == self.labels))
        return np.abs(_sum_by(bins, gaps, ECE_BINS)).sum(axis=1)


def _sum_by(keys: np.ndarray, values: np.ndarray, num_keys: int) -> np.ndarray:
    """Sums of the columns of `values` `[rows, N]` that share a key: `[rows, num_keys]`."""
    order = np.argsort(keys, kind="stable")
    present, starts = np.unique(keys[order], return_index=True)
    sums = np.zeros((len(values), num_keys))
    sums[:, present] = np.add.reduceat(values[:, order], starts, axis=1)
    return sums
