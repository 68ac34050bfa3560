"""What a difference is worth: intervals and tests for runs and for images, pure NumPy and SciPy.

Two things vary. A run depends on its seed; a test set is a sample of images. Each is looked at by itself:
over seeds with Student's t, over images with a bootstrap and a sign test. None is pooled with the other.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

_LEVEL = 0.95
_CHUNK = 2_000_000  # weights held at a time: 16 MB, whatever the number of images and resamples


class Estimate(NamedTuple):
    """A mean with its 95 % interval; the ends are None where the data give none."""

    mean: float
    low: float | None
    high: float | None


class SignTest(NamedTuple):
    """How many images either method named right more often than the other, and whether by chance."""

    better: int
    worse: int
    p: float


def t_estimate(values: np.ndarray) -> Estimate:
    """Mean and Student's t interval of `values` `[n]`, which are independent; no interval for n = 1."""
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    if values.size < 2:
        return Estimate(mean, None, None)
    half = float(stats.t.ppf((1 + _LEVEL) / 2, values.size - 1)) * float(stats.sem(values))
    return Estimate(mean, mean - half, mean + half)


def t_test(differences: np.ndarray) -> float | None:
    """Two-sided p of Student's paired t test, from the differences `[n]`; None for n = 1.

    Where all differences are equal there is nothing to estimate an error by: p is 1 if they are 0, else 0.
    """
    differences = np.asarray(differences, np.float64)
    if differences.size < 2:
        return None
    error = float(stats.sem(differences))
    if error == 0:
        return 1.0 if differences[0] == 0 else 0.0
    return float(2 * stats.t.sf(abs(differences.mean()) / error, differences.size - 1))


def sign_test(right: np.ndarray, other_right: np.ndarray) -> SignTest:
    """The exact sign test over images; with one seed this is McNemar's exact test.

    An image counts once, for the method that was right under more of the seeds. Counting it once per seed
    would take the same image for several, and find differences that are not there.

    Args:
      right: bool `[seeds, images]`, whether the one method named the image's class.
      other_right: the same of the other method, with the same seeds.
    """
    lead = right.astype(np.int64).sum(0) - other_right.astype(np.int64).sum(0)
    better, worse = int((lead > 0).sum()), int((lead < 0).sum())
    p = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    return SignTest(better, worse, float(p))


def bootstrap_confusions(
    labels: np.ndarray,
    predictions: np.ndarray,
    num_classes: int,
    *,
    groups: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Confusion matrices of resampled images, the same resamples for every run: paired.

    Args:
      labels: int `[images]`.
      predictions: int `[runs, images]`.
      num_classes: number of classes.
      groups: values `[images]`; given, whole groups (slides, patients) are drawn.
      resamples: how many.
      seed: the same seed and images give the same resamples.

    Returns:
      float64 `[runs, resamples, classes, classes]`, rows true.
    """
    _, units = np.unique(np.arange(labels.size) if groups is None else groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    cells = labels * num_classes + predictions
    matrices = np.empty((len(predictions), resamples, num_classes**2))
    rows = max(1, _CHUNK // labels.size)
    for start in range(0, resamples, rows):
        part = slice(start, min(start + rows, resamples))
        weights = _drawn(rng, units.max() + 1, part.stop - part.start)[:, units]
        for run, keys in enumerate(cells):
            matrices[run, part] = _sums(keys, weights, num_classes**2)
    return matrices.reshape(len(predictions), resamples, num_classes, num_classes)


def percentile_interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of `values`."""
    low, high = np.percentile(values, [50 * (1 - _LEVEL), 50 * (1 + _LEVEL)])
    return float(low), float(high)


def holm(p_values: list[float]) -> list[float]:
    """Holm's adjusted p values: at most a share p of such lists holds a false one (Holm 1979)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    factors = np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return [float(value) for value in adjusted]


def _drawn(rng: np.random.Generator, num_units: int, rows: int) -> np.ndarray:
    """How often each unit is drawn in each resample, float64 `[rows, units]`, whatever the chunks."""
    draws = (rng.integers(num_units, size=num_units) for _ in range(rows))
    return np.stack([np.bincount(drawn, minlength=num_units) for drawn in draws]).astype(np.float64)


def _sums(keys: np.ndarray, weights: np.ndarray, num_keys: int) -> np.ndarray:
    """Sums of the columns of `weights` `[rows, n]` that share a key: `[rows, num_keys]`."""
    order = np.argsort(keys, kind="stable")
    present, starts = np.unique(keys[order], return_index=True)
    sums = np.zeros((len(weights), num_keys))
    sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums
