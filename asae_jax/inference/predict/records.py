"""What `predict` knows about each image and about all of them: what its files and its page are made from."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Trusted:
    """What the run's own validation images say about how far to trust one prediction.

    Attributes:
      abstain: less certain than the threshold for the target error: a person should look.
      ood_score: how far the cell is from those the run was trained on; higher is stranger. Its unit is that
        of the run's score, so compare it with others of the same run only.
      ood: above the threshold: an artefact, another stain, or a cell of no class of the run.
      conformal_set: the classes that the true one is among, at the run's confidence, most probable first;
        may be empty; None where the run has no conformal threshold.
    """

    abstain: bool
    ood_score: float | None
    ood: bool
    conformal_set: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Record:
    """One image, in the place it has in the input.

    Attributes:
      path: as the input names it.
      file: where it is, absolute: a CSV `path,label` of these can be trained on from any folder.
      group: slide, patient or folder it belongs to; empty where the input tells none.
      error: why there is no prediction, in a few words; empty where there is one. With an error none of
        the following is set.
      probabilities: float32 `[classes]`, in the order of the run's class names; they sum to 1. Calibrated
        where the run has a temperature.
      trusted: how far to trust them; None where the run has no measure of it.
      attention: uint8 `[height, width]`, the self-attention map in front of the branching layer, 0 at its
        lowest and 255 at its highest cell. It covers the middle of the thumbnail, what the network saw:
        `attention_extent` of its side (an argument of the page). None where no page is made.
      thumbnail: JPEG of the image's centre square in its own colours; None where no page is made.
    """

    path: str
    file: str
    group: str = ""
    error: str = ""
    probabilities: np.ndarray | None = None
    trusted: Trusted | None = None
    attention: np.ndarray | None = None
    thumbnail: bytes | None = None

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
        """There is a prediction, and it is not to be relied on."""
        return self.trusted is not None and (self.trusted.abstain or self.trusted.ood)


@dataclasses.dataclass(frozen=True)
class Share:
    """A part of a whole with its 95 % interval (Wilson).

    Attributes:
      count: of the part.
      total: of the whole.
      share: count / total, 0..1; None where the whole is empty, as are the bounds.
      low: lower bound, 0..1.
      high: upper bound, 0..1.
    """

    count: int
    total: int
    share: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A ratio of two counts with its 95 % interval.

    Attributes:
      above: count above the line.
      below: count below the line.
      value: above / below; None where `below` is 0.
      low: lower bound; None where both are 0.
      high: upper bound; None where it is infinite.
    """

    above: int
    below: int
    value: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class ClassCount:
    """One line of a differential count.

    Attributes:
      name: of the class.
      lineage: "myeloid", "erythroid", "lymphoid", "none" (not counted: no nucleated cell of blood or
        marrow), or empty where it is not known.
      blast: whether the class is one of blasts.
      cells: number and share of the cells counted; the share is None where `lineage` is "none".
    """

    name: str
    lineage: str
    blast: bool
    cells: Share


@dataclasses.dataclass(frozen=True)
class Shares:
    """A differential count of one choice of cells.

    Attributes:
      counted: cells in the whole that shares refer to: all that were chosen and whose class counts.
      classes: one line per class, in the order of the run's class names.
      myeloid_erythroid: the M:E ratio; None where the run has no classes of one of the two lineages.
      blasts: share of blasts among the cells counted; None where the run has no class of blasts.
    """

    counted: int
    classes: tuple[ClassCount, ...]
    myeloid_erythroid: Ratio | None
    blasts: Share | None


@dataclasses.dataclass(frozen=True)
class Count:
    """The differential count of one group, or of all images.

    Attributes:
      group: its name; empty for all images.
      images: how many were given.
      unreadable: of these, how many have an error.
      left_to_person: of the rest, how many are left to a person.
      out_of_distribution: of these, how many are unlike what the run was trained on.
      sure: of the cells that are not left to a person.
      everything: of all cells, those left to a person by their most probable class; the same as `sure` where
        none is left.
    """

    group: str
    images: int
    unreadable: int
    left_to_person: int
    out_of_distribution: int
    sure: Shares
    everything: Shares


@dataclasses.dataclass(frozen=True)
class Differential:
    """Differential counts of all images and of each group.

    Attributes:
      overall: of all images.
      groups: of each group, in the order in which the input first names them; empty where it names none.
      notes: sentences that a reader of the counts must know.
    """

    overall: Count
    groups: tuple[Count, ...]
    notes: tuple[str, ...]
