"""Calibrated probabilities, and what the run's validation images say about each of them."""

from collections.abc import Sequence

import numpy as np

from asae_jax.inference.predict.records import Trusted
from asae_jax.inference.predict.scoring import ScoredBatch
from asae_jax.trust import Trust, soften


class Judge:
    """Turns the scores of one or several runs, of one or several views, into probabilities and warnings.

    Every run's scores are calibrated by its own temperature before probabilities are averaged. What is
    unlike the training images is told by the first run and the undisturbed view alone. The thresholds
    of certainty are those of the first run; they were chosen for its scores of one view, so that an average
    is judged by them without a promise (`notes`).
    """

    def __init__(self, trusts: Sequence[Trust | None], *, num_views: int):
        """Takes for every run what is known about it, or None, and the number of views of each image."""
        self._temperatures = [1.0 if trust is None else trust.temperature.value for trust in trusts]
        self._first = trusts[0]
        self._averages = len(trusts) > 1 or num_views > 1

    @property
    def has_measures(self) -> bool:
        """Whether there is anything to say about how far to trust a prediction."""
        return self._first is not None

    def notes(self) -> list[str]:
        """Sentences for a reader of the results."""
        if self._first is None:
            return ["The run has no measures of trust: no image is left to a person, however uncertain."]
        notes, rule = [], self._first.abstention
        if rule.threshold > 1:
            notes.append(
                "Every image is left to a person: no certainty kept the errors among validation images to "
                f"{100 * rule.target_error:.3g} %."
            )
        if self._averages:
            notes.append(
                "Several runs or views were averaged, while the threshold of certainty was chosen for one "
                "run and one view: the target error is not promised."
            )
        return notes

    def probabilities(self, scored: ScoredBatch) -> np.ndarray:
        """float64 `[n, classes]`, the mean over runs and views."""
        with np.errstate(invalid="ignore"):
            means = [
                np.exp(soften(logits, temperature)).mean(0)
                for logits, temperature in zip(scored.logits, self._temperatures, strict=True)
            ]
        return np.mean(means, axis=0)

    def trusted(self, scored: ScoredBatch, probabilities: np.ndarray) -> list[Trusted | None]:
        """One for each of the batch's `n` images; all None where the run has no measures.

        Args:
          scored: the batch.
          probabilities: of the same images.
        """
        if self._first is None:
            return [None] * len(probabilities)
        # Not by `Trust.apply`, which would apply the temperature once more.
        abstain = probabilities.max(1) < self._first.abstention.threshold
        sets = self._first.conformal.sets(probabilities)
        strangeness = self._first.outliers.score(scored.logits[0][0], scored.features)
        return [
            Trusted(
                abstain=bool(abstain[row]),
                ood_score=None if strangeness is None else float(strangeness[row]),
                ood=strangeness is not None and bool(strangeness[row] > self._first.outliers.threshold),
                conformal_set=_most_probable_first(sets[row], probabilities[row]),
            )
            for row in range(len(probabilities))
        ]


def _most_probable_first(chosen: np.ndarray, probabilities: np.ndarray) -> tuple[int, ...]:
    return tuple(int(number) for number in np.argsort(-probabilities, kind="stable") if chosen[number])
