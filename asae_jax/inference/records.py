"""What is known about one image of an input, once it was predicted."""

import dataclasses

import numpy as np

from asae_jax.inference.positions import Position


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class PredictionUncertainty:
    """Uncertainty estimates of one prediction, fitted on the run's own validation images.

    Attributes:
      abstain: whether the probability is below the threshold for the target error: a person should look.
      outlier_score: outlier score, higher for cells less like the training images. Its unit differs between
        runs: compare it within one run only. None where the run has no such score.
      is_outlier: whether the score is above the run's threshold: an artefact, another stain, or a cell of no
        class of the run.
      conformal_set: classes that contain the true one at the run's confidence, most probable first; may be
        empty; None where the run has no conformal threshold.
    """

    abstain: bool
    outlier_score: float | None
    is_outlier: bool
    conformal_set: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Record:
    """One image of the input.

    Attributes:
      path: as the input names it.
      file: where it is, absolute: a CSV `path,label` of these can be trained on from any folder.
      group: slide, patient or folder it belongs to; empty where the input tells none.
      error: why there is no prediction, in a few words; empty where there is one. With an error none of
        the following is set.
      content: tells the picture's pixels from all others (see `input.content.image_content`): what a person
        says on the page is kept under it, as another picture may come under the same name.
      implausible: why it is no crop of a stained cell, see `input.implausible_images`; empty where it may be
        one.
      probabilities: float32 `[classes]`, in the order of the run's class names; they sum to 1. Calibrated
        where the run has a temperature.
      uncertainty: of the prediction; None where the run has no uncertainty estimates.
      attention: uint8 `[height, width]`, the self-attention map in front of the branching layer, 0 at its
        lowest and 255 at its highest position. It covers what the network saw, a square in the middle:
        `predictor.attention_extent` of the shorter side. None where no page is made.
      thumbnail: JPEG of the image's centre square in its own colours; None where no page is made.
      picture: JPEG of the whole image in its own colours, for a look from near; None where no page is made,
        or where the page has no room for it (see `predict.gallery`).
      size: width and height of the image in pixels, of which `picture` may have fewer; (0, 0) where no page
        is made.
      features: float32 `[channels]`, the pooled features of the last stage; None unless they are asked for.
      position: where the cell lies on its slide, also with an error; None where the input does not tell.
      several: whether it may show several cells, as `cut` could not divide them.
    """

    path: str
    file: str
    group: str = ""
    error: str = ""
    content: str = ""
    implausible: str = ""
    probabilities: np.ndarray | None = None
    uncertainty: PredictionUncertainty | None = None
    attention: np.ndarray | None = None
    thumbnail: bytes | None = None
    picture: bytes | None = None
    size: tuple[int, int] = (0, 0)
    features: np.ndarray | None = None
    position: Position | None = None
    several: bool = False

    @property
    def label(self) -> int | None:
        """The most probable class, the first of equals; None with an error."""
        return None if self.probabilities is None else int(self.probabilities.argmax())

    @property
    def probability(self) -> float | None:
        """Of `label`; None with an error."""
        return None if self.probabilities is None else float(self.probabilities.max())

    @property
    def left_to_person(self) -> bool:
        """Whether there is a prediction that should not be relied on."""
        return self.uncertainty is not None and (self.uncertainty.abstain or self.uncertainty.is_outlier)
