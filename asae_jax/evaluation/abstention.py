"""Abstention: the least certain images are left to a person (selective classification).

Coverage is the share of images that the network labels itself, risk the share of errors among these
(El-Yaniv and Wiener 2010).
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from asae_jax.evaluation.metrics import clopper_pearson_bound, wilson_interval

NEVER = 2.0
"""A threshold above every confidence: no image is labelled."""

_ROUNDING = 1e-9  # of a number of images
_STEPS = 20
_ERRORS_AT_STARTS = (1, 7, 31)


class RiskCoverage(NamedTuple):
    """The risk at every coverage that a threshold can reach.

    Attributes:
      thresholds: float64 `[K]`, falling; images with at least this confidence are labelled.
      coverage: share labelled, rising to 1.
      risk: share of errors among the labelled.
      area: mean risk over all coverages 1/N, 2/N .. 1 (AURC; Geifman et al. 2019), equal confidences
        in the order that is expected of chance.
    """

    thresholds: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray
    area: float


@dataclasses.dataclass(frozen=True)
class Abstention:
    """A chosen threshold and what it costs on the images it was chosen on.

    Attributes:
      threshold: images whose most probable class has a lower calibrated probability are left to a person;
        `NEVER` where no threshold reaches the target: then all are.
      target_error: highest accepted share of errors among the labelled images, 0..1.
      certainty: probability with which the target holds on new images of the same kind; 0 where only the
        images at hand were asked to keep it.
      coverage: share of images labelled.
      error: share of errors among them; 0 where there are none.
      error_interval: its 95 % interval.
    """

    threshold: float
    target_error: float
    certainty: float
    coverage: float
    error: float
    error_interval: tuple[float, float]


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> RiskCoverage:
    """The risk-coverage curve of N images, N at least 1.

    Args:
      confidence: `[N]`, probability of the predicted class.
      correct: bool `[N]`.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, wrong = confidence[order], 1.0 - np.asarray(correct, np.float64)[order]
    last = np.flatnonzero(np.append(np.diff(sorted_confidence) != 0, True))  # of each confidence
    counts, errors = last + 1, np.cumsum(wrong)[last]
    # Within equal confidences errors are spread evenly: a straight line between the curve's points.
    ranks = np.arange(1, len(wrong) + 1)
    expected = np.interp(ranks, np.append(0, counts), np.append(0, errors))
    return RiskCoverage(
        sorted_confidence[last], counts / len(wrong), errors / counts, float((expected / ranks).mean())
    )


def choose_abstention(
    confidence: np.ndarray, correct: np.ndarray, *, target_error: float, certainty: float = 0.0
) -> Abstention:
    """The threshold that labels most images while their share of errors is at most `target_error`.

    With `certainty` the target holds on new images of the same kind with this probability: among growing
    coverages the last is taken whose one-sided upper bound keeps to the target (fixed sequence testing, as in
    Angelopoulos et al. 2021, arXiv:2110.01052; with enough images begun at several coverages, by the fallback
    procedure of Wiens 2003, Pharmaceutical Statistics 2(3)). That takes many images: for 5 % at 0.8 at least
    32 labelled without an error. Without `certainty` the target holds on the given images only. As the
    threshold is chosen on them, new ones have more errors: 5 to 11 % for a target of 5 % in four runs on real
    cells.

    Args:
      confidence: `[N]`, 0..1, probability of the predicted class, of images not trained on.
      correct: bool `[N]`, whether that class is the true one.
      target_error: highest accepted share of errors among the labelled images, 0..1.
      certainty: probability that the target holds on new images, 0 <= certainty < 1; 0: not asked for.
    """
    curve = risk_coverage(confidence, correct)
    position = _guaranteed(curve, len(confidence), target_error, certainty) if certainty else None
    if not certainty:
        kept = np.flatnonzero(curve.risk <= target_error)
        position = int(kept[-1]) if len(kept) else None
    threshold = NEVER if position is None else float(curve.thresholds[position])
    labelled = int((confidence >= threshold).sum())
    wrong = int((~np.asarray(correct, bool))[confidence >= threshold].sum())
    return Abstention(
        threshold,
        target_error,
        certainty,
        labelled / len(confidence),
        wrong / max(labelled, 1),
        wilson_interval(wrong, labelled),
    )


def fewest_images(target_error: float, certainty: float) -> int:
    """Images, all of them right, from which on a threshold can promise `target_error`: 32 for 5 % at 0.8.

    Args:
      target_error: as of `choose_abstention`, 0 < target_error < 1.
      certainty: likewise; 0: one image.
    """
    # The bound of Clopper and Pearson for no error among n is 1 - risk**(1/n).
    return max(math.ceil(math.log(1 - certainty) / math.log1p(-target_error) - _ROUNDING), 1)


def least_error(images: int, certainty: float) -> float:
    """Smallest share of errors, in whole percents, that so many images can promise, all of them right.

    Args:
      images: 1 or more.
      certainty: as of `choose_abstention`.

    Returns:
      0.01..1; `fewest_images` of it are at most `images` where it is below 1.
    """
    share = -math.expm1(math.log(1 - certainty) / images)
    return next((n / 100 for n in range(1, 100) if n / 100 >= share), 1.0)


def _guaranteed(curve: RiskCoverage, total: int, target: float, certainty: float) -> int | None:
    """Position on the curve of the last coverage, in steps of a twentieth, whose bound keeps the target.

    The coverages are tested in growing order. Risk that was spent at one is handed on to the next as long as
    the target is kept, and lost where it is not.
    """
    counts = np.round(curve.coverage * total).astype(int)
    errors = np.round(curve.risk * counts).astype(int)
    steps = np.ceil(np.arange(1, _STEPS + 1) * total / _STEPS)
    positions = np.unique(np.searchsorted(counts, steps))
    starts = _starts(counts[positions], target, 1 - certainty)
    found, risk = None, 0.0
    for position in positions:
        risk += sum(share for start, share in starts if start == counts[position])
        if risk and clopper_pearson_bound(errors[position], counts[position], risk=risk) <= target:
            found = int(position)
        else:
            risk = 0.0
    return found


def _starts(counts: np.ndarray, target: float, risk: float) -> list[tuple[int, float]]:
    """Where the search begins: numbers of labelled images, and the risk that is spent at each.

    The more errors a start allows, the less can a few mistakes among the surest images end the search for
    good; the more starts, the less risk is left for each, of which every next gets half as much. There are as
    many as lie within half of the images: for 5 % at 0.8 one below 520 images or so, two below 1,750, else
    three. Among eleven such rules this one labelled most, on samples of 250 to 2,000 cells of six networks
    and three simulations. Where it begins follows from numbers of images alone, errors are not looked at.

    Args:
      counts: images labelled at each tested coverage, growing.
      target: highest accepted share of errors.
      risk: to be spent in all.
    """

    def start(errors: int, share: float) -> int | None:
        kept = (int(n) for n in counts if clopper_pearson_bound(errors, n, risk=share) <= target)
        return next(kept, None)

    for number in range(len(_ERRORS_AT_STARTS), 1, -1):
        shares = (risk * 0.5 ** np.arange(number) / (2 - 0.5 ** (number - 1))).tolist()
        found = [start(errors, share) for errors, share in zip(_ERRORS_AT_STARTS, shares, strict=False)]
        if found[-1] is not None and 2 * found[-1] <= counts[-1]:
            return [(n, share) for n, share in zip(found, shares, strict=True) if n is not None]
    first = start(1, risk) or start(0, risk)
    return [(first, risk)] if first else []
