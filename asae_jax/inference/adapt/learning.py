"""What labels of the other laboratory give: a last layer or all, and estimates of certainty that hold."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from asae_jax.evaluation.calibration import soften
from asae_jax.evaluation.label_shift import learnt_mixture
from asae_jax.evaluation.metrics import confusion_matrix
from asae_jax.evaluation.outliers import Outliers, fit_neighbours, neighbour_distances
from asae_jax.evaluation.uncertainty import Uncertainty, fit_to_scores
from asae_jax.evaluation.uncertainty_files import conditions
from asae_jax.inference.adapt.all_layers import cross_fit_all
from asae_jax.inference.adapt.last_layer import Layer, cross_fit, even_folds, find_layer, with_layer
from asae_jax.inference.class_prior import ClassPrior, run_prior
from asae_jax.run.run import Run


@dataclasses.dataclass(frozen=True, eq=False)
class Learned:
    """A network trained on labels.

    Attributes:
      variables: of the network, with what was trained.
      layer: the new last layer; None where all layers were trained.
      strength: of the last layer's penalty; infinite where the old layer was kept, None for all layers.
      prior: class prior of its probabilities, without confusions.
      labels: int `[N]`.
      before: int `[N]`, most probable class of each labelled image before.
      after: int `[N]`, by a layer or a network that has not seen the image.
      estimates: calibration, abstention, conformal sets and outlier scores, cross-fitted.
      for_a_person: bool `[N]`, whether these estimates leave the image to a person.
      by_group: whether its folds were whole slides or patients, and these are known of every image; whoever
        trains sets it.
    """

    variables: Mapping[str, Any]
    layer: Layer | None
    strength: float | None
    prior: ClassPrior
    labels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    estimates: Uncertainty
    for_a_person: np.ndarray
    by_group: bool = False

    @property
    def confusion(self) -> np.ndarray:
        """Counts `[K, K]`, rows true, of images by what has not seen them."""
        return confusion_matrix(self.labels, self.after, len(self.prior.shares))


def learn(
    run: Run,
    variables: Mapping[str, Any],
    features: np.ndarray,
    logits: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None,
) -> Learned:
    """Trains the last layer and fits all estimates.

    Args:
      run: with the sections `adapt` and `uncertainty` of its settings.
      variables: of its network.
      features: pooled, of the labelled images, `[N, channels]`.
      logits: `[N, classes]` of the same.
      labels: int `[N]`.
      groups: which images stay in one fold, see `labels.groups_of`; None: each is by itself.

    Raises:
      UserError: a network whose last layer does not act on these features.
    """
    config = run.config
    old = find_layer(variables, features, logits)
    fitted = cross_fit(old, features, labels, groups=groups, folds=config.adapt.folds, seed=config.seed)
    distances = distances_of_folds(features, fitted.folds)
    estimates = cross_fitted_estimates(
        config.uncertainty, run.class_names, fitted.logits, features, labels, distances, conditions(run)
    )
    return Learned(
        with_layer(variables, fitted.layer),
        fitted.layer,
        fitted.strength,
        _prior(run, fitted.logits, labels, estimates, trained=np.isfinite(fitted.strength)),
        labels,
        logits.argmax(1),
        fitted.logits.argmax(1),
        estimates,
        _for_a_person(estimates, fitted.logits, distances),
    )


def learn_all(
    run: Run,
    variables: Mapping[str, Any],
    images: np.ndarray,
    logits: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None,
    score: Callable,
) -> Learned:
    """Trains all layers and fits all estimates: a training for each fold, and one on all labels.

    Args:
      run: with the sections `adapt` and `uncertainty` of its settings.
      variables: of its network.
      images: the labelled images, uint8 `[N, stored, stored, 3]`.
      logits: `[N, classes]` of the same, before.
      labels: int `[N]`.
      groups: which images stay in one fold, see `labels.groups_of`; None: each is by itself.
      score: as of `cross_fit_all`.
    """
    config = run.config
    folds = [m for m in even_folds(len(labels), groups, config.adapt.folds, config.seed) if m.any()]
    trained, crossed, distances = cross_fit_all(run, variables, images, labels, score, folds)
    _, features = score(trained, images)
    estimates = cross_fitted_estimates(
        config.uncertainty, run.class_names, crossed, features, labels, distances, conditions(run)
    )
    prior = _prior(run, crossed, labels, estimates, trained=True)
    before, after = logits.argmax(1), crossed.argmax(1)
    unsure = _for_a_person(estimates, crossed, distances)
    return Learned(trained, None, None, prior, labels, before, after, estimates, unsure)


def _for_a_person(estimates: Uncertainty, logits: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """bool `[N]`, of cross-fitted `logits` and `distances`: none has seen the image that it judges."""
    return estimates.judge(np.exp(soften(logits, estimates.temperature.value)), distances).for_a_person


def _prior(
    run: Run, logits: np.ndarray, labels: np.ndarray, estimates: Uncertainty, *, trained: bool
) -> ClassPrior:
    """The mixture that calibrated probabilities are of; an old layer that stays learnt no other."""
    before = run_prior(run)
    if not trained:
        return before
    mixture = learnt_mixture(np.exp(soften(logits, estimates.temperature.value)), labels, before.shares)
    named = set(labels.tolist())
    unlabelled = tuple(name for number, name in enumerate(run.class_names) if number not in named)
    return ClassPrior(mixture, None, known=True, labels=len(labels), unlabelled=unlabelled)


def distances_of_folds(features: np.ndarray, folds: Sequence[np.ndarray]) -> np.ndarray:
    """Distance of each image to those of the other folds, `[N]`, see `neighbour_distances`.

    Args:
      features: `[N, channels]`.
      folds: bool `[N]` each.
    """
    distances = np.empty(len(features))
    for test in folds:
        distances[test] = neighbour_distances(fit_neighbours(features[~test]), features[test])
    return distances


def cross_fitted_estimates(
    settings: Any,
    class_names: tuple[str, ...],
    logits: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    distances: np.ndarray,
    measured_under: Mapping[str, Any],
) -> Uncertainty:
    """Estimates of certainty from scores of labelled images by layers or networks that have not seen them.

    The temperature is one number for all folds, so that it is fitted on the scores themselves; the outlier
    score of an image is its distance to the labelled images of the other folds.

    Args:
      settings: the section `uncertainty`.
      class_names: of the scores.
      logits: `[N, classes]`, cross-fitted.
      features: `[N, channels]`.
      labels: int `[N]`.
      distances: `[N]`, of each image to the labelled images of the other folds.
      measured_under: what `Uncertainty.conditions` says.
    """
    quantile = settings.outlier_quantile
    threshold = float(np.quantile(distances, quantile, method="higher"))
    outliers = Outliers("neighbours", quantile, threshold, fit_neighbours(features))
    return fit_to_scores(settings, class_names, logits, labels, outliers, measured_under)
