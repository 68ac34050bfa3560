"""The bootstrap: resamples as weights of the examples, and percentile intervals of weighted statistics.

How many resamples an evaluation takes is the setting `eval.bootstrap`.

With groups (patients, slides) whole groups are drawn: images of one patient are not independent, and
intervals over single images would be too narrow. So would the middle 95 % of resamples of few groups: their
percentiles are moved outwards by Student's t (expanded percentiles; Hesterberg 2015, "What Teachers Should
Know About the Bootstrap", section 5.3). Groups of unequal size count as fewer, their effective number (Kish
1965, "Survey Sampling"): three patients of 300 images and six of five are little more than three.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
import scipy  # a part is loaded when it is first used

from asae_jax.input.groups import known_groups

MAX_WEIGHTS = 2_000_000
"""Weights held at a time: 16 MB, whatever the number of examples and resamples."""

MIN_GROUPS = 5
"""Fewer groups give no interval: not even the range of four patients holds the mean of all often enough."""

FEW_GROUPS = 10
"""Groups worth fewer of equal size give an interval that is not sure."""

FEW_RESAMPLES = 100
"""Fewer give intervals that are too narrow: in a simulation those by 2, 10, 20, 50 and 100 resamples held the
mean of a normal variable in 32, 79, 87, 92 and 93 of 100 cases."""

NOT_DRAWN = "none: eval.bootstrap=0"
"""What `interval_unit` gives without resamples."""

LEAST_WIDTH = 1e-6
"""Narrower intervals are of resamples that agree, to rounding or to the step at which an iteration ends."""


def bootstrap_intervals(
    statistics: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    num_examples: int,
    *,
    groups: np.ndarray | None,
    resamples: int,
    seed: int,
    biased: Collection[str] = (),
) -> dict[str, list[float]]:
    """95 % percentile intervals of several statistics, all from the same resamples.

    A resample differs from the examples about as these differ from all there could be. Where a statistic,
    such as a sum of absolute values, rises with that difference, resamples lie above the examples' own value,
    and so would their percentiles. For `biased` statistics they are moved by the mean of the resamples less
    the examples' value: the interval then holds the value itself, and is one of what test sets of this size
    give on average.

    Args:
      statistics: weights, float64 `[R, N]` (how often each resample holds each example), ->
        name -> `[R]`, the statistic of each resample.
      num_examples: N, at least 1.
      groups: any values `[N]`, equal values belong together; None: each example is a group of its own.
      resamples: how many; 0 for no intervals.
      seed: the same seed and examples give the same intervals.
      biased: names of statistics, at least 0, whose intervals are moved.

    Returns:
      name -> `[low, high]`; empty without resamples, and for fewer than `MIN_GROUPS` groups: they say next to
      nothing about others. A statistic on which resamples agree has none, see `bootstrap_interval`.
    """
    if not resamples or not enough_groups(groups):
        return {}
    drawn = resampled_weights(num_examples, groups=groups, resamples=resamples, seed=seed)
    parts = [statistics(weights) for weights in drawn]
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if biased:
        own = statistics(np.ones((1, num_examples)))
        values |= {name: np.maximum(values[name] - values[name].mean() + own[name], 0) for name in biased}
    found = {name: bootstrap_interval(value, groups) for name, value in values.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def enough_groups(groups: np.ndarray | None) -> bool:
    """Whether there are `MIN_GROUPS` different `groups` `[N]`, or none (None), so that images are drawn.

    Images that belong to no group (`known_groups`) are drawn one by one, and are none of these.
    """
    return groups is None or len(known_groups(groups)) >= MIN_GROUPS


def interval_unit(groups: np.ndarray | None, resamples: int) -> str:
    """What intervals are over: "images", "groups", or "none" with the reason.

    Args:
      groups: any values `[N]`, as `bootstrap_intervals` takes them.
      resamples: how many are drawn, 0 or more.
    """
    if not resamples:
        return NOT_DRAWN
    if groups is None:
        return "images"
    return "groups" if enough_groups(groups) else f"none: fewer than {MIN_GROUPS} groups"


def few_resamples(resamples: int) -> str:
    """A remark on intervals by so many resamples where they are too narrow; else empty."""
    if not 0 < resamples < FEW_RESAMPLES:
        return ""
    return f"only {resamples} resamples (eval.bootstrap): intervals by bootstrap are too narrow"


def few_groups(count: int, effective: int) -> str:
    """A remark where so many groups give no interval, or none that is sure; else empty.

    Args:
      count: number of groups, patients or slides.
      effective: how many of equal size they are worth.
    """
    groups = f"only {count} group{'s' * (count != 1)}"
    if count < MIN_GROUPS:
        return f"{groups}: no intervals, which take {MIN_GROUPS} or more"
    worth = f", worth {effective} of equal size" * (effective < count)
    return f"{groups}{worth}: no interval is sure" if effective < FEW_GROUPS else ""


def numbers_of_groups(groups: np.ndarray) -> dict[str, int]:
    """Of `groups`, any values `[N]`: `num_groups`, those known, and `effective_groups`, in whole ones.

    The second is how many of equal size these are worth (Kish 1965). Images of no known group count for none.
    """
    known = known_groups(groups)
    effective = _effective_number(groups[np.isin(groups, known)]) if len(known) else 0
    return {"num_groups": len(known), "effective_groups": round(effective)}


def resampled_weights(
    num_examples: int, *, groups: np.ndarray | None, resamples: int, seed: int
) -> Iterator[np.ndarray]:
    """How often each resample holds each example, in chunks of resamples: float64 `[rows, N]`.

    The draws do not depend on how they are divided into chunks.

    Args:
      num_examples: N, at least 1.
      groups: any values `[N]`; whole groups are drawn. None: single examples are.
      resamples: the chunks have so many rows together.
      seed: the same seed, N and groups give the same resamples.
    """
    units = np.arange(num_examples) if groups is None else np.unique(groups, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    rows = max(1, MAX_WEIGHTS // num_examples)
    for start in range(0, resamples, rows):
        yield _draw_counts(rng, units.max() + 1, min(rows, resamples - start))[:, units]


def bootstrap_interval(values: np.ndarray, groups: np.ndarray | None = None) -> list[float] | None:
    """`percentile_interval`, or None where that has no width.

    So has the macro-F1 of images that are all right: that resamples agree does not make it certain.
    """
    low, high = percentile_interval(values, groups)
    return [low, high] if high - low > LEAST_WIDTH else None


def percentile_interval(values: np.ndarray, groups: np.ndarray | None = None) -> list[float]:
    """The 95 % interval `[low, high]` by statistics of resamples.

    Args:
      values: `[resamples]`.
      groups: that were drawn, any values `[N]`; None: single images were.
    """
    return [float(end) for end in np.percentile(values, percentiles(groups))]


def percentiles(groups: np.ndarray | None = None) -> tuple[float, float]:
    """Percentiles of resamples between which a 95 % interval lies; see `percentile_interval`."""
    if groups is None:
        return 2.5, 97.5
    count = max(_effective_number(groups), 2)
    normal = np.sqrt(count / (count - 1)) * scipy.special.stdtrit(count - 1, 0.025)
    low = 100 * float(scipy.special.ndtr(normal))
    return low, 100 - low


def _effective_number(groups: np.ndarray) -> float:
    sizes = np.unique(groups, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _draw_counts(rng: np.random.Generator, num_units: int, rows: int) -> np.ndarray:
    """How often each unit is drawn in each of `rows` resamples: float64 `[rows, num_units]`."""
    draws = (rng.integers(num_units, size=num_units) for _ in range(rows))
    return np.stack([np.bincount(drawn, minlength=num_units) for drawn in draws]).astype(np.float64)
