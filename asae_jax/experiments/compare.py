"""Two rows against each other, run by run with the same seed and image by image."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from asae_jax.experiments.results import METRICS, Results, Run
from asae_jax.experiments.statistics import (
    Estimate,
    SignTest,
    percentile_interval,
    sign_test,
    t_estimate,
    t_test,
)
from asae_jax.metrics import confusion_matrix, per_class_scores, summarise

SHOWN_CONFUSIONS = 5
"""Pairs of classes listed as confused less, and as confused more."""

MIN_SEEDS = 3
"""Fewer give no interval: two runs whose differences agree by chance would give one without width."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far the one row is above the other in one metric, -1 to 1.

    Attributes:
      over_seeds: mean and Student's t interval of the differences between runs of the same seed.
      p: of Student's paired t test; None for fewer than `MIN_SEEDS`.
      over_images: 95 % bootstrap interval of the mean difference under other test images (or groups).
    """

    over_seeds: Estimate
    p: float | None
    over_images: tuple[float, float]


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
    """What a comparison came to.

    Attributes:
      seeds: that both rows have finished.
      differences: metric -> difference.
      images: the sign test over images.
      recall_changes: for each class the change of recall, with its interval over seeds.
      removed: confusions that became rarer, the largest change first.
      added: confusions that became more frequent.
    """

    seeds: tuple[int, ...]
    differences: Mapping[str, Difference]
    images: SignTest
    recall_changes: Mapping[str, Estimate]
    removed: Sequence[Confusion]
    added: Sequence[Confusion]


def compare(
    results: Results, row: str, other: str, *, resampled: Mapping[str, Mapping[int, np.ndarray]]
) -> Outcome | None:
    """`row` minus `other`; None where they have no finished seed in common.

    Args:
      results: of the grid.
      row: name of the one row.
      other: name of the other.
      resampled: row -> seed -> confusion matrices of resampled test images
        (`asae_jax.experiments.statistics.bootstrap_confusions`), the same resamples for all.
    """
    ours, theirs = _by_seed(results.runs[row]), _by_seed(results.runs[other])
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    if not seeds:
        return None
    pairs = [(ours[seed], theirs[seed]) for seed in seeds]
    resampled_gaps = [(summarise(resampled[row][seed]), summarise(resampled[other][seed])) for seed in seeds]
    differences = {}
    for metric in METRICS:
        gaps = np.array([a.scores[metric] - b.scores[metric] for a, b in pairs])
        under = np.mean([a[metric] - b[metric] for a, b in resampled_gaps], axis=0)
        differences[metric] = _difference(gaps, percentile_interval(under))
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


def _difference(gaps: np.ndarray, over_images: tuple[float, float]) -> Difference:
    if len(gaps) < MIN_SEEDS:
        return Difference(Estimate(float(gaps.mean()), None, None), None, over_images)
    return Difference(t_estimate(gaps), t_test(gaps), over_images)


def _recall_changes(results: Results, pairs: Sequence[tuple[Run, Run]]) -> dict[str, Estimate]:
    """For classes that have test images."""
    recalls = np.array([[_matrix(results, run) for run in pair] for pair in pairs])
    scores = per_class_scores(recalls)
    changes = scores.recall[:, 0] - scores.recall[:, 1]
    return {
        name: t_estimate(changes[:, index])
        for index, name in enumerate(results.class_names)
        if scores.support[0, 0, index]
    }


def _confusions(
    results: Results, pairs: Sequence[tuple[Run, Run]]
) -> tuple[list[Confusion], list[Confusion]]:
    ours = np.mean([_matrix(results, run) for run, _ in pairs], axis=0)
    theirs = np.mean([_matrix(results, run) for _, run in pairs], axis=0)
    change = ours - theirs
    np.fill_diagonal(change, 0)

    def listed(order: np.ndarray) -> list[Confusion]:
        cells = [np.unravel_index(place, change.shape) for place in order[:SHOWN_CONFUSIONS]]
        names = results.class_names
        return [Confusion(names[t], names[p], float(theirs[t, p]), float(ours[t, p]))
                for t, p in cells if change[t, p] * change.ravel()[order[0]] > 0]  # fmt: skip

    order = np.argsort(change, axis=None, kind="stable")
    removed = listed(order) if change.ravel()[order[0]] < 0 else []
    added = listed(order[::-1]) if change.ravel()[order[-1]] > 0 else []
    return removed, added


def _matrix(results: Results, run: Run) -> np.ndarray:
    return confusion_matrix(results.labels, run.predictions, len(results.class_names))


def _by_seed(runs: Sequence[Run]) -> dict[int, Run]:
    return {run.seed: run for run in runs}
