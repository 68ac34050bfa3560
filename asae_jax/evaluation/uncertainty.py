"""Uncertainty estimates: fitted on a run's validation images, applied to new images.

A temperature calibrates the probabilities, a threshold leaves uncertain images to a person, conformal sets
name the classes that cannot be excluded, an outlier score tells images unlike the training images.
`uncertainty_report` measures them and writes them after training; `predict` and `export` read them
(`uncertainty_files`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from asae_jax.evaluation.abstention import Abstention, choose_abstention, fewest_images
from asae_jax.evaluation.calibration import Temperature, fit_temperature, soften
from asae_jax.evaluation.conformal import Conformal, fit_conformal
from asae_jax.evaluation.outliers import (
    ClassGaussians,
    Neighbours,
    Outliers,
    fit_outliers,
    fit_reference,
)
from asae_jax.input.nucleus_sizes import NucleusSizes
from asae_jax.json_files import typed


class Part(NamedTuple):
    """A scored part of the data.

    Attributes:
      logits: float32 `[N, classes]`.
      features: float32 `[N, channels]`, pooled from the last stage.
      labels: int32 `[N]`.
    """

    logits: np.ndarray
    features: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the estimates say about N images.

    Attributes:
      probabilities: float64 `[N, classes]`, calibrated; the most probable class is the network's own.
      abstain: bool `[N]`, the most probable class is not probable enough.
      outlier_score: float64 `[N]`, higher farther from the training images (the unit depends on the method);
        None where it is not known.
      is_outlier: bool `[N]`, the score is above the threshold; None where it is not known.
      sets: bool `[N, classes]`, the conformal set of each image.
    """

    probabilities: np.ndarray
    abstain: np.ndarray
    outlier_score: np.ndarray | None
    is_outlier: np.ndarray | None
    sets: np.ndarray

    @property
    def for_a_person(self) -> np.ndarray:
        """bool `[N]`: not probable enough, or an outlier."""
        return self.abstain if self.is_outlier is None else self.abstain | self.is_outlier


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """All estimates fitted on a run's validation images.

    Attributes:
      class_names: of the scores, in their order.
      num_examples: number of validation images.
      conditions: settings under which the scores were computed (checkpoint step, test mode); scores
        computed otherwise must not be judged by it.
      temperature: calibrates the probabilities.
      abstention: which images are left to a person.
      conformal: which classes cannot be excluded.
      outliers: which images are unlike the training images.
      nuclei: of training images, to tell crops of another scale; None where they were not measured.
      removed: classes that `adapt --only` left out, which the network never gives: they are in no set.
    """

    class_names: tuple[str, ...]
    num_examples: int
    conditions: Mapping[str, Any]
    temperature: Temperature
    abstention: Abstention
    conformal: Conformal
    outliers: Outliers
    nuclei: NucleusSizes | None = None
    removed: tuple[str, ...] = ()

    def nothing_labelled(self) -> str:
        """Why no threshold was found below which images could be labelled, as a clause."""
        target = f"{100 * self.abstention.target_error:.3g} %"
        fewest = fewest_images(self.abstention.target_error, self.abstention.certainty)
        if self.num_examples < fewest:
            return (
                f"to promise at most {target} errors takes at least {fewest} images with labels, all of them "
                f"right, and there were {self.num_examples}"
            )
        return f"no certainty kept the errors among the images with labels to {target}"

    def apply(self, scores: np.ndarray, features: np.ndarray | None = None) -> Judgement:
        """Judges images by their scores and features.

        Args:
          scores: logits or log-probabilities `[N, classes]`, finite.
          features: `[N, channels]`, the pooled features of the last stage (`score_and_pool_step`); without
            them distances give no outlier score. (The energy needs none, but logits.)

        Raises:
          ValueError: another number of classes than the run has.
        """
        if np.ndim(scores) != 2 or np.shape(scores)[1] != len(self.class_names):
            raise ValueError(f"need scores [N, {len(self.class_names)}], got {np.shape(scores)}")
        probabilities = np.exp(soften(scores, self.temperature.value))
        return self.judge(probabilities, self.outliers.score(scores, features))

    def judge(self, probabilities: np.ndarray, outlier_score: np.ndarray | None = None) -> Judgement:
        """Judges images by probabilities that are calibrated already, such as a mean over several views.

        Args:
          probabilities: `[N, classes]`.
          outlier_score: `[N]`, from `outliers.score`, or None.
        """
        return Judgement(
            probabilities,
            probabilities.max(1) < self.abstention.threshold,
            outlier_score,
            None if outlier_score is None else outlier_score > self.outliers.threshold,
            self._sets(probabilities),
        )

    def _sets(self, probabilities: np.ndarray) -> np.ndarray:
        """The conformal sets without removed classes; the most probable one may be given by another run."""
        sets = self.conformal.sets(probabilities)
        best = np.arange(sets.shape[1]) == probabilities.argmax(1)[:, None]
        return sets & (best | ~np.isin(self.class_names, self.removed))

    def to_json(self) -> dict[str, Any]:
        """Plain Python for JSON; the arrays of `outliers.reference` are not in it."""
        return {
            "class_names": list(self.class_names),
            "num_validation_images": self.num_examples,
            "conditions": dict(self.conditions),
            "temperature": dataclasses.asdict(self.temperature),
            "abstention": dataclasses.asdict(self.abstention),
            "conformal": dataclasses.asdict(self.conformal),
            "outliers": {
                field: getattr(self.outliers, field) for field in ("method", "quantile", "threshold")
            },
            "nuclei": None if self.nuclei is None else dataclasses.asdict(self.nuclei),
        }

    @classmethod
    def from_json(
        cls, content: Mapping[str, Any], reference: Neighbours | ClassGaussians | None = None
    ) -> "Uncertainty":
        """The object that `to_json` wrote; what else `content` holds is ignored.

        Args:
          content: of the file.
          reference: the arrays that are kept beside it, where there are any.
        """
        abstention, nuclei = content["abstention"], content.get("nuclei")
        return cls(
            tuple(map(str, content["class_names"])),
            int(content["num_validation_images"]),
            dict(content["conditions"]),
            typed(Temperature, content["temperature"]),
            typed(Abstention, abstention | {"error_interval": tuple(abstention["error_interval"])}),
            typed(Conformal, content["conformal"]),
            dataclasses.replace(typed(Outliers, content["outliers"]), reference=reference),
            None if nuclei is None else typed(NucleusSizes, dict(nuclei)),
        )


def fit_uncertainty(
    settings: ConfigDict,
    class_names: tuple[str, ...],
    parts: Mapping[str, Part],
    measured_under: Mapping[str, Any],
) -> Uncertainty:
    """Fits every estimate on the validation part.

    Args:
      settings: the section `uncertainty` of a configuration.
      class_names: of the scores, in their order.
      parts: "validation", not trained on, and "train", whose features outliers are compared with: at least
        one image of every class.
      measured_under: what `conditions` says of the scores.
    """
    train, validation = parts["train"], parts["validation"]
    outliers = fit_outliers(
        validation.logits,
        validation.features,
        fit_reference(train.features, train.labels, len(class_names), method=settings.outliers),
        method=settings.outliers,
        quantile=settings.outlier_quantile,
    )
    return fit_to_scores(
        settings, class_names, validation.logits, validation.labels, outliers, measured_under
    )


def fit_to_scores(
    settings: ConfigDict,
    class_names: tuple[str, ...],
    logits: np.ndarray,
    labels: np.ndarray,
    outliers: Outliers,
    measured_under: Mapping[str, Any],
) -> Uncertainty:
    """Fits every estimate that needs scores and labels only, and adds the outlier scores.

    Args:
      settings: the section `uncertainty` of a configuration.
      class_names: of the scores, in their order.
      logits: float `[N, classes]`, by networks that were not trained on these images.
      labels: int `[N]`.
      outliers: fitted before.
      measured_under: what `conditions` says of the scores.
    """
    temperature = fit_temperature(logits, labels).if_needed()
    probabilities = np.exp(soften(logits, temperature.value))
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
        outliers=outliers,
    )
