"""Scores of predictions against labels, from the confusion matrix to the content of an evaluation file.

A score whose denominator is zero is 0 (precision of a class that was never predicted, recall of a
class that does not occur), as in scikit-learn with `zero_division=0`.
"""

import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy  # a part is loaded when it is first used

from asae_jax.evaluation.bootstrap import bootstrap_intervals

SHOWN_CLASSES = 60
"""Most classes of a picture or table of class by class: for 1,000 a picture needed more than 14 GB of memory,
and a page had 24 MB."""
ECE_BINS = 15
"""Equal-width bins of the expected calibration error (Guo et al. 2017, arXiv:1706.04599)."""


def evaluate_scores(
    log_probs: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    groups: np.ndarray | None = None,
    bootstrap: int,
    seed: int = 0,
    means_over_labels: bool = False,
) -> dict[str, Any]:
    """All metrics of scored examples.

    Args:
      log_probs: log-probabilities `[N, classes]`, nats, finite.
      labels: int `[N]`, 0..classes-1.
      class_names: a different name for each class, in the order of the columns.
      groups: any values `[N]`, equal for images of one patient or slide; None: every image is its own.
      bootstrap: number of resamples behind the intervals; 0 for no intervals.
      seed: of the resampling, at least 0.
      means_over_labels: macro-F1 over the classes among the labels, as balanced accuracy is (`summarise`).

    Returns:
      `num_examples`; `accuracy`, `balanced_accuracy`, `macro_f1`, `weighted_f1` (0..1, defined in
      `summarise`); `per_class`: name -> `precision`, `recall`, `f1` (0 where undefined) and
      `support`; `confusion_matrix`: rows true; `class_names`; `ece`: expected calibration error of the
      most probable class, 15 equal-width bins; `nll`: mean negative log-likelihood in nats;
      `intervals`: metric -> `[low, high]`, 95 % (see `bootstrap_intervals` and `with_wilson`); that of `ece`
      is of what test sets of this size give on average, above 0 for a perfectly calibrated network too;
      `resamples`: as `bootstrap`. Plain Python, ready for JSON.

    Raises:
      ValueError: no examples, shapes or names that do not fit, scores that are not finite.
    """
    scored = Scored.of(log_probs, labels)
    names = [str(name) for name in class_names]
    _check_names_and_groups(scored, names, groups)
    confusion = confusion_matrix(scored.labels, scored.predictions, scored.num_classes)
    overall = functools.partial(scored.overall, means_over_labels=means_over_labels)
    intervals = bootstrap_intervals(
        overall, scored.labels.size, groups=groups, resamples=bootstrap, seed=seed, biased=("ece",)
    )
    return {
        "num_examples": int(scored.labels.size),
        **{name: float(value[0]) for name, value in overall(np.ones((1, scored.labels.size))).items()},
        "per_class": _per_class(confusion, names),
        "confusion_matrix": confusion.tolist(),
        "class_names": names,
        "intervals": with_wilson(intervals, confusion) if bootstrap and groups is None else intervals,
        "resamples": bootstrap,
    }


def with_wilson(intervals: Mapping[str, list[float]], confusion: np.ndarray) -> dict[str, list[float]]:
    """The intervals, with Wilson's of the accuracy: that of a share of images which are drawn one by one.

    The bootstrap's is too narrow where few are wrong, reaches 100 % in spite of a mistake that was seen, and
    has no width where all are right.

    Args:
      intervals: metric -> `[low, high]`, by bootstrap over images.
      confusion: counts `[classes, classes]`, of one image or more.
    """
    return {**intervals, "accuracy": list(wilson_interval(int(np.trace(confusion)), int(confusion.sum())))}


def _check_names_and_groups(scored: "Scored", names: Sequence[str], groups: np.ndarray | None) -> None:
    if len(set(names)) != scored.num_classes or len(names) != scored.num_classes:
        raise ValueError(f"need {scored.num_classes} different class names, got {names}")
    if groups is not None and len(groups) != scored.labels.size:
        raise ValueError(f"need a group for each of {scored.labels.size} examples, got {len(groups)}")


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


def largest_classes(scores: Mapping[str, Any], order: Sequence[int]) -> list[int]:
    """Those of `order`, in that order, that pictures and tables of class by class show.

    Args:
      scores: of an evaluation.
      order: positions of classes; the `SHOWN_CLASSES` with the most examples are taken.
    """
    examples = np.asarray(scores["confusion_matrix"]).sum(1)[list(order)]
    places = np.argsort(-examples, kind="stable")[:SHOWN_CLASSES]
    return [order[place] for place in sorted(places)]


def weighted_confusion(
    labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, num_classes: int
) -> np.ndarray:
    """Confusion matrices of weighted examples, such as resamples: `[resamples, classes, classes]`, rows true.

    Args:
      labels: int `[N]`, 0..classes-1.
      predictions: int `[N]`, 0..classes-1.
      weights: float64 `[resamples, N]`, how often each example counts.
      num_classes: number of classes.
    """
    sums = _sum_by(labels * num_classes + predictions, weights, num_classes**2)
    return sums.reshape(-1, num_classes, num_classes)


def per_class_scores(confusion: np.ndarray) -> PerClass:
    """Precision, recall, F1 and support of each class of confusion matrices `[..., classes, classes]`."""
    return _Counts.of(confusion).scores()


class _Counts(NamedTuple):
    """What scores need of a confusion matrix, each `[..., classes]`; of 1,000 classes a thousandth of it."""

    hits: np.ndarray
    support: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, confusion: np.ndarray) -> "_Counts":
        return cls(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1), confusion.sum(-2))

    def scores(self) -> PerClass:
        return PerClass(
            precision=_ratio(self.hits, self.predicted),
            recall=_ratio(self.hits, self.support),
            f1=_ratio(2 * self.hits, self.support + self.predicted),
            support=self.support,
        )


def summarise(confusion: np.ndarray, *, means_over_labels: bool = False) -> dict[str, np.ndarray]:
    """The four overall scores, 0..1, of confusion matrices `[..., classes, classes]`.

    Args:
      confusion: rows true.
      means_over_labels: also macro-F1 is the mean over the classes that occur among the labels. So it is for
        images of another source, which may have no image of most classes: each class that is predicted once
        by mistake would add an F1 of 0 to the mean, and nothing to that of balanced accuracy.

    Returns:
      `accuracy`; `balanced_accuracy`: mean recall over the classes that occur among the labels;
      `macro_f1`: mean F1 over the classes that occur among labels or predictions (or labels alone, see
      above); `weighted_f1`: mean F1 weighted by support; each `[...]`. By default scikit-learn's choices.
    """
    return _summary(_Counts.of(confusion), means_over_labels)


def _summary(counts: _Counts, means_over_labels: bool) -> dict[str, np.ndarray]:
    scores = counts.scores()
    occurs = scores.support > 0
    seen = occurs if means_over_labels else occurs | (counts.predicted > 0)
    total = scores.support.sum(-1)
    return {
        "accuracy": _ratio(counts.hits.sum(-1), total),
        "balanced_accuracy": _ratio((scores.recall * occurs).sum(-1), occurs.sum(-1)),
        "macro_f1": _ratio((scores.f1 * seen).sum(-1), seen.sum(-1)),
        "weighted_f1": _ratio((scores.f1 * scores.support).sum(-1), total),
    }


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

    def overall(self, weights: np.ndarray, *, means_over_labels: bool = False) -> dict[str, np.ndarray]:
        """The six overall metrics when example i counts `weights[..., i]` times.

        A class that a resample misses is left out of its class means. The calibration error of a resample is
        a little higher than that of its source: see `bootstrap_intervals`.

        Args:
          weights: float64 `[resamples, N]`, at least 0, with a positive sum in each row.
          means_over_labels: see `summarise`.

        Returns:
          `accuracy`, `balanced_accuracy`, `macro_f1`, `weighted_f1`, `nll`, `ece`, each `[resamples]`.
        """
        total = weights.sum(axis=1)
        return {
            **_summary(self._counts(weights), means_over_labels),
            "nll": weights @ self.nll / total,
            "ece": self._calibration_gap(weights) / total,
        }

    def _counts(self, weights: np.ndarray) -> _Counts:
        """By way of the pairs (label, prediction) that occur: a few among few classes, N at most."""
        pairs, pair = np.unique(self.labels * self.num_classes + self.predictions, return_inverse=True)
        sums = _sum_by(pair, weights, len(pairs))
        labels, predictions = np.divmod(pairs, self.num_classes)
        return _Counts(
            _sum_by(labels, sums * (labels == predictions), self.num_classes),
            _sum_by(labels, sums, self.num_classes),
            _sum_by(predictions, sums, self.num_classes),
        )

    def _calibration_gap(self, weights: np.ndarray) -> np.ndarray:
        """Sum over the bins (lower, upper] of |sum of confidences - number of hits|."""
        bins = confidence_bins(self.confidence, ECE_BINS)
        gaps = weights * (self.confidence - (self.predictions == self.labels))
        return np.abs(_sum_by(bins, gaps, ECE_BINS)).sum(axis=1)


def confidence_bins(confidence: np.ndarray, num_bins: int) -> np.ndarray:
    """int `[N]`: the bin (lower, upper] of each confidence `[N]`, 0..1, among `num_bins` of equal width."""
    return np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share `hits / total`, 0..1 (Wilson 1927); (0, 1) where nothing was counted.

    It never leaves 0..1 and is not empty at 0 or at `total`, as hits +- 2 standard errors would be.
    """
    # As scipy.stats.binomtest(...).proportion_ci(method="wilson"). Importing scipy.stats takes half a second,
    # which `predict` would pay on every start.
    if not total:
        return 0.0, 1.0
    z2 = statistics.NormalDist().inv_cdf(0.975) ** 2
    centre, scale = hits + z2 / 2, total + z2
    half = math.sqrt(z2 * (hits * (total - hits) / total + z2 / 4))
    low = 0.0 if hits == 0 else (centre - half) / scale
    high = 1.0 if hits == total else (centre + half) / scale
    return low, high


def counted_share(hits: int, total: int) -> dict[str, Any]:
    """A share as files hold it: `count`, `of`, `share` (None of nothing) and its 95 % Wilson `interval`."""
    interval = list(wilson_interval(hits, total))
    return {"count": hits, "of": total, "share": hits / total if total else None, "interval": interval}


def clopper_pearson_bound(hits: int, total: int, *, risk: float) -> float:
    """The largest share under which `hits` or fewer of `total` still have probability `risk`.

    The one-sided bound of Clopper and Pearson (1934), exact at every size: the true share exceeds it
    with probability `risk` at most.

    Args:
      hits: 0..total.
      total: number counted; the bound is 1 where it is 0.
      risk: 0 < risk < 1.
    """
    return 1.0 if hits >= total else float(scipy.special.betaincinv(hits + 1, total - hits, 1 - risk))


def _sum_by(keys: np.ndarray, values: np.ndarray, num_keys: int) -> np.ndarray:
    """Sums of the columns of `values` `[rows, N]` that share a key: `[rows, num_keys]`."""
    order = np.argsort(keys, kind="stable")
    present, starts = np.unique(keys[order], return_index=True)
    sums = np.zeros((len(values), num_keys))
    sums[:, present] = np.add.reduceat(values[:, order], starts, axis=1)
    return sums


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """`numerator / denominator`, and 0 where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _per_class(confusion: np.ndarray, names: list[str]) -> dict[str, dict[str, float | int]]:
    columns = per_class_scores(confusion)
    return {
        name: {field: values[i].item() for field, values in columns._asdict().items()}
        for i, name in enumerate(names)
    }
