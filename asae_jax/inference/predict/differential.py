"""The differential count: how many cells of each class, of all images and of each group.

It is made twice: of the cells the run is sure of, and of all by their most probable class. A person has to
look at the others, cells below the run's threshold of certainty or unlike what it was trained on. The
first count alone would mislead, for cells are not uncertain at random: blasts and rare stages are left out
more often than others.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

from asae_jax.inference.predict.intervals import ratio, share
from asae_jax.inference.predict.lineages import Lineage
from asae_jax.inference.predict.records import ClassCount, Count, Differential, Record, Share, Shares


@dataclasses.dataclass
class _Tally:
    """What is counted of one group while the records go by."""

    images: int = 0
    unreadable: int = 0
    strange: int = 0
    sure: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    left: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)

    def add(self, record: Record) -> None:
        self.images += 1
        if record.label is None:
            self.unreadable += 1
        elif record.left_to_person:
            self.left[record.label] += 1
            self.strange += bool(record.trusted and record.trusted.ood)
        else:
            self.sure[record.label] += 1


class Counter:
    """Counts records as they come, so that none has to be kept."""

    def __init__(self, class_names: Sequence[str], lineages: Sequence[Lineage]):
        """Counts classes `class_names`, of which `lineages` tells what they are."""
        self._classes = tuple(zip(class_names, lineages, strict=True))
        self._overall = _Tally()
        self._groups: dict[str, _Tally] = {}

    def add(self, record: Record) -> None:
        """Counts one image."""
        self._overall.add(record)
        if record.group:
            self._groups.setdefault(record.group, _Tally()).add(record)

    def differential(self, notes: Iterable[str] = ()) -> Differential:
        """The counts of all records so far; `notes` are put before those of the counting itself."""
        return Differential(
            _count("", self._overall, self._classes),
            tuple(_count(name, tally, self._classes) for name, tally in self._groups.items()),
            (*notes, *_notes(self._overall, self._classes)),
        )


_Classes = tuple[tuple[str, Lineage], ...]


def _count(group: str, tally: _Tally, classes: _Classes) -> Count:
    return Count(
        group=group,
        images=tally.images,
        unreadable=tally.unreadable,
        left_to_person=tally.left.total(),
        out_of_distribution=tally.strange,
        sure=_shares(tally.sure, classes),
        everything=_shares(tally.sure + tally.left, classes),
    )


def _shares(cells: collections.Counter[int], classes: _Classes) -> Shares:
    def count(belongs: Callable[[Lineage], bool]) -> int:
        return sum(cells[number] for number, (_, lineage) in enumerate(classes) if belongs(lineage))

    total = count(lambda lineage: lineage.name != "none")
    myeloid = count(lambda lineage: lineage.name == "myeloid")
    erythroid = count(lambda lineage: lineage.name == "erythroid")
    blasts = count(lambda lineage: lineage.blast)
    has_both = {"myeloid", "erythroid"} <= {lineage.name for _, lineage in classes}
    return Shares(
        counted=total,
        classes=tuple(_line(name, lineage, cells[n], total) for n, (name, lineage) in enumerate(classes)),
        myeloid_erythroid=ratio(myeloid, erythroid) if has_both else None,
        blasts=share(blasts, total) if any(lineage.blast for _, lineage in classes) else None,
    )


def _line(name: str, lineage: Lineage, count: int, total: int) -> ClassCount:
    counts = lineage.name != "none"
    cells = share(count, total) if counts else Share(count, total, None, None, None)
    return ClassCount(name, lineage.name, lineage.blast, cells)


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
    if uncounted := [name for name, lineage in classes if lineage.name == "none"]:
        yield f"Not in the whole that percentages refer to: {', '.join(uncounted)}."
    if any(lineage.name == "erythroid" for _, lineage in classes):
        yield (
            "Nucleated red cells are part of the whole, as in a marrow count; in a count of blood they are "
            "usually given per 100 white cells, and the M:E ratio means nothing."
        )
    if unknown := [name for name, lineage in classes if not lineage.known]:
        yield f"No lineage is known for: {', '.join(unknown)} (--lineages=FILE)."
