"""How well the colour of the border alone predicts the class: a shortcut to be learned instead of cells."""

import dataclasses

import numpy as np

from asae_jax.input.sampler import permutation, rows_by_label

MARGIN = 0.1
"""Balanced accuracy above chance from which on the border counts as a shortcut."""
FOLDS = 5

_SHRINKAGE = 1e-2  # of the within-class covariance towards its mean variance
_SCORED = 1 << 22  # scores computed at a time: all of 171,000 images and 1,000 classes take a gigabyte


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """Cross-validated scores of a linear classifier that sees only the border's colours.

    Attributes:
      balanced_accuracy: mean recall of the classes compared, 0..1.
      standard_error: of the balanced accuracy.
      chance: 1 / classes compared.
      threshold: balanced accuracy at which to warn: `chance` plus `MARGIN`, or plus three standard errors if
        that is more.
      recall: class name -> recall.
      left_out: names of classes with fewer than `FOLDS` images.
    """

    balanced_accuracy: float
    standard_error: float
    chance: float
    threshold: float
    recall: dict[str, float]
    left_out: tuple[str, ...]

    @property
    def warns(self) -> bool:
        """Whether the border is a shortcut."""
        return self.balanced_accuracy >= self.threshold


def border_shortcut(
    features: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]
) -> Shortcut | None:
    """Linear discriminant analysis with equal priors, in five stratified folds.

    Args:
      features: float `[N, F]`, of the readable images.
      labels: int `[N]`, 0 .. classes - 1.
      class_names: by label.

    Returns:
      None where fewer than two classes have `FOLDS` images.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    compared = np.flatnonzero(counts >= FOLDS)
    if len(compared) < 2:
        return None
    rows = np.flatnonzero((counts >= FOLDS)[labels])
    correct = _cross_validated(features[rows].astype(np.float64), labels[rows])
    recall = np.bincount(labels[rows[correct]], minlength=len(counts))[compared] / counts[compared]
    error = np.sqrt(np.sum(recall * (1 - recall) / counts[compared])) / len(compared)
    chance = 1 / len(compared)
    return Shortcut(
        balanced_accuracy=float(recall.mean()),
        standard_error=float(error),
        chance=chance,
        threshold=float(chance + max(MARGIN, 3 * error)),
        recall={class_names[label]: float(value) for label, value in zip(compared, recall, strict=True)},
        left_out=tuple(class_names[label] for label in np.flatnonzero(counts < FOLDS) if counts[label]),
    )


def _cross_validated(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """bool `[N]`: whether each image is classified correctly by the classifier fitted without its fold."""
    fold = np.empty(len(labels), np.int64)
    for label, members in rows_by_label(labels):
        fold[members[permutation(len(members), 0, "audit", label)]] = np.arange(len(members)) % FOLDS
    correct = np.empty(len(labels), bool)
    for held_out in range(FOLDS):
        test = fold == held_out
        correct[test] = _predict(features[~test], labels[~test], features[test]) == labels[test]
    return correct


def _predict(features: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Labels of `queries` by linear discriminant analysis of `features`, all classes equally likely."""
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    features, queries = (features - mean) / scale, (queries - mean) / scale
    classes, member, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(member, column, len(classes)) for column in features.T], axis=1)
    centres = sums / counts[:, None]
    within = (features.T @ features - sums.T @ centres) / (len(features) - 1)
    level = max(np.trace(within) / len(within), 1e-6)
    directions = np.linalg.solve(
        (1 - _SHRINKAGE) * within + _SHRINKAGE * level * np.eye(len(within)), centres.T
    )
    offsets = 0.5 * np.sum(centres.T * directions, axis=0)
    portion = max(1, _SCORED // len(classes))
    parts = [queries[start : start + portion] for start in range(0, len(queries), portion)]
    return classes[np.concatenate([(part @ directions - offsets).argmax(axis=1) for part in parts])]
