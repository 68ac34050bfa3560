"""Whether one row is better than another: intervals, tests and verdicts.

Two things vary. A run depends on its seed; a test set is a sample of images. The two are kept apart: seeds
are judged by Student's t, images by the bootstrap and the sign test.
"""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from asae_jax.evaluation.bootstrap import (
    MIN_GROUPS,
    bootstrap_interval,
    enough_groups,
    resampled_weights,
)
from asae_jax.evaluation.metrics import confusion_matrix, per_class_scores, weighted_confusion
from asae_jax.experiments.results import METRICS, FinishedRun, Results

SHOWN_CONFUSIONS = 5
"""Pairs of classes listed as confused less, and as confused more."""

MIN_SEEDS = 3
"""Fewer give no interval: that of two seeds is 6 times their distance on either side, or has no width."""

_LEVEL = 0.95

ResampledScores = Mapping[str, np.ndarray]
"""Metric -> its value on each resample of the test images, `[resamples]` (`metrics.summarise`)."""


class Estimate(NamedTuple):
    """A mean with its 95 % interval; the ends are None where the data give none."""

    mean: float
    low: float | None
    high: float | None


class SignTest(NamedTuple):
    """How many images each of two methods got right more often than the other, and the two-sided p."""

    better: int
    worse: int
    p: float


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far the one row is above the other in one metric, -1 to 1.

    Attributes:
      over_seeds: mean and Student's t interval of the differences between runs of the same seed.
      p: of Student's paired t test; None for fewer than `MIN_SEEDS`.
      over_images: 95 % bootstrap interval of the mean difference under other test images (or groups); None
        where there is none, as for fewer than `bootstrap.MIN_GROUPS` groups, or where all resamples agree.
    """

    over_seeds: Estimate
    p: float | None
    over_images: tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Images of class `true` that were taken for `predicted`, per run.

    Attributes:
      true: name of the class.
      predicted: name of the other class.
      other: mean number under the other row.
      row: mean number under the row.
    """

    true: str
    predicted: str
    other: float
    row: float


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One row compared with another.

    Attributes:
      seeds: those that both rows have finished.
      differences: metric -> difference.
      images: the sign test over images.
      recall_changes: class -> change of its recall, with the interval over seeds.
      removed: confusions that became rarer, the largest change first.
      added: confusions that became more frequent.
    """

    seeds: tuple[int, ...]
    differences: Mapping[str, Difference]
    images: SignTest
    recall_changes: Mapping[str, Estimate]
    removed: Sequence[Confusion]
    added: Sequence[Confusion]


class Verdict(enum.Enum):
    """Whether the one row is better than the other on these data."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "cannot be decided"


def t_estimate(values: np.ndarray) -> Estimate:
    """Mean and Student's t interval of independent `values` `[n]`; none for n below `MIN_SEEDS`."""
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    if values.size < MIN_SEEDS:
        return Estimate(mean, None, None)
    half = float(stats.t.ppf((1 + _LEVEL) / 2, values.size - 1)) * float(stats.sem(values))
    return Estimate(mean, mean - half, mean + half)


def t_test(differences: np.ndarray) -> float | None:
    """Two-sided p of Student's paired t test, from the differences `[n]`; None for n below `MIN_SEEDS`.

    Where all differences are equal there is no error to estimate: p is 1 if they are 0, else 0.
    """
    differences = np.asarray(differences, np.float64)
    if differences.size < MIN_SEEDS:
        return None
    error = float(stats.sem(differences))
    if error == 0:
        return 1.0 if differences[0] == 0 else 0.0
    return float(2 * stats.t.sf(abs(differences.mean()) / error, differences.size - 1))


def sign_test(right: np.ndarray, other_right: np.ndarray) -> SignTest:
    """The exact sign test over images; with one seed this is McNemar's exact test.

    An image counts once, for the method that was right under more of the seeds. Counting it once per seed
    would take one image for several independent ones, and find differences that do not exist.

    Args:
      right: bool `[seeds, images]`, whether the one method predicted the image's class.
      other_right: the same of the other method, with the same seeds.
    """
    lead = right.astype(np.int64).sum(0) - other_right.astype(np.int64).sum(0)
    better, worse = int((lead > 0).sum()), int((lead < 0).sum())
    p = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    return SignTest(better, worse, float(p))


def holm(p_values: list[float]) -> list[float]:
    """Holm's adjusted p values, which control the family-wise error rate (Holm 1979)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    factors = np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return [float(value) for value in adjusted]


def bootstrap_confusions(
    labels: np.ndarray,
    predictions: np.ndarray,
    num_classes: int,
    *,
    groups: np.ndarray | None = None,
    resamples: int,
) -> np.ndarray:
    """Confusion matrices of resampled images, the same resamples for every run: paired.

    Args:
      labels: int `[images]`, 0 to `num_classes` - 1.
      predictions: int `[runs, images]`, 0 to `num_classes` - 1.
      num_classes: number of classes.
      groups: any values `[images]`; whole groups (slides, patients) are drawn. None: single images are.
      resamples: how many, at least 1.

    Returns:
      float64 `[runs, resamples, classes, classes]`, rows true.
    """
    drawn = resampled_weights(labels.size, groups=groups, resamples=resamples, seed=0)
    parts = [[weighted_confusion(labels, run, weights, num_classes) for run in predictions]
             for weights in drawn]  # fmt: skip
    return np.concatenate(parts, axis=1)


def compare(
    results: Results, row: str, other: str, *, resampled: Mapping[str, Mapping[int, ResampledScores]]
) -> Outcome | None:
    """`row` minus `other`; None where they have no finished seed in common.

    Args:
      results: the finished runs of the grid.
      row: name of the one row.
      other: name of the other.
      resampled: row -> seed -> scores of resampled test images, the same resamples for all.
    """
    pairs = results.shared_seeds(row, other)
    if not pairs:
        return None
    seeds = tuple(run.seed for run, _ in pairs)
    resampled_gaps = [(resampled[row][seed], resampled[other][seed]) for seed in seeds]
    differences = {}
    for metric in METRICS:
        gaps = np.array([a.scores[metric] - b.scores[metric] for a, b in pairs])
        under = np.mean([a[metric] - b[metric] for a, b in resampled_gaps], axis=0)
        found = bootstrap_interval(under, results.groups) if enough_groups(results.groups) else None
        over_images = None if found is None else (found[0], found[1])
        differences[metric] = Difference(t_estimate(gaps), t_test(gaps), over_images)
    right = np.array([[run.predictions == results.labels for run in pair] for pair in pairs])
    removed, added = _confusions(results, pairs)
    return Outcome(
        seeds,
        differences,
        sign_test(right[:, 0], right[:, 1]),
        _recall_changes(results, pairs),
        removed,
        added,
    )


def _recall_changes(
    results: Results, pairs: Sequence[tuple[FinishedRun, FinishedRun]]
) -> dict[str, Estimate]:
    """For classes that have test images."""
    scores = per_class_scores(np.array([[_matrix(results, run) for run in pair] for pair in pairs]))
    changes = scores.recall[:, 0] - scores.recall[:, 1]
    return {
        name: t_estimate(changes[:, index])
        for index, name in enumerate(results.class_names)
        if scores.support[0, 0, index]
    }


def _confusions(
    results: Results, pairs: Sequence[tuple[FinishedRun, FinishedRun]]
) -> tuple[list[Confusion], list[Confusion]]:
    ours = np.mean([_matrix(results, run) for run, _ in pairs], axis=0)
    theirs = np.mean([_matrix(results, run) for _, run in pairs], axis=0)
    change = ours - theirs
    np.fill_diagonal(change, 0)

    def listed(order: np.ndarray, sign: int) -> list[Confusion]:
        entries = [np.unravel_index(entry, change.shape) for entry in order[:SHOWN_CONFUSIONS]]
        names = results.class_names
        return [Confusion(names[t], names[p], float(theirs[t, p]), float(ours[t, p]))
                for t, p in entries if sign * change[t, p] > 0]  # fmt: skip

    order = np.argsort(change, axis=None, kind="stable")
    return listed(order, -1), listed(order[::-1], +1)


def _matrix(results: Results, run: FinishedRun) -> np.ndarray:
    return confusion_matrix(results.labels, run.predictions, len(results.class_names))


def verdict(difference: Difference) -> Verdict:
    """Better or worse where both intervals, over seeds and over images, lie on that side of zero.

    One of them alone is not enough: other runs on the same images, and the same runs on other images, would
    both have to give that sign. Fewer than `MIN_SEEDS` seeds, or `bootstrap.MIN_GROUPS` groups, have no
    interval and decide nothing.
    """
    estimate = difference.over_seeds
    if estimate.low is None or estimate.high is None or difference.over_images is None:
        return Verdict.UNDECIDED
    low, high = difference.over_images
    if min(estimate.low, low) > 0:
        return Verdict.BETTER
    if max(estimate.high, high) < 0:
        return Verdict.WORSE
    return Verdict.UNDECIDED


def paper_verdict(difference: Difference, gain: float) -> str:
    """Whether the paper's claim of a `gain` in accuracy, in points, holds.

    Returns:
      "holds", "does not hold" or "cannot be decided". Only the sign is compared, as the paper's data differ.
    """
    found = verdict(difference)
    if found is Verdict.UNDECIDED:
        return found.value
    return "holds" if (found is Verdict.BETTER) == (gain > 0) else "does not hold"


def falls_short(difference: Difference, gain: float) -> bool:
    """Whether a `gain` as large as the paper's, in points, lies above both intervals."""
    high, over_images = difference.over_seeds.high, difference.over_images
    return high is not None and over_images is not None and max(high, over_images[1]) < gain / 100


def why_undecided(outcome: Outcome) -> str:
    """Why accuracy is not decided, in a few words; empty where it is."""
    difference = outcome.differences["accuracy"]
    if verdict(difference) is not Verdict.UNDECIDED:
        return ""
    if len(outcome.seeds) < MIN_SEEDS:
        return f"fewer than {MIN_SEEDS} seeds say too little about other runs"
    if difference.over_images is None:
        few = f"fewer than {MIN_GROUPS} slides or patients"
        return f"no interval over test images: {few}, or all resamples agree"
    estimate, (low, high) = difference.over_seeds, difference.over_images
    assert estimate.low is not None
    assert estimate.high is not None
    seeds_open = estimate.low <= 0 <= estimate.high
    images_open = low <= 0 <= high
    if seeds_open and images_open:
        return "other seeds or other test images could turn the sign"
    if seeds_open:
        return "other seeds could turn the sign"
    return "other test images could turn the sign" if images_open else "seeds and images disagree"
