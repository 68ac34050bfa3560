"""How far people agree on classes: shares, Cohen's kappa, Krippendorff's alpha, with 95 % intervals.

All are of nominal classes: a neighbouring stage is as wrong as any other. With patients or slides whole ones
are drawn in the bootstrap (see `evaluation.bootstrap`).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from asae_jax.evaluation.bootstrap import bootstrap_interval, enough_groups, resampled_weights
from asae_jax.evaluation.metrics import wilson_interval
from asae_jax.evaluation.shares import with_interval

NOBODY = -1
"""Number of the class where somebody gave none."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number with its 95 % interval.

    Attributes:
      value: None where it is not defined, as kappa is where both only ever named one class.
      low: lower bound; None without an interval.
      high: upper bound.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def said(self, *, percent: bool = False) -> str:
        """ "0.81 [0.72, 0.90]", or in percent "80.0 % [37.6, 96.4]"."""
        if self.value is None:
            return "not defined (one class only)"
        if percent:
            return with_interval(self.value, (self.low, self.high))
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two people's labels of the same images.

    Attributes:
      images: number of them.
      same: how many have one label.
      agreement: same / images, 0..1.
      kappa: Cohen (1960): 0 where two agree as often as their own shares of classes would by chance, 1 where
        they always do.
      table: int `[K, K]`, rows the first's classes, columns the second's.
    """

    images: int
    same: int
    agreement: Measure
    kappa: Measure
    table: np.ndarray


class Compared(NamedTuple):
    """Two of those who were compared; `over` is what intervals are over, see `bootstrap.interval_unit`."""

    first: str
    second: str
    pair: Pair
    over: str


class Several(NamedTuple):
    """Krippendorff's alpha of all people, over the `images` that two or more of them labelled.

    `over` is what its interval is over, see `bootstrap.interval_unit`.
    """

    images: int
    alpha: Measure
    over: str


def compare(
    first: np.ndarray,
    second: np.ndarray,
    num_classes: int,
    *,
    groups: np.ndarray | None,
    resamples: int,
) -> Pair:
    """Agreement of two people.

    The interval of the share is Wilson's over images, or a bootstrap's over groups; that of kappa is a
    bootstrap's. A bootstrap gives none for fewer than `bootstrap.MIN_GROUPS` groups, and none where all
    resamples agree, as those of two people do who never differ.

    Args:
      first: int `[N]`, 0..num_classes-1, N at least 1.
      second: the same images' by the other.
      num_classes: K.
      groups: any values `[N]`, equal for images of one patient; None: each image is its own.
      resamples: of the bootstrap; 0 for no intervals of kappa.
    """
    table = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(table, (first, second), 1)
    images, same = len(first), int(np.trace(table))
    agree = (first == second).astype(np.float64)

    def share(weights: np.ndarray) -> np.ndarray:
        return weights @ agree / weights.sum(1)

    def kappa(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(1)
        chance = (_sums(weights, first, num_classes) * _sums(weights, second, num_classes)).sum(1) / total**2
        return _corrected(share(weights), chance)

    measured = _with_interval(kappa, images, groups, resamples)
    if groups is None:
        of_images = Measure(same / images, *wilson_interval(same, images))
    else:
        of_images = _with_interval(share, images, groups, resamples)
    return Pair(images, same, of_images, measured, table)


def alpha(votes: np.ndarray, num_classes: int, *, groups: np.ndarray | None, resamples: int) -> Measure:
    """Krippendorff's alpha of nominal classes, of two or more people who need not all label every image.

    alpha = 1 - D_o / D_e (Krippendorff 2011, "Computing Krippendorff's alpha-reliability"). For two people
    and many images it is near Scott's pi.

    Args:
      votes: int `[N, people]`, N at least 1, 0..num_classes-1, or `NOBODY` where somebody gave no label; of
        each image two labels at least: others count nothing in alpha, and are left out before.
      num_classes: K.
      groups: any values `[N]`, or None.
      resamples: of the bootstrap.
    """
    counts = np.stack([(votes == number).sum(1) for number in range(num_classes)], 1).astype(np.float64)
    people = counts.sum(1)
    observed = (people**2 - (counts**2).sum(1)) / (people - 1)

    def statistic(weights: np.ndarray) -> np.ndarray:
        total = weights @ people
        of_class = weights @ counts
        expected = (total**2 - (of_class**2).sum(1)) / np.maximum(total - 1, 1)
        return _corrected(1 - weights @ observed / total, 1 - expected / total)

    return _with_interval(statistic, len(counts), groups, resamples)


def _sums(weights: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Weight of each class: `[R, N]` -> `[R, K]`."""
    return weights @ np.eye(num_classes)[classes]


def _corrected(agreement: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """(agreement - chance) / (1 - chance); NaN where chance alone would always agree."""
    room = 1 - chance
    defined = room > 1e-12
    return np.where(defined, (agreement - chance) / np.where(defined, room, 1), np.nan)


def _with_interval(
    statistic: Callable[[np.ndarray], np.ndarray],
    images: int,
    groups: np.ndarray | None,
    resamples: int,
) -> Measure:
    value = float(statistic(np.ones((1, images)))[0])
    if np.isnan(value):
        return Measure(None)
    if not resamples or not enough_groups(groups):
        return Measure(value)
    drawn = [
        statistic(weights)
        for weights in resampled_weights(images, groups=groups, resamples=resamples, seed=0)
    ]
    values = np.concatenate(drawn)
    values = values[~np.isnan(values)]
    interval = bootstrap_interval(values, groups) if len(values) else None
    return Measure(value, *(interval or (None, None)))


def numbered(labels: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """Numbers of classes, int `[N]`; `NOBODY` for what is none of `class_names`."""
    numbers = {name: number for number, name in enumerate(class_names)}
    return np.array([numbers.get(label, NOBODY) for label in labels], np.int64)
