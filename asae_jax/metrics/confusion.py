"""Everything that follows from a confusion matrix.

A score whose denominator is zero is 0 (precision of a class that was never predicted, recall of a
class that does not occur), as in scikit-learn with `zero_division=0`.
"""

from typing import NamedTuple

import numpy as np


class PerClass(NamedTuple):
    """Scores of each class, 0..1, and its number of examples: arrays `[..., classes]`."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts of (label, prediction): int64 `[classes, classes]`, rows are the true classes.

    Raises:
      ValueError: lengths that differ, or a class outside 0..num_classes-1.
    """
    labels, predictions = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(f"labels and predictions must be [N] each, got {labels.shape}, {predictions.shape}")
    for name, classes in (("labels", labels), ("predictions", predictions)):
        if classes.size and not 0 <= classes.min() <= classes.max() < num_classes:
            raise ValueError(f"{name} must lie in 0..{num_classes - 1}")
    counts = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def per_class_scores(confusion: np.ndarray) -> PerClass:
    """Precision, recall, F1 and support of each class of confusion matrices `[..., classes, classes]`."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support, predicted = confusion.sum(-1), confusion.sum(-2)
    return PerClass(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + predicted),
        support=support,
    )


def summarise(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """The four overall scores, 0..1, of confusion matrices `[..., classes, classes]`.

    Returns:
      `accuracy`; `balanced_accuracy`: mean recall over the classes that occur among the labels;
      `macro_f1`: mean F1 over the classes that occur among labels or predictions; `weighted_f1`: mean
      F1 weighted by support; each `[...]`. The same choices as scikit-learn's defaults.
    """
    scores = per_class_scores(confusion)
    occurs = scores.support > 0
    seen = occurs | (confusion.sum(-2) > 0)
    total = scores.support.sum(-1)
    return {
        "accuracy": _ratio(np.trace(confusion, axis1=-2, axis2=-1), total),
        "balanced_accuracy": _ratio((scores.recall * occurs).sum(-1), occurs.sum(-1)),
        "macro_f1": _ratio((scores.f1 * seen).sum(-1), seen.sum(-1)),
        "weighted_f1": _ratio((scores.f1 * scores.support).sum(-1), total),
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """`numerator / denominator`, and 0 where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
