"""Abstention: the least certain images are left to a person (selective classification).

Coverage is the share of images that the network labels itself, risk the share of errors among these
(El-Yaniv and Wiener 2010).
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from asae_jax.evaluation.metrics import clopper_pearson_bound, wilson_interval

NEVER = 2.0
"""A threshold above every confidence: no image is labelled."""

_STEPS = 20


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
    Angelopoulos et al. 2021, arXiv:2110.01052). That takes many images: for 5 % at 0.8 at least 32 labelled
    without an error. Without `certainty` the target holds on the given images only. As the threshold is
    chosen on them, new ones have more errors: 5 to 11 % for a target of 5 % in four runs on real cells.

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


def _guaranteed(curve: RiskCoverage, total: int, target: float, certainty: float) -> int | None:
    """Position on the curve of the last coverage, in steps of a twentieth, whose bound keeps the target.

    The search ends at the first that does not keep it, so no multiple-testing correction is needed. It begins
    where one error would still keep it, so that a single one among the surest images does not end it; with
    too few images for that, where none would.
    """
    counts = np.round(curve.coverage * total).astype(int)
    steps = np.ceil(np.arange(1, _STEPS + 1) * total / _STEPS)
    positions = np.unique(np.searchsorted(counts, steps))

    def kept(labelled: int, wrong: int) -> bool:
        return clopper_pearson_bound(wrong, labelled, risk=1 - certainty) <= target

    # What is tested depends on numbers of images alone, not on the errors among them.
    tested = [p for p in positions if kept(counts[p], 1)]
    tested = tested or [p for p in positions if kept(counts[p], 0)]
    found = None
    for position in positions[positions >= tested[0]] if tested else ():
        if not kept(counts[position], round(curve.risk[position] * counts[position])):
            break
        found = int(position)
    return found
