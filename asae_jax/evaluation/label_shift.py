"""Label shift: the mixture of classes among new cells, where only the mixture has changed since training.

A classifier counts badly what is rarer than in training: its mistakes do not cancel. If the cells of each
class look as they did, p(image | class) is the same and only p(class) differs; then the mixture can be
estimated from the classifier's answers, without a label:

- by maximum likelihood from calibrated probabilities (EM; Saerens, Latinne and Decaestecker 2002, "Adjusting
  the outputs of a classifier to new a priori probabilities");
- by the confusion matrix, inverted (BBSE; Lipton, Wang and Smola 2018, arXiv:1802.03916), which needs no
  calibration.

EM divides by the mixture that the probabilities are of. Where that is not how often each class was trained on
(a layer drawn to an older one, for instance), `learnt_mixture` finds it from labelled cells.

The two rest on the same assumption and differ in the rest, so that where they disagree one of the conditions
fails: `misfit` tests it.
"""

import dataclasses

import numpy as np
import scipy  # a part is loaded when it is first used

from asae_jax.evaluation.bootstrap import LEAST_WIDTH, enough_groups, percentiles, resampled_weights

_STEPS = 2000
_TOLERANCE = 1e-7  # largest change of a share at which EM ends
_LEAST = 1e-12
_FEW = 5  # smaller expected counts are not near a normal distribution


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """Shares of classes among new cells, corrected for label shift.

    Attributes:
      shares: float64 `[K]`, by EM; they sum to 1.
      low: lower bounds of the 95 % intervals (bootstrap over cells or groups), `[K]`; None without resamples
        or with fewer than `bootstrap.MIN_GROUPS` groups, NaN for a class on which the resamples agree, as one
        that no cell looks like. They cover which cells were on the smear and how well the probabilities tell
        classes apart, not that the probabilities may be wrong here.
      high: upper bounds.
      by_confusion: float64 `[K]`, by BBSE; None where no usable confusion matrix is known.
      misfit: p-value of the test that the classes predicted are those expected of `shares` and the confusion
        matrix; None without a confusion matrix. A small one says that more than the mixture has changed.
    """

    shares: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    by_confusion: np.ndarray | None = None
    misfit: float | None = None

    @property
    def disagreement(self) -> float | None:
        """Half the sum of differences between both estimates, 0..1: the share of cells they differ in."""
        return None if self.by_confusion is None else total_variation(self.shares, self.by_confusion)


def total_variation(first: np.ndarray, second: np.ndarray) -> float:
    """Half the sum of absolute differences of two mixtures `[K]`, 0..1."""
    return float(np.abs(np.asarray(first) - np.asarray(second)).sum() / 2)


def em_shares(probabilities: np.ndarray, prior: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The mixture of greatest likelihood, float64 `[K]`, or `[R, K]` for each row of `weights`.

    q_k <- mean of q_k p_k / prior_k / sum_j (q_j p_j / prior_j), which rises to the one maximum.

    Args:
      probabilities: `[N, K]`, calibrated, under the mixture `prior`; N at least 1.
      prior: `[K]`, the mixture that the probabilities are of (of the training images), all above 0.
      weights: `[R, N]`, how often each resample holds each cell; None: each once.
    """
    ratios = np.asarray(probabilities, np.float64) / np.asarray(prior, np.float64)
    rows = np.ones((1, len(ratios))) if weights is None else weights
    rows = rows / rows.sum(1, keepdims=True)
    shares = np.full((len(rows), ratios.shape[1]), 1 / ratios.shape[1])
    for _ in range(_STEPS):
        likelihood = np.maximum(shares @ ratios.T, _LEAST)
        new = shares * ((rows / likelihood) @ ratios)
        new /= new.sum(1, keepdims=True)
        change, shares = np.abs(new - shares).max(), new
        if change < _TOLERANCE:
            break
    return shares[0] if weights is None else shares


def learnt_mixture(probabilities: np.ndarray, labels: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The mixture that probabilities are of, by labelled cells: float64 `[K]`, all above 0, sum 1.

    It is the one from which EM finds the labels' own mixture: the class biases of greatest likelihood on the
    labels tell it (bias-corrected calibration; Alexandari, Kundaje and Shrikumar 2020, arXiv:1901.06852).

    Args:
      probabilities: `[N, K]` of cells that were not trained on, with their temperature; N at least 1.
      labels: int `[N]`.
      before: `[K]`, all above 0, a mixture that gives classes without a label their shares.
    """
    counts = np.bincount(labels, minlength=len(before))
    found = counts > 0
    shares = counts[found] / counts.sum()
    known, factors = np.maximum(np.asarray(probabilities, np.float64)[:, found], _LEAST), shares.copy()
    for _ in range(_STEPS):
        rows = known * factors
        step = shares / (rows / rows.sum(1, keepdims=True)).mean(0)
        factors *= step
        factors /= factors.sum()
        if np.abs(step - 1).max() < _TOLERANCE:
            break
    mixture = np.array(before, np.float64) / np.sum(before)
    of_labels = shares / factors
    mixture[found] = of_labels / of_labels.sum() * (1 - mixture[~found].sum())
    return mixture


def bbse_shares(predicted: np.ndarray, confusion: np.ndarray) -> np.ndarray | None:
    """The mixture that explains the predicted classes best by the confusion matrix: `[K]`; None for none.

    Least squares with shares of at least 0 that sum to 1.

    Args:
      predicted: counts `[K]` of the most probable classes of the new cells.
      confusion: counts `[K, K]`, rows true, of labelled images of the training laboratory that were not
        trained on. Without images of some class there is no estimate.
    """
    rates = _rates(confusion)
    if rates is None or not predicted.sum():
        return None
    found, _ = scipy.optimize.nnls(
        np.vstack([rates.T, np.full(len(rates), 1e3)]), np.append(predicted / predicted.sum(), 1e3)
    )
    return found / found.sum()


def misfit(predicted: np.ndarray, confusion: np.ndarray, shares: np.ndarray) -> float | None:
    """p-value of the predicted classes under a mixture and the confusion matrix; None without one.

    Wald's chi-squared of the counts that are expected, with the covariance of the new cells and that of the
    rates, which are known from the labelled images only: mean and covariance of the rates of a class are
    those after its images, with a Dirichlet prior of one image shared by all classes (Perks 1947). So a
    confusion that none of ten images shows is not taken for impossible. The smallest counts are put together,
    until 5 are expected, but for the largest.

    Args:
      predicted: counts `[K]` of the most probable classes.
      confusion: counts `[K, K]`, rows true.
      shares: the mixture, `[K]`.
    """
    confusion = np.asarray(confusion, np.float64)
    labelled = confusion.sum(1, keepdims=True)
    if not labelled.all():
        return None
    count, rates = predicted.sum(), (confusion + 1 / len(confusion)) / (labelled + 1)
    expected = count * shares @ rates
    weights = (count * shares) ** 2 / (labelled[:, 0] + 2)
    spread = np.diag(expected + weights @ rates) - np.outer(expected, expected) / count
    spread -= rates.T @ (weights[:, None] * rates)
    order = np.argsort(expected)
    before = np.cumsum(expected[order])[:-1]
    together = 1 + np.count_nonzero((expected[order[1:-1]] < _FEW) | (before[:-1] < _FEW))
    apart = order[together:]  # their counts tell that of the others too
    of_apart = spread[np.ix_(apart, apart)]
    np.fill_diagonal(of_apart, np.maximum(of_apart.diagonal(), 1.0))  # where the rest is nearly none
    difference = (predicted - expected)[apart]
    total = difference @ np.linalg.solve(of_apart, difference)
    return float(scipy.special.chdtrc(len(apart), total))  # scipy.stats.chi2.sf


def estimate_mixture(
    probabilities: np.ndarray,
    prior: np.ndarray,
    *,
    confusion: np.ndarray | None = None,
    possible: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    resamples: int = 0,
    seed: int = 0,
) -> Mixture:
    """The corrected mixture with intervals and checks.

    Args:
      probabilities: float `[N, K]`, calibrated, of the new cells; N at least 1.
      prior: `[K]`, mixture of the training images, all above 0.
      confusion: counts `[K, K]`, rows true, see `bbse_shares`; None where not known.
      possible: bool `[K]`, classes that are ever given; the others have the share 0 and need no images in
        `confusion`. None: all.
      groups: patient or slide of each cell `[N]`; None: each cell counts by itself.
      resamples: of the bootstrap; 0 for no intervals.
      seed: of the bootstrap.
    """
    if possible is not None and not possible.all():
        given = np.maximum(np.asarray(probabilities, np.float64)[:, possible], _LEAST)
        found = estimate_mixture(
            given / given.sum(1, keepdims=True),
            prior[possible] / prior[possible].sum(),
            confusion=None if confusion is None else confusion[np.ix_(possible, possible)],
            groups=groups,
            resamples=resamples,
            seed=seed,
        )
        return _among_all(found, possible)
    shares, low, high = em_shares(probabilities, prior), None, None
    if resamples and enough_groups(groups):
        drawn = resampled_weights(len(probabilities), groups=groups, resamples=resamples, seed=seed)
        values = np.concatenate([em_shares(probabilities, prior, weights) for weights in drawn])
        bounds = np.percentile(values, percentiles(groups), axis=0)
        low, high = np.where(bounds[1] - bounds[0] > LEAST_WIDTH, bounds, np.nan)
    predicted = np.bincount(probabilities.argmax(1), minlength=len(prior))
    if confusion is None:
        return Mixture(shares, low, high)
    by_confusion = bbse_shares(predicted, confusion)
    return Mixture(shares, low, high, by_confusion, misfit(predicted, confusion, shares))


def _among_all(mixture: Mixture, possible: np.ndarray) -> Mixture:
    """A mixture of the classes `possible`, bool `[K]`, as one of all."""

    places = np.maximum(np.cumsum(possible) - 1, 0)

    def spread(values: np.ndarray | None, elsewhere: float) -> np.ndarray | None:
        return None if values is None else np.where(possible, values[places], elsewhere)

    shares, by_confusion = np.where(possible, mixture.shares[places], 0.0), spread(mixture.by_confusion, 0.0)
    low, high = spread(mixture.low, np.nan), spread(mixture.high, np.nan)
    return Mixture(shares, low, high, by_confusion, mixture.misfit)


def _rates(confusion: np.ndarray) -> np.ndarray | None:
    """p(predicted | true), `[K, K]`, rows true; None where a class has no image."""
    confusion = np.asarray(confusion, np.float64)
    labelled = confusion.sum(1, keepdims=True)
    return confusion / labelled if (labelled > 0).all() else None
