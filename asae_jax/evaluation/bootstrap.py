"""The bootstrap: resamples as weights of the examples, and percentile intervals of weighted statistics.

How many resamples an evaluation takes is the setting `eval.bootstrap`.

With groups (patients, slides) whole groups are drawn: images of one patient are not independent, and
intervals over single images would be too narrow.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

MAX_WEIGHTS = 2_000_000
"""Weights held at a time: 16 MB, whatever the number of examples and resamples."""

_PERCENTILES = (2.5, 97.5)


def bootstrap_intervals(
    statistics: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    num_examples: int,
    *,
    groups: np.ndarray | None,
    resamples: int,
    seed: int,
) -> dict[str, list[float]]:
    """95 % percentile intervals of several statistics, all from the same resamples.

    Args:
      statistics: weights, float64 `[R, N]` (how often each resample holds each example), ->
        name -> `[R]`, the statistic of each resample.
      num_examples: N, at least 1.
      groups: any values `[N]`, equal values belong together; None: each example is a group of its own.
      resamples: how many; 0 for no intervals.
      seed: the same seed and examples give the same intervals.

    Returns:
      name -> `[low, high]`; empty without resamples, and where `groups` has one group only: it says nothing
      about another.
    """
    if not resamples or (groups is not None and len(np.unique(groups)) == 1):
        return {}
    drawn = resampled_weights(num_examples, groups=groups, resamples=resamples, seed=seed)
    parts = [statistics(weights) for weights in drawn]
    return {name: percentile_interval(np.concatenate([part[name] for part in parts])) for name in parts[0]}


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


def percentile_interval(values: np.ndarray) -> list[float]:
    """`[low, high]`, between which the middle 95 % of `values` `[resamples]` lie."""
    return [float(end) for end in np.percentile(values, _PERCENTILES)]


def _draw_counts(rng: np.random.Generator, num_units: int, rows: int) -> np.ndarray:
    """How often each unit is drawn in each of `rows` resamples: float64 `[rows, num_units]`."""
    draws = (rng.integers(num_units, size=num_units) for _ in range(rows))
    return np.stack([np.bincount(drawn, minlength=num_units) for drawn in draws]).astype(np.float64)
