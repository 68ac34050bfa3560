"""The count of all cells corrected for another mixture of classes than the training's (label shift).

Shares are of all cells that could be read, whatever their class, by EM on calibrated probabilities. The
shares by the confusion matrix stand beside them, as both rest on one assumption: that cells of a class look
as in training. See `evaluation.label_shift`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy  # a part is loaded when it is first used

from asae_jax.evaluation.bootstrap import enough_groups, few_resamples, interval_unit
from asae_jax.evaluation.label_shift import Mixture, estimate_mixture
from asae_jax.evaluation.shares import fixed, with_interval
from asae_jax.inference.class_prior import ClassPrior
from asae_jax.inference.records import Record
from asae_jax.input.cell_classes import CellClass, display_order

RESAMPLES = 200
"""Behind the intervals, at most."""

_UNFIT = 0.01  # p-value
_APART = 0.05  # share of the cells in which both estimates may differ
_FEW_LABELS = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Corrected:
    """The corrected count of one group, or of all images.

    Attributes:
      group: its name; empty for all images.
      cells: how many could be read.
      counted: float64 `[K]`, shares of the most probable classes.
      mixture: corrected.
      warnings: sentences; why it should not be believed.
      over: what its intervals are over, see `bootstrap.interval_unit`.
      without_group: cells without a group, where whole groups are drawn: all of them are one unit more.
    """

    group: str
    cells: int
    counted: np.ndarray
    mixture: Mixture
    warnings: tuple[str, ...]
    over: str
    without_group: int = 0

    @property
    def intervals(self) -> str:
        """ "95 % intervals over patients or slides": whether there are any, and over what, in words."""
        if self.over.startswith("none"):
            return f"no intervals{self.over.removeprefix('none')}"
        if self.over == "images":
            return "95 % intervals over cells"
        together = f"; the {self.without_group:,} without one are drawn together, as one more"
        return "95 % intervals over patients or slides" + together * bool(self.without_group)

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Plain Python; shares 0..1 by class."""
        found = self.mixture
        of_class = {}
        for k, name in enumerate(class_names):
            low, high = self._interval(k) or (None, None)
            of_class[name] = {
                "counted": float(self.counted[k]),
                "corrected": float(found.shares[k]),
                "low": low,
                "high": high,
                "by_confusion_matrix": None if found.by_confusion is None else float(found.by_confusion[k]),
            }
        return {
            "group": self.group,
            "cells": self.cells,
            "intervals_over": self.over,
            "cells_without_group": self.without_group,
            "classes": of_class,
            "disagreement": found.disagreement,
            "misfit_p": found.misfit,
            "warnings": list(self.warnings),
        }

    def rows(self, classes: Sequence[CellClass]) -> Iterator[tuple[str, str, str, str]]:
        """Class, and its share counted, corrected with its interval, and by the confusion matrix, percent.

        `classes` are the run's, in its order; rows are by lineage and maturity.
        """
        found = self.mixture
        for k in display_order(classes):
            corrected = with_interval(found.shares[k], self._interval(k), sign=False)
            other = "" if found.by_confusion is None else _percent(found.by_confusion[k])
            yield classes[k].code, _percent(self.counted[k]), corrected, other

    def _interval(self, k: int) -> tuple[float, float] | None:
        """Of class `k`, 0..1; None without one."""
        low, high = self.mixture.low, self.mixture.high
        if low is None or high is None or np.isnan(low[k]):
            return None
        return float(low[k]), float(high[k])


def _percent(share: float) -> str:
    """ "12.3", rounded as in the count that stands above; without the sign."""
    return fixed(100 * share, 1)


class Correction(NamedTuple):
    """How counts are corrected.

    Attributes:
      prior: class prior of the run or ensemble.
      usually_unlike: share 0..1 of the run's own images that look unlike its training images, at most; None:
        not known, as the run has no calibration and no outlier score.
      resamples: of the bootstrap, `RESAMPLES` at most are drawn, over whole groups for all images. Cells
        without a group are one unit more, and no group towards `bootstrap.MIN_GROUPS`. 0: no intervals.
      seed: of the bootstrap.
    """

    prior: ClassPrior
    usually_unlike: float | None
    resamples: int
    seed: int


class MixtureCounter:
    """Keeps the probabilities of records, four bytes a class and cell."""

    def __init__(self) -> None:
        self._probabilities: list[np.ndarray] = []
        self._groups: list[str] = []
        self._unlike: list[bool] = []

    def add(self, record: Record) -> None:
        """Takes one image; an unreadable one is no cell."""
        if record.probabilities is not None:
            self._probabilities.append(record.probabilities)
            self._groups.append(record.group)
            self._unlike.append(record.uncertainty is not None and record.uncertainty.is_outlier)

    def corrected(self, how: Correction) -> list[Corrected]:
        """Of all images, and then of each group in the order of the input; empty without a cell."""
        if not self._probabilities:
            return []
        probabilities, groups = np.stack(self._probabilities).astype(np.float64), np.array(self._groups)
        names = [name for name in dict.fromkeys(self._groups) if name]
        chosen: list[tuple[str, np.ndarray, np.ndarray | None]] = [
            ("", np.ones(len(groups), bool), groups if names and len(set(self._groups)) > 1 else None)
        ]
        chosen += [(name, groups == name, None) for name in names if len(names) > 1]
        return [self._one(name, probabilities[rows], of, rows, how) for name, rows, of in chosen]

    def _one(
        self,
        name: str,
        probabilities: np.ndarray,
        groups: np.ndarray | None,
        rows: np.ndarray,
        how: Correction,
    ) -> Corrected:
        prior, resamples = how.prior, min(how.resamples, RESAMPLES)
        known = None if groups is None else groups[groups != ""]  # nobody knows how many the others are of
        mixture = estimate_mixture(
            probabilities,
            prior.shares,
            confusion=prior.confusion,
            possible=prior.possible,
            groups=groups,
            resamples=resamples if enough_groups(known) else 0,
            seed=how.seed,
        )
        counted = np.bincount(probabilities.argmax(1), minlength=len(prior.shares)) / len(probabilities)
        unlike = np.array(self._unlike)[rows]
        told = tuple(_warnings(mixture, prior, unlike, how.usually_unlike))
        if mixture.low is not None and (few := few_resamples(resamples)):
            told = (*told, f"{few.capitalize()}.")
        over = interval_unit(known, resamples)
        without = 0 if groups is None or known is None else len(groups) - len(known)
        return Corrected(name, len(probabilities), counted, mixture, told, over, without)


def _are_more(unlike: np.ndarray, usually: float) -> bool:
    """Whether more than twice as many cells are unlike as usually, and more than chance makes of so few.

    Args:
      unlike: bool `[cells]`.
      usually: share, 0..1.
    """
    count, cells = int(unlike.sum()), len(unlike)
    if count <= 2 * usually * cells:
        return False
    return bool(scipy.special.betainc(count, cells - count + 1, usually) < _UNFIT)  # scipy.stats.binom.sf


def _warnings(
    mixture: Mixture, prior: ClassPrior, unlike: np.ndarray, usually: float | None
) -> Iterator[str]:
    if usually is None:
        yield "The probabilities are not calibrated, on which the corrected shares rest."
    elif _are_more(unlike, usually):
        yield (
            f"{100 * unlike.mean():.0f} % of the cells look unlike the training cells, and the limit was set "
            f"for at most {100 * usually:.0f} %: not only the mixture has changed, and the corrected shares "
            "do not hold."
        )
    if not prior.known:
        yield "The mixture of the training images is not known: all classes were taken as equally frequent."
    if 0 < prior.labels < _FEW_LABELS:
        yield (
            f"Only {prior.labels:,} labels tell what mixture the adapted model learnt: the corrected shares "
            "may be further from the truth than the plain count."
        )
    if mixture.misfit is None or mixture.disagreement is None:
        yield "The assumption cannot be tested: no confusion matrix with images of every class is known."
    elif mixture.misfit < _UNFIT and mixture.disagreement > _APART:
        yield (
            "The predicted classes do not fit the corrected shares and the confusion matrix (p = "
            f"{mixture.misfit:.2g}; the two estimates differ in {100 * mixture.disagreement:.0f} % of the "
            "cells): more than the mixture has changed, and the corrected shares do not hold."
        )


def summary(one: Corrected, classes: Sequence[CellClass]) -> Iterator[str]:
    """The lines for a terminal."""
    yield (
        f"corrected for another mixture of classes, percent of all {one.cells:,} cells; {one.intervals}"
        + " (in brackets)" * (not one.over.startswith("none"))
    )
    width = max(len(each.code) for each in classes)
    for name, counted, corrected, other in one.rows(classes):
        beside = f"  by the confusion matrix {other}" if other else ""
        yield f"    {name:{width}}  {counted:>5} counted  {corrected:<22}{beside}".rstrip()
    yield from (f"note: {warning}" for warning in one.warnings)
