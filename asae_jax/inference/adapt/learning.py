"""What labels of the other laboratory give: a last layer, and estimates of certainty that hold there."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from asae_jax.evaluation.abstention import choose_abstention
from asae_jax.evaluation.calibration import fit_temperature, soften
from asae_jax.evaluation.conformal import fit_conformal
from asae_jax.evaluation.metrics import confusion_matrix
from asae_jax.evaluation.outliers import Outliers, fit_neighbours, neighbour_distances
from asae_jax.evaluation.uncertainty import Uncertainty, conditions
from asae_jax.inference.adapt.last_layer import Layer, cross_fit, find_layer, with_layer
from asae_jax.run.run import Run


@dataclasses.dataclass(frozen=True, eq=False)
class Learned:
    """A network trained on labels.

    Attributes:
      variables: of the network, with its new last layer.
      layer: that layer.
      strength: of its penalty; infinite where the old layer was kept.
      labels: int `[N]`.
      before: int `[N]`, most probable class of each labelled image before.
      after: int `[N]`, by a layer that has not seen the image.
      estimates: calibration, abstention, conformal sets and outlier scores, cross-fitted.
    """

    variables: Mapping[str, Any]
    layer: Layer
    strength: float
    labels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    estimates: Uncertainty

    @property
    def confusion(self) -> np.ndarray:
        """Counts `[K, K]`, rows true, of images by layers that have not seen them."""
        return confusion_matrix(self.labels, self.after, len(self.layer.bias))


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
      groups: slide or patient of each; None where not known.

    Raises:
      UserError: a network whose last layer does not act on these features.
    """
    config = run.config
    path, old = find_layer(variables, features, logits)
    fitted = cross_fit(old, features, labels, groups=groups, folds=config.adapt.folds, seed=config.seed)
    estimates = cross_fitted_estimates(
        config.uncertainty, run.class_names, fitted.logits, features, labels, fitted.folds, conditions(run)
    )
    return Learned(
        with_layer(variables, path, fitted.layer),
        fitted.layer,
        fitted.strength,
        labels,
        logits.argmax(1),
        fitted.logits.argmax(1),
        estimates,
    )


def cross_fitted_estimates(
    settings: Any,
    class_names: tuple[str, ...],
    logits: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    folds: list[np.ndarray],
    measured_under: Mapping[str, Any],
) -> Uncertainty:
    """Estimates of certainty from scores of labelled images by layers that have not seen them.

    The temperature is one number for all folds, so that it is fitted on the scores themselves; the outlier
    score of an image is its distance to the labelled images of the other folds.

    Args:
      settings: the section `uncertainty`.
      class_names: of the scores.
      logits: `[N, classes]`, cross-fitted.
      features: `[N, channels]`.
      labels: int `[N]`.
      folds: bool `[N]` each, in which the images were scored.
      measured_under: what `Uncertainty.conditions` says.
    """
    temperature = fit_temperature(logits, labels).if_needed()
    probabilities = np.exp(soften(logits, temperature.value))
    distances = np.empty(len(labels))
    for test in folds:
        distances[test] = neighbour_distances(fit_neighbours(features[~test]), features[test])
    quantile = settings.outlier_quantile
    return Uncertainty(
        class_names=class_names,
        num_examples=len(labels),
        conditions=measured_under,
        temperature=temperature,
        abstention=choose_abstention(
            probabilities.max(1),
            probabilities.argmax(1) == labels,
            target_error=settings.target_error,
            certainty=settings.certainty,
        ),
        conformal=fit_conformal(
            probabilities, labels, error=settings.conformal_error, method=settings.conformal
        ),
        outliers=Outliers(
            "neighbours", quantile, float(np.quantile(distances, quantile, method="higher")),
            fit_neighbours(features),
        ),
    )  # fmt: skip
