"""Percentile bootstrap of the overall metrics."""

import numpy as np

from asae_jax.metrics.scored import Scored

_CHUNK = 2_000_000  # weights held at a time: 16 MB, whatever the number of examples and resamples
_PERCENTILES = (2.5, 97.5)


def bootstrap_intervals(
    scored: Scored, *, groups: np.ndarray | None = None, resamples: int = 1000, seed: int = 0
) -> dict[str, list[float]]:
    """95 % intervals of the overall metrics: `[low, high]` each.

    Examples are drawn with replacement; with `groups` (patients, slides) whole groups are drawn, because
    images of one patient are not independent and the intervals of single images would be too narrow.
    A class that a resample misses is left out of that resample's class means. The calibration error of a
    resample is a little higher than that of its source, so for a well calibrated model the interval of
    `ece` may lie above the value itself.

    Args:
      scored: the examples.
      groups: any values `[N]`; equal values belong together.
      resamples: how many, at least 1.
      seed: the same seed and examples give the same intervals.

    Returns:
      metric -> `[low, high]`; empty where there is one group only: nothing can be said about another.
    """
    _, units = np.unique(np.arange(scored.labels.size) if groups is None else groups, return_inverse=True)
    if groups is not None and units.max() == 0:
        return {}
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // units.size)
    parts = [
        scored.overall(_draw_counts(rng, units.max() + 1, min(rows, resamples - start))[:, units])
        for start in range(0, resamples, rows)
    ]
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: [float(v) for v in np.percentile(value, _PERCENTILES)] for name, value in values.items()}


def _draw_counts(rng: np.random.Generator, num_units: int, rows: int) -> np.ndarray:
    """How often each unit is drawn in each of `rows` resamples: float64 `[rows, num_units]`.

    Row for row, so that the counts do not depend on how the resamples are divided into chunks.
    """
    draws = (rng.integers(num_units, size=num_units) for _ in range(rows))
    return np.stack([np.bincount(drawn, minlength=num_units) for drawn in draws]).astype(np.float64)
