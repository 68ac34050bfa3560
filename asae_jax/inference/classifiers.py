"""Classifiers that see features only: logistic regression, and k nearest neighbours; folds to test them."""

import warnings
from collections.abc import Sequence

import numpy as np
import scipy  # a part is loaded when it is first used

from asae_jax.inference.softmax_regression import fit_softmax_regression
from asae_jax.input.split import draw_split, most_folds

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Strengths of the L2 penalty, the strongest first, among which an inner cross-validation chooses.

It stops at the first that is no better than the one before."""
NEIGHBOURS = 5
"""k of the nearest neighbours."""

_INNER_FOLDS = 3
_CHUNK = 1024  # images compared with all others at once


class LogisticRegression:
    """Softmax regression on standardised features.

    It minimises the mean cross entropy plus half of `penalty` times the sum of squared weights (the biases
    are free). In scikit-learn's terms that is C = 1 / (N penalty).
    """

    def __init__(self, penalty: float):
        """Takes the strength of the penalty, above 0."""
        self.penalty = penalty
        self._weights = np.zeros((0, 0))

    def fit(self, features: np.ndarray, labels: np.ndarray, num_classes: int) -> "LogisticRegression":
        """Fits and returns itself; a second fit starts from the weights of the first.

        Args:
          features: float `[N, channels]`.
          labels: int `[N]`, 0..num_classes-1.
          num_classes: number of classes.
        """
        self._mean, self._scale = features.mean(axis=0), features.std(axis=0)
        self._scale = np.where(self._scale > 0, self._scale, 1)
        inputs = self._with_ones(features)
        shape = (inputs.shape[1], num_classes)
        start = self._weights if self._weights.shape == shape else np.zeros(shape)
        self._weights = fit_softmax_regression(inputs, labels, start, penalty=self.penalty)
        return self

    def log_probs(self, features: np.ndarray) -> np.ndarray:
        """Log-probabilities `[N, classes]` of features `[N, channels]`."""
        return scipy.special.log_softmax(self._with_ones(features) @ self._weights, axis=1)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The most probable class of features `[N, channels]`: int `[N]`."""
        return self.log_probs(features).argmax(axis=1)

    def _with_ones(self, features: np.ndarray) -> np.ndarray:
        standardised = (features - self._mean) / self._scale
        return np.hstack([standardised, np.ones((len(features), 1))])


def choose_penalty(
    features: np.ndarray, labels: np.ndarray, num_classes: int, *, groups: np.ndarray | None, seed: int
) -> float:
    """The penalty of the lowest cross entropy in a cross-validation within these images.

    Args:
      features: float `[N, channels]`.
      labels: int `[N]`, 0..num_classes-1.
      num_classes: number of classes.
      groups: `[N]`, which are not divided; None: images are.
      seed: of the folds.
    """
    masks = fold_masks(labels, groups=groups, folds=_INNER_FOLDS, seed=seed)
    models = [LogisticRegression(PENALTIES[0]) for _ in masks]
    best, chosen = np.inf, PENALTIES[0]
    # From the strongest on: each fit starts where the one before ended, and the slow fits, those of
    # penalties so weak that they overfit, are not made.
    for penalty in PENALTIES:
        total = 0.0
        for model, test in zip(models, masks, strict=True):
            model.penalty = penalty
            model.fit(features[~test], labels[~test], num_classes)
            total -= model.log_probs(features[test])[np.arange(test.sum()), labels[test]].sum()
        if total >= best:
            break
        best, chosen = total, penalty
    return chosen


def nearest_labels(features: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The class that most of the `NEIGHBOURS` nearest have, by the angle between features: int `[n]`.

    Among equally many that with the larger sum of cosines.

    Args:
      features: float `[N, channels]`.
      labels: int `[N]`, 0 or more.
      queries: float `[n, channels]`.
    """
    nearest, cosines = nearest_rows(features, queries, NEIGHBOURS)
    votes = np.zeros((len(nearest), int(labels.max()) + 1))
    rows = np.arange(len(nearest))[:, None]
    # A vote weighs more than all cosines together, which lie in -1..1.
    np.add.at(votes, (rows, labels[nearest]), 2 * NEIGHBOURS + 1 + cosines)
    return votes.argmax(axis=1)


def nearest_rows(features: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the `count` features nearest by angle to each query, nearest first, and the cosines.

    Args:
      features: float `[N, channels]`.
      queries: float `[n, channels]`.
      count: N at most are found.

    Returns:
      int and float `[n, min(count, N)]`.
    """
    known, asked = _directions(features), _directions(queries)
    count = min(count, len(known))
    rows, found = np.empty((len(asked), count), np.int64), np.empty((len(asked), count), known.dtype)
    for first in range(0, len(asked), _CHUNK):
        cosines = asked[first : first + _CHUNK] @ known.T
        near = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(cosines, near, axis=1), axis=1, kind="stable")
        part = slice(first, first + len(cosines))
        rows[part] = np.take_along_axis(near, order, axis=1)
        found[part] = np.take_along_axis(cosines, rows[part], axis=1)
    return rows, found


def fold_masks(
    labels: np.ndarray, *, groups: np.ndarray | None, folds: int, seed: int
) -> Sequence[np.ndarray]:
    """The test images of each fold, bool `[N]`, stratified; whole groups where they are given.

    See `input.split.draw_split`. There are fewer folds where fewer groups, or images, can be left out. Groups
    are divided where fewer than two can, and where no image can, two folds test nothing.

    Args:
      labels: int `[N]`.
      groups: `[N]`, slide or patient of each image; None: each image by itself.
      folds: 2 or more.
      seed: any integer.
    """
    most = most_folds(labels, groups)
    if groups is not None and most < 2:
        groups, most = None, most_folds(labels, None)
    folds = min(folds, most)
    if folds < 2:
        return [np.zeros(len(labels), bool)] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is tested in no fold, which the masks tell
        return [
            draw_split(
                labels,
                groups=groups,
                test_fraction=0,
                validation_fraction=0,
                folds=folds,
                fold=fold,
                seed=seed,
            )
            == "test"
            for fold in range(folds)
        ]


def _directions(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
