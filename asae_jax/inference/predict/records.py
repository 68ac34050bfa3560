"""What `predict` knows about one image, and the choice of images that its page shows."""

import dataclasses
import heapq
import itertools

import numpy as np

from asae_jax.inference.positions import Position


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class PredictionUncertainty:
    """Uncertainty estimates of one prediction, fitted on the run's own validation images.

    Attributes:
      abstain: whether the probability is below the threshold for the target error: a person should look.
      ood_score: outlier score, higher for cells less like the training images. Its unit differs between
        runs: compare it within one run only. None where the run has no such score.
      ood: whether the score is above the run's threshold: an artefact, another stain, or a cell of no class
        of the run.
      conformal_set: classes that contain the true one at the run's confidence, most probable first; may be
        empty; None where the run has no conformal threshold.
    """

    abstain: bool
    ood_score: float | None
    ood: bool
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
      probabilities: float32 `[classes]`, in the order of the run's class names; they sum to 1. Calibrated
        where the run has a temperature.
      uncertainty: of the prediction; None where the run has no uncertainty estimates.
      attention: uint8 `[height, width]`, the self-attention map in front of the branching layer, 0 at its
        lowest and 255 at its highest position. It covers the middle of the thumbnail, what the network saw:
        `attention_extent` of its side (an argument of the page). None where no page is made.
      thumbnail: JPEG of the image's centre square in its own colours; None where no page is made.
      features: float32 `[channels]`, the pooled features of the last stage; None unless they are asked for.
      position: where the cell lies on its slide, also with an error; None where the input does not tell.
    """

    path: str
    file: str
    group: str = ""
    error: str = ""
    content: str = ""
    probabilities: np.ndarray | None = None
    uncertainty: PredictionUncertainty | None = None
    attention: np.ndarray | None = None
    thumbnail: bytes | None = None
    features: np.ndarray | None = None
    position: Position | None = None

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
        return self.uncertainty is not None and (self.uncertainty.abstain or self.uncertainty.ood)


class Gallery:
    """Keeps at most `limit` records for the page: unreadable, then left to a person, then the least certain.

    The others are dropped at once, so that memory does not grow with the number of images.
    """

    def __init__(self, limit: int):
        """Takes the largest number of records to keep, 0 or more."""
        self._limit = limit
        self._numbers = itertools.count()
        self._heap: list[tuple[tuple[bool, bool, float], int, Record]] = []

    def add(self, record: Record) -> None:
        """Keeps the record if it is among the `limit` most urgent so far."""
        entry = (_urgency(record), next(self._numbers), record)
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, entry)
        elif self._heap:
            heapq.heappushpop(self._heap, entry)

    def records(self) -> list[Record]:
        """The records kept, in the order of the input."""
        return [record for _, _, record in sorted(self._heap, key=lambda entry: entry[1])]


def _urgency(record: Record) -> tuple[bool, bool, float]:
    """Greater where a person should look sooner."""
    return bool(record.error), record.left_to_person, -(record.probability or 0.0)
