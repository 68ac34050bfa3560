"""The mixture of classes that a run's probabilities are of, and what is known of its confusions."""

from typing import NamedTuple

import numpy as np

from asae_jax.inference.export.card import read_counts, read_scores
from asae_jax.losses import NEED_CLASS_COUNTS
from asae_jax.run.adaptation import read_adaptation
from asae_jax.run.run import Run


class Basis(NamedTuple):
    """What a correction for label shift starts from.

    Attributes:
      prior: float64 `[K]`, the mixture that the probabilities are of, all above 0.
      confusion: counts `[K, K]`, rows true, of images that were not trained on; None where not known.
      known: whether the mixture is known; else all classes are taken as equally frequent.
    """

    prior: np.ndarray
    confusion: np.ndarray | None
    known: bool


def mixture_basis(run: Run) -> Basis:
    """That of a run: of its training images, or of the labels that it was adapted with.

    Balanced batches, and losses that correct for numbers of images, make every class equally frequent. The
    confusion matrix is that of the run's own test part; of an adapted one only its labels tell it.

    Raises:
      UserError: a damaged file.
    """
    adapted = read_adaptation(run.workdir)
    if adapted is not None and adapted.get("prior"):
        confusion = adapted.get("confusion_matrix")
        prior = np.array([adapted["prior"][name] for name in run.class_names], np.float64)
        return Basis(prior, None if confusion is None else np.array(confusion), known=True)
    scores = None if adapted is not None else read_scores(run)
    confusion = None if scores is None else np.array(scores["confusion_matrix"])
    counts = read_counts(run.workdir)
    trained = np.array([counts.get((name, "train"), 0) for name in run.class_names], np.float64)
    balanced = run.config.data.sampler == "balanced" or run.config.loss.name in NEED_CLASS_COUNTS
    if balanced or not trained.any():
        return Basis(np.full(len(trained), 1 / len(trained)), confusion, known=balanced)
    return Basis(smoothed(trained), confusion, known=True)


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Shares of counts `[K]` with half an image more of each class, so that none is 0."""
    raised = np.asarray(counts, np.float64) + 0.5
    return raised / raised.sum()
