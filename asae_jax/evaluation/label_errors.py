"""Suspected wrong labels: confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068).

A class's threshold is the mean probability that the network gives it on the images labelled so. An image is
counted under the class whose threshold its probability reaches (the most probable of several): counts of
(label, that class) are the confident joint, and what lies off its diagonal is suspected. A class that the
network is seldom sure of has a low threshold, so that its images are not all suspected for that reason.

The probabilities must be out-of-sample: of a network that was not trained on the images. On training images
it has learnt the wrong labels too, and they look right.
"""

from typing import NamedTuple

import numpy as np

_TOLERANCE = 1e-6  # probabilities that are read from a file are rounded


class Suspected(NamedTuple):
    """Images whose labels are suspected, the surest suspicion first; arrays `[n]`.

    Attributes:
      rows: int64, positions among the images given.
      suggested: int64, the class that the image is counted under instead.
      margin: float64, -1..1, probability of the label less the highest of the other classes, rising.
    """

    rows: np.ndarray
    suggested: np.ndarray
    margin: np.ndarray


def confident_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float64 `[classes]`: mean probability of each class over the images labelled so.

    Infinity for a class without an image: nothing is counted under it.

    Args:
      probabilities: `[N, classes]`, out-of-sample.
      labels: int `[N]`.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    count = np.bincount(labels, minlength=classes)
    total = np.bincount(labels, weights=own, minlength=classes)
    return np.divide(total, count, out=np.full(classes, np.inf), where=count > 0)


def confident_classes(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """int64 `[N]`: the class that each image is counted under, -1 where it reaches no threshold.

    Args:
      probabilities: `[N, classes]`, out-of-sample.
      labels: int `[N]`.
    """
    reached = probabilities >= confident_thresholds(probabilities, labels) - _TOLERANCE
    best = np.where(reached, probabilities, -1.0).argmax(1)
    return np.where(reached.any(1), best, -1)


def suspected_labels(probabilities: np.ndarray, labels: np.ndarray) -> Suspected:
    """The images off the diagonal of the confident joint, by normalised margin.

    Left out are those whose label is the most probable class all the same, as in the authors' own program.

    Args:
      probabilities: `[N, classes]`, out-of-sample.
      labels: int `[N]`.
    """
    counted = confident_classes(probabilities, labels)
    rows = np.flatnonzero((counted >= 0) & (counted != labels) & (probabilities.argmax(1) != labels))
    own = probabilities[rows, labels[rows]]
    others = probabilities[rows].copy()
    others[np.arange(len(rows)), labels[rows]] = -1
    margin = (own - others.max(1)).astype(np.float64) if len(rows) else np.zeros(0)
    order = np.argsort(margin, kind="stable")
    return Suspected(rows[order], counted[rows[order]], margin[order])
