"""What is known about when to believe a network, and its application to new images."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from asae_jax.trust.conformal import Conformal
from asae_jax.trust.gaussians import ClassGaussians
from asae_jax.trust.neighbours import Neighbours
from asae_jax.trust.ood import Outliers
from asae_jax.trust.selective import Abstention
from asae_jax.trust.temperature import Temperature, soften


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What `Trust.apply` says about N images.

    Attributes:
      probabilities: float64 `[N, classes]`, calibrated; the most probable class is the network's own.
      abstain: bool `[N]`, the network is not sure enough of its class.
      ood_score: float64 `[N]`, how unlike the training images it is (higher: stranger; the unit depends on
        the method); None where it is not known.
      is_ood: bool `[N]`, stranger than all but a few of the run's own images; None where not known.
      sets: bool `[N, classes]`, the classes that cannot be excluded at the promised rate.
    """

    probabilities: np.ndarray
    abstain: np.ndarray
    ood_score: np.ndarray | None
    is_ood: np.ndarray | None
    sets: np.ndarray

    @property
    def for_a_person(self) -> np.ndarray:
        """bool `[N]`: not sure enough, or unlike the training images."""
        return self.abstain if self.is_ood is None else self.abstain | self.is_ood


@dataclasses.dataclass(frozen=True)
class Trust:
    """Everything fitted on a run's validation images.

    Attributes:
      class_names: of the scores, in their order.
      num_examples: validation images behind it.
      conditions: settings under which the scores were computed (checkpoint step, test mode); scores
        computed otherwise must not be judged by it.
      temperature: of the calibration.
      abstention: when to leave an image to a person.
      conformal: which classes cannot be excluded.
      outliers: what is unlike the training images.
    """

    class_names: tuple[str, ...]
    num_examples: int
    conditions: Mapping[str, Any]
    temperature: Temperature
    abstention: Abstention
    conformal: Conformal
    outliers: Outliers

    def apply(self, scores: np.ndarray, features: np.ndarray | None = None) -> Judgement:
        """Judges images by their scores and features.

        Args:
          scores: logits or log-probabilities `[N, classes]`, finite.
          features: `[N, channels]`, the pooled features of the last stage (`score_and_pool_step`); needed to
            tell by their distance which images are unlike the training images. By their energy it takes
            logits.

        Raises:
          ValueError: another number of classes than the run has.
        """
        if np.ndim(scores) != 2 or np.shape(scores)[1] != len(self.class_names):
            raise ValueError(f"need scores [N, {len(self.class_names)}], got {np.shape(scores)}")
        probabilities = np.exp(soften(scores, self.temperature.value))
        return self.judge(probabilities, self.outliers.score(scores, features))

    def judge(self, probabilities: np.ndarray, ood_score: np.ndarray | None = None) -> Judgement:
        """Judges images by probabilities that are calibrated already, such as a mean over several views.

        Args:
          probabilities: `[N, classes]`.
          ood_score: `[N]`, from `outliers.score`, or None.
        """
        return Judgement(
            probabilities,
            probabilities.max(1) < self.abstention.threshold,
            ood_score,
            None if ood_score is None else ood_score > self.outliers.threshold,
            self.conformal.sets(probabilities),
        )

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
        }

    @classmethod
    def from_json(
        cls, content: Mapping[str, Any], reference: Neighbours | ClassGaussians | None = None
    ) -> "Trust":
        """The object that `to_json` wrote; what else `content` holds is ignored.

        Args:
          content: of the file.
          reference: the arrays that are kept beside it, where there are any.
        """
        return cls(
            tuple(content["class_names"]),
            content["num_validation_images"],
            dict(content["conditions"]),
            Temperature(**content["temperature"]),
            Abstention(
                **content["abstention"] | {"error_interval": tuple(content["abstention"]["error_interval"])}
            ),
            Conformal(**content["conformal"]),
            Outliers(**content["outliers"], reference=reference),
        )
