"""The differential count: how many cells of each class, of all images and of each group.

It is made twice: of the cells the run is sure of, and of all cells by their most probable class. The
difference are cells left to a person: below the run's threshold of certainty, or unlike its training images.
The first count alone would mislead, for cells are not uncertain at random: blasts and rare stages are left
out more often than others.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

from scipy.stats import binomtest

from asae_jax.inference.predict.records import Record
from asae_jax.input.cell_classes import CellClass


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of a whole with its 95 % interval (Wilson).

    Attributes:
      count: of the part.
      total: of the whole.
      share: count / total, 0..1; None, like the bounds, where the whole is empty.
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
      above: the numerator.
      below: the denominator.
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
      lineage: "myeloid", "erythroid", "lymphoid", "none" (not counted: not a nucleated cell of
        blood or marrow), or empty where it is not known.
      blast: whether the class is one of blasts.
      cells: number and share of the cells counted; the share is None where `lineage` is "none".
    """

    name: str
    lineage: str
    blast: bool
    cells: Share


@dataclasses.dataclass(frozen=True)
class Shares:
    """A differential count of some of the cells.

    Attributes:
      counted: number of cells that shares refer to: all but those of classes that are not counted.
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
      out_of_distribution: of these, how many are unlike the training images.
      sure: count of the cells that are not left to a person.
      everything: count of all cells, by their most probable class; the same as `sure` where none is left to a
        person.
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


@dataclasses.dataclass
class _Tally:
    """Running counts of one group."""

    images: int = 0
    unreadable: int = 0
    outliers: int = 0
    sure: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    left: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)

    def add(self, record: Record) -> None:
        self.images += 1
        if record.label is None:
            self.unreadable += 1
        elif record.left_to_person:
            self.left[record.label] += 1
            self.outliers += bool(record.uncertainty and record.uncertainty.ood)
        else:
            self.sure[record.label] += 1


class Counter:
    """Counts records one by one, so that none has to be kept."""

    def __init__(self, classes: Sequence[CellClass]):
        """Takes the classes of the run, in its order."""
        self._classes = tuple(classes)
        self._overall = _Tally()
        self._groups: dict[str, _Tally] = {}

    def add(self, record: Record) -> None:
        """Counts one image."""
        self._overall.add(record)
        if record.group:
            self._groups.setdefault(record.group, _Tally()).add(record)

    def differential(self, notes: Iterable[str] = ()) -> Differential:
        """The counts of all records so far; `notes` come before those of the counting itself."""
        return Differential(
            _count("", self._overall, self._classes),
            tuple(_count(name, tally, self._classes) for name, tally in self._groups.items()),
            (*notes, *_notes(self._overall, self._classes)),
        )


_Classes = tuple[CellClass, ...]


def _count(group: str, tally: _Tally, classes: _Classes) -> Count:
    return Count(
        group=group,
        images=tally.images,
        unreadable=tally.unreadable,
        left_to_person=tally.left.total(),
        out_of_distribution=tally.outliers,
        sure=_shares(tally.sure, classes),
        everything=_shares(tally.sure + tally.left, classes),
    )


def _shares(cells: collections.Counter[int], classes: _Classes) -> Shares:
    def count(belongs: Callable[[CellClass], bool]) -> int:
        return sum(cells[number] for number, one in enumerate(classes) if belongs(one))

    total = count(lambda one: one.lineage != "none")
    myeloid = count(lambda one: one.lineage == "myeloid")
    erythroid = count(lambda one: one.lineage == "erythroid")
    blasts = count(lambda one: one.blast)
    has_both = {"myeloid", "erythroid"} <= {one.lineage for one in classes}
    return Shares(
        counted=total,
        classes=tuple(_line(one, cells[number], total) for number, one in enumerate(classes)),
        myeloid_erythroid=ratio(myeloid, erythroid) if has_both else None,
        blasts=share(blasts, total) if any(one.blast for one in classes) else None,
    )


def _line(one: CellClass, count: int, total: int) -> ClassCount:
    counts = one.lineage != "none"
    cells = share(count, total) if counts else Share(count, total, None, None, None)
    return ClassCount(one.code, one.lineage, one.blast, cells)


def _notes(overall: _Tally, classes: _Classes) -> Iterator[str]:
    yield (
        "The 95 % intervals cover which cells happened to be on the smear, not the network's mistakes: those "
        "are in the run's evaluation."
    )
    if overall.left:
        yield (
            f"{overall.left.total()} of {overall.images} images are left to a person. They are no random "
            "part of the cells: look at them before relying on a percentage, with or without them."
        )
    if uncounted := [one.code for one in classes if one.lineage == "none"]:
        yield f"Not in the whole that percentages refer to: {', '.join(uncounted)}."
    if any(one.lineage == "erythroid" for one in classes):
        yield (
            "Nucleated red cells are part of the whole, as in a marrow count; in a count of blood they are "
            "usually given per 100 white cells, and the M:E ratio means nothing."
        )
    if unknown := [one.code for one in classes if not one.known]:
        yield f"No lineage is known for: {', '.join(unknown)} (--classes=FILE)."


def share(count: int, total: int) -> Share:
    """`count` of `total` with Wilson's score interval, which stays within 0..1."""
    if not total:
        return Share(count, total, None, None, None)
    return Share(count, total, count / total, *_wilson(count, total))


def ratio(above: int, below: int) -> Ratio:
    """`above` / `below` with the odds p / (1 - p) of the bounds of Wilson's interval for `above` of both."""
    if not above + below:
        return Ratio(above, below, None, None, None)
    low, high = _wilson(above, above + below)
    return Ratio(
        above,
        below,
        above / below if below else None,
        low / (1 - low),
        high / (1 - high) if high < 1 else None,
    )


def _wilson(count: int, total: int) -> tuple[float, float]:
    """95 % interval of `count / total`, 0..1; it stays within 0..1 and is not empty at its ends."""
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
