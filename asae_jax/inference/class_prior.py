"""The class prior of a run or ensemble: the mixture of classes its probabilities are of; known confusions."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.evaluation.calibration import soften
from asae_jax.evaluation.label_shift import total_variation
from asae_jax.evaluation.metrics import confusion_matrix
from asae_jax.evaluation.predictions import Predictions, predictions_file, predictions_of
from asae_jax.evaluation.provenance import FOLDER, find_scores, read_scores
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.losses import NEED_CLASS_COUNTS, effective_number_weights
from asae_jax.run.adaptation import FILE, classes_given, read_adaptation
from asae_jax.run.folder import read_counts
from asae_jax.run.run import Run


class ClassPrior(NamedTuple):
    """The class prior of a network's probabilities, from which a correction for label shift starts.

    Attributes:
      shares: float64 `[K]`, the mixture that the probabilities are of, all above 0.
      confusion: counts `[K, K]`, rows true, of images that were not trained on; None where not known.
      known: whether the mixture is known; else all classes are taken as equally frequent.
      labels: by which the model was adapted, and which told its mixture; 0: none were given.
      unlabelled: classes that can occur and that no such label named.
      possible: bool `[K]`, classes that the model ever gives (`adapt --only`); None: all.
    """

    shares: np.ndarray
    confusion: np.ndarray | None
    known: bool
    labels: int = 0
    unlabelled: tuple[str, ...] = ()
    possible: np.ndarray | None = None


def run_prior(run: Run) -> ClassPrior:
    """The class prior of a run: that of its training images, or, where it was adapted, what its labels told.

    The confusion matrix is that of the run's own test part, of one view where means over views were not
    scored; of an adapted one only its labels tell it.

    Raises:
      UserError: a damaged file.
    """
    adapted, classes, confusion = read_adaptation(run.workdir), run.class_names, None
    if adapted is not None and ("learnt" in adapted or adapted.get("labels")):
        with _refused(run.workdir / FILE, "adapt the run again"):
            return _adapted_prior(adapted, classes)
    if adapted is None and (scores := read_scores(run) or read_scores(run, tta=False)) is not None:
        with _refused(run.workdir / FOLDER, "delete its scores of the test part and evaluate the run again"):
            confusion = _confusion(scores, len(classes))
    counts = read_counts(run.workdir)
    trained = np.array([counts.get((name, "train"), 0) for name in classes])
    shares = training_prior(run.config, trained)
    equal = np.full(len(trained), 1 / len(trained))
    return ClassPrior(equal if shares is None else shares, confusion, known=shares is not None)


def _adapted_prior(adapted: Mapping[str, Any], classes: Sequence[str]) -> ClassPrior:
    learnt = adapted["learnt"]
    shares = np.array([learnt["mixture"][name] for name in classes], np.float64)
    if not (np.isfinite(shares) & (shares > 0)).all():
        raise ValueError("shares that are not above 0")
    confusion = _confusion(adapted, len(classes)) if adapted["labels"] else None
    known, labels, unlabelled = bool(learnt["known"]), int(learnt["labels"]), tuple(learnt["unlabelled"])
    possible = np.isin(classes, classes_given(adapted, classes))
    return ClassPrior(shares, confusion, known, labels, unlabelled, possible)


_SAME = 0.05
"""Share of the images in which the mixtures of an ensemble's runs may differ, by chance of their splits."""


def ensemble_prior(runs: Sequence[Run], fitted: Sequence[Uncertainty | None]) -> ClassPrior:
    """The class prior of runs that predict together, by the mean of their calibrated probabilities.

    A mean of probabilities is of a mixture only where all runs learnt the same one. Its confusions are
    counted on the test images, where all runs have scored the same ones.

    Args:
      runs: of the same classes, one or more.
      fitted: uncertainty estimates of each, whose temperatures predictions are divided by.

    Raises:
      UserError: runs of different mixtures, one that lacks labels of a class, or a damaged file.
    """
    first, *others = priors = [run_prior(run) for run in runs]
    for run, prior in zip(runs, priors, strict=True):
        if prior.unlabelled:
            raise UserError(
                f"--mixture=corrected: {run.workdir} was adapted without a label of "
                f"{', '.join(prior.unlabelled)}, so that what it learnt of their frequency is not known: "
                "adapt the run again with some labels of each class, name those that can occur (adapt "
                "--only=), or leave --mixture out."
            )
    if not others:
        return first
    for run, prior in zip(runs[1:], others, strict=True):
        apart = total_variation(first.shares, prior.shares)
        if apart > _SAME or prior.known != first.known:
            how = f"differ in {100 * apart:.0f} % of the cells" if apart > _SAME else "are not both known"
            raise UserError(
                f"--mixture=corrected: {run.workdir} learnt another mixture of classes than "
                f"{runs[0].workdir} (they {how}), so that the mean of their probabilities is of none: leave "
                "it out, or predict with one run."
            )
    shares = np.mean([prior.shares for prior in priors], axis=0)
    given = [prior.possible for prior in priors if prior.possible is not None]
    possible = np.any(given, axis=0) if len(given) == len(priors) else None
    return ClassPrior(shares, _confusion_together(runs, fitted), first.known, possible=possible)


def _confusion_together(runs: Sequence[Run], fitted: Sequence[Uncertainty | None]) -> np.ndarray | None:
    """Counts `[K, K]`, rows true, of the runs' mean on the test part that they share; None without one.

    Of a run adapted with labels no scores are kept that others could be averaged with.
    """
    scored: list[Predictions] = []
    images = set()
    for run in runs:
        adapted = read_adaptation(run.workdir) is not None
        found = None if adapted else find_scores(run) or find_scores(run, tta=False)
        if found is None or not predictions_file(found[0]).exists():
            return None
        scored.append(predictions_of(*found))
        images.add((found[1].get("data_fingerprint"), *scored[-1].names, *scored[-1].labels))
    if len(images) > 1:
        return None
    temperatures = [1.0 if one is None else one.temperature.value for one in fitted]
    means = [
        np.exp(soften(np.log(np.maximum(one.probabilities, _LEAST)), temperature))
        for one, temperature in zip(scored, temperatures, strict=True)
    ]
    predicted = np.mean(means, axis=0).argmax(1)
    return confusion_matrix(scored[0].labels, predicted, len(runs[0].class_names)).astype(np.float64)


_LEAST = 5e-7  # half of the last decimal of a probability that is written as 0


def training_prior(config: ConfigDict, counts: np.ndarray) -> np.ndarray | None:
    """The mixture of classes that the network's probabilities are of; None where it cannot be known.

    That is how often training draws each class, times the weight of its images in the loss.

    Args:
      config: settings of the run.
      counts: training images of each class, `[K]`; all 0 where they are not known.

    Returns:
      float64 `[K]`, all above 0.
    """
    drawn_as_they_come, loss = config.data.sampler == "shuffled", config.loss.name
    if not counts.any() and (drawn_as_they_come or loss in NEED_CLASS_COUNTS):
        return None
    images = np.maximum(counts, 1.0)
    shares = images if drawn_as_they_come else np.ones(len(images))
    if loss in NEED_CLASS_COUNTS:
        shares = shares * _WEIGHTS[loss](images, config.loss)
    return shares / shares.sum()


_WEIGHTS: dict[str, Callable[[np.ndarray, ConfigDict], np.ndarray]] = {
    "class_balanced": lambda images, loss: effective_number_weights(images, beta=loss.beta),
    "logit_adjusted": lambda images, loss: 1 / images**loss.tau,
}
"""Loss that takes numbers of training images -> by what it multiplies the share of each class."""


@contextlib.contextmanager
def _refused(place: Path, remedy: str) -> Iterator[None]:
    """What a file lacks, or has of another type, is a UserError."""
    try:
        yield
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{place} is damaged, its counts of classes cannot be used: {remedy}.") from error


def _confusion(content: Mapping[str, Any], num_classes: int) -> np.ndarray:
    found = np.array(content["confusion_matrix"], np.float64)
    if found.shape != (num_classes, num_classes) or not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError("no confusion matrix")
    return found
