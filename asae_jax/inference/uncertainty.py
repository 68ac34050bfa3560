"""Calibrated probabilities and uncertainty estimates from the scores of one or several runs and views."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asae_jax.evaluation.calibration import soften
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.inference.records import PredictionUncertainty


class Thresholds(NamedTuple):
    """What the values of a prediction are measured by.

    Attributes:
      certainty: probability below which the cell is left to a person; above 1: every cell is.
      outlier: outlier score above which a cell is unlike the training cells; None where there is no score.
      confidence: share of validation images whose set of classes has the true one, 0..1; None where scores
        are means over runs or views, and sets were chosen for one of them.
    """

    certainty: float
    outlier: float | None
    confidence: float | None


class UncertaintyEstimator:
    """Turns the scores of one or several runs into probabilities and estimates.

    Every run's scores are calibrated by its own temperature before probabilities are averaged. Outlier
    scores come from the first run and view 0 alone. The abstention threshold and the sets of classes are the
    first run's; they were chosen for its own scores, so a mean over runs carries no promise about the error
    or the true class's being in the set, nor does one over views where they were chosen for scores of one
    view (see `notes`).
    """

    def __init__(self, fitted: Sequence[Uncertainty | None], *, of_one_view: bool = False):
        """Takes what each run fitted on its validation images.

        Args:
          fitted: one per run; None where it has no uncertainty estimates.
          of_one_view: whether scores are means over views, and what the first run fitted is of one view.
        """
        self._temperatures = [1.0 if run is None else run.temperature.value for run in fitted]
        self._first = fitted[0]
        self._of_one_view = of_one_view
        self._averaged = ["run"] * (len(fitted) > 1) + ["view"] * of_one_view

    @property
    def available(self) -> bool:
        """Whether predictions get uncertainty estimates: whether the first run has any."""
        return self._first is not None

    @property
    def thresholds(self) -> Thresholds | None:
        """The first run's; None where it has no uncertainty estimates."""
        if self._first is None:
            return None
        outlier = float(self._first.outliers.threshold)
        return Thresholds(
            certainty=float(self._first.abstention.threshold),
            outlier=outlier if np.isfinite(outlier) else None,
            confidence=None if self._averaged else 1 - self._first.conformal.error,
        )

    @property
    def usually_unlike(self) -> float | None:
        """Share of the images that limits were set on that are unlike the training cells, at most.

        None without estimates.
        """
        return None if self._first is None else 1 - self._first.outliers.quantile

    def notes(self) -> list[str]:
        """Sentences for a reader of the results."""
        if self._first is None:
            return ["The run has no uncertainty estimates: no image is left to a person, however uncertain."]
        notes, rule = [], self._first.abstention
        if rule.threshold > 1:
            notes.append(f"Every image is left to a person: {self._first.nothing_labelled()}.")
        if self._averaged:
            several = " and ".join(f"{what}s" for what in self._averaged)
            notes.append(
                f"Several {several} were averaged, while the threshold of certainty was chosen for one "
                f"{' and one '.join(self._averaged)}: the target error is not promised, nor how often a set "
                "of possible classes has the true one."
            )
        if self._of_one_view:
            notes.append(
                "Where the run's own images are at hand, `evaluate --tta` chooses one for means over views."
            )
        return notes

    def probabilities(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        """Calibrated probabilities, float64 `[n, classes]`: the mean over runs.

        Args:
          logits: of every run float32 `[n, classes]`.
        """
        with np.errstate(invalid="ignore"):
            calibrated = [
                np.exp(soften(of_run, temperature))
                for of_run, temperature in zip(logits, self._temperatures, strict=True)
            ]
        return np.mean(calibrated, axis=0)

    def estimate(
        self, probabilities: np.ndarray, first_logits: np.ndarray, first_features: np.ndarray
    ) -> list[PredictionUncertainty | None]:
        """Uncertainty estimates of `n` images; all None where the run has none.

        Args:
          probabilities: `[n, classes]`, see `probabilities`.
          first_logits: of the first run and view 0, float32 `[n, classes]`.
          first_features: of the first run and view 0, float32 `[n, channels]`.
        """
        if self._first is None:
            return [None] * len(probabilities)
        judged = self._first.judge(probabilities, self._first.outliers.score(first_logits, first_features))
        scores, outliers = judged.outlier_score, judged.is_outlier
        return [
            PredictionUncertainty(
                abstain=bool(judged.abstain[row]),
                outlier_score=None if scores is None else float(scores[row]),
                is_outlier=outliers is not None and bool(outliers[row]),
                conformal_set=_most_probable_first(judged.sets[row], probabilities[row]),
            )
            for row in range(len(probabilities))
        ]


def _most_probable_first(chosen: np.ndarray, probabilities: np.ndarray) -> tuple[int, ...]:
    return tuple(int(number) for number in np.argsort(-probabilities, kind="stable") if chosen[number])
