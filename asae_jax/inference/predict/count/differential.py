"""The differential count: how many cells of each class, of all images and of each group.

It is made twice: of the cells the run is sure of, and of all cells by their most probable class. The
difference is the cells left to a person: below the run's threshold, or unlike its training cells. The first
count alone would mislead, for cells are not uncertain at random: blasts and rare stages are left out more
often than others.

What percentages refer to and which ratio is given depends on the specimen: see `specimen`.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from asae_jax.inference.predict.count.intervals import Ratio, Share, no_share, ratio, share
from asae_jax.inference.predict.count.specimen import REMEDY, UNKNOWN, Specimen
from asae_jax.inference.records import Record
from asae_jax.input.cell_classes import CellClass, display_order

SECTIONS: Mapping[str, str] = {
    "blasts": "blasts of no lineage",
    "myeloid": "myeloid",
    "erythroid": "erythroid (nucleated red cells)",
    "lymphoid": "lymphoid",
    "": "lineage not known",
    "none": "not counted",
}
"""Section of a count -> its title; a lineage is a section, and so are blasts that have none."""

_LAST_SECTIONS = ("", "none")


@dataclasses.dataclass(frozen=True)
class ClassCount:
    """One line of a differential count.

    Attributes:
      name: of the class, its code.
      full_name: such as "band neutrophil"; empty where it is not known.
      lineage: "myeloid", "erythroid", "lymphoid", "none" (not counted: not a nucleated cell of
        blood or marrow), or empty where it is not known.
      blast: whether the class is one of blasts.
      cells: number, and share of the cells that percentages refer to; the share is None where the class is
        none of them.
    """

    name: str
    full_name: str
    lineage: str
    blast: bool
    cells: Share


@dataclasses.dataclass(frozen=True)
class Shares:
    """A differential count of some of the cells.

    Attributes:
      counted: number of cells that percentages refer to: the white cells of blood, else `nucleated`.
      nucleated: all cells but those of classes that are not counted.
      white: of these, all but the erythroid ones.
      classes: one line per class, in the order of the run's class names.
      sections: section (a key of `SECTIONS`) -> number and share of its cells, in the order to show.
      myeloid_erythroid: the M:E ratio; None for blood, and where the run has no classes of one of the two
        lineages.
      red_per_100: nucleated red (erythroid) cells per 100 white cells; None for marrow, and where the run has
        no erythroid class.
      blasts: share of blasts among the cells counted; None where the run has no class of blasts.
    """

    counted: int
    nucleated: int
    white: int
    classes: tuple[ClassCount, ...]
    sections: Mapping[str, Share]
    myeloid_erythroid: Ratio | None
    red_per_100: Ratio | None
    blasts: Share | None


@dataclasses.dataclass(frozen=True)
class Count:
    """The differential count of one group, or of all images.

    Attributes:
      group: its name; empty for all images.
      images: how many were given.
      unreadable: of these, how many have an error.
      left_to_person: of the rest, how many are left to a person.
      outliers: of these, how many are unlike the training cells.
      sure: count of the cells that are not left to a person.
      everything: count of all cells, by their most probable class; the same as `sure` where none is left to a
        person.
    """

    group: str
    images: int
    unreadable: int
    left_to_person: int
    outliers: int
    sure: Shares
    everything: Shares


@dataclasses.dataclass(frozen=True)
class Differential:
    """Differential counts of all images and of each group.

    Attributes:
      classes: of the run, in its order.
      specimen: what the cells were taken from.
      overall: of all images.
      groups: of each group, in the order in which the input first names them; empty where it names none.
      notes: sentences that a reader of the counts must know.
      slides: whether the groups are slides or fields, of which a patient may have many.
    """

    classes: tuple[CellClass, ...]
    specimen: Specimen
    overall: Count
    groups: tuple[Count, ...]
    notes: tuple[str, ...]
    slides: bool = False

    def specimen_notes(self) -> list[str]:
        """What must be known of a count of blood, of marrow, or of one where it is not known which."""
        patients = () if self.slides else self.groups
        return list(_specimen_notes(self.overall, patients, self.classes, self.specimen))


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
            self.outliers += bool(record.uncertainty and record.uncertainty.is_outlier)
        else:
            self.sure[record.label] += 1


class Counter:
    """Counts records one by one, so that none has to be kept."""

    def __init__(self, classes: Sequence[CellClass], specimen: Specimen = UNKNOWN, *, slides: bool = False):
        """Takes the classes of the run, in its order, what the cells were taken from, and `slides`."""
        self._classes = tuple(classes)
        self._specimen = specimen
        self._slides = slides
        self._overall = _Tally()
        self._groups: dict[str, _Tally] = {}

    def add(self, record: Record) -> None:
        """Counts one image."""
        self._overall.add(record)
        if record.group:
            self._groups.setdefault(record.group, _Tally()).add(record)

    def differential(self, notes: Iterable[str] = ()) -> Differential:
        """The counts of all records so far; `notes` come before those of the counting itself."""
        overall = self._count("", self._overall)
        groups = tuple(self._count(name, tally) for name, tally in self._groups.items())
        found = Differential(self._classes, self._specimen, overall, groups, (), self._slides)
        own = (*_notes(overall, self._classes), *found.specimen_notes())
        return dataclasses.replace(found, notes=(*notes, *own))

    def _count(self, group: str, tally: _Tally) -> Count:
        return Count(
            group=group,
            images=tally.images,
            unreadable=tally.unreadable,
            left_to_person=tally.left.total(),
            outliers=tally.outliers,
            sure=shares(tally.sure, self._classes, self._specimen),
            everything=shares(tally.sure + tally.left, self._classes, self._specimen),
        )


def section_of(one: CellClass) -> str:
    """The section of a count that a class is shown in, a key of `SECTIONS`."""
    return "blasts" if one.blast and not one.lineage else one.lineage


def sections(classes: Sequence[CellClass]) -> dict[str, tuple[int, ...]]:
    """Section -> numbers of its classes, both in the order to show; what is not counted comes last."""
    found: dict[str, list[int]] = {}
    for number in display_order(classes):
        found.setdefault(section_of(classes[number]), []).append(number)
    names = sorted(found, key=lambda name: _LAST_SECTIONS.index(name) if name in _LAST_SECTIONS else -1)
    return {name: tuple(found[name]) for name in names}


def shares(cells: Mapping[int, int], classes: Sequence[CellClass], specimen: Specimen) -> Shares:
    """The differential count of some cells.

    Args:
      cells: number of a class -> number of its cells; 0 where it has no entry.
      classes: of the run, in its order.
      specimen: what the cells were taken from.
    """

    def count(belongs: Callable[[CellClass], bool]) -> int:
        return sum(cells.get(number, 0) for number, one in enumerate(classes) if belongs(one))

    nucleated = count(lambda one: one.lineage != "none")
    myeloid = count(lambda one: one.lineage == "myeloid")
    erythroid = count(lambda one: one.lineage == "erythroid")
    white = nucleated - erythroid
    total = nucleated if specimen.red_cells_counted else white
    blasts = count(lambda one: one.blast and _counts(one.lineage, specimen))
    lineages = {one.lineage for one in classes}
    gives_me = specimen.myeloid_erythroid and {"myeloid", "erythroid"} <= lineages
    return Shares(
        counted=total,
        nucleated=nucleated,
        white=white,
        classes=tuple(_line(one, cells.get(n, 0), total, specimen) for n, one in enumerate(classes)),
        sections={
            name: _part(name, sum(cells.get(n, 0) for n in numbers), total, specimen)
            for name, numbers in sections(classes).items()
        },
        myeloid_erythroid=ratio(myeloid, erythroid) if gives_me else None,
        red_per_100=(
            ratio(erythroid, white, per=100) if specimen.red_per_100 and "erythroid" in lineages else None
        ),
        blasts=share(blasts, total) if any(one.blast for one in classes) else None,
    )


def _counts(lineage: str, specimen: Specimen) -> bool:
    """Whether cells of that lineage, or section, are part of the whole that percentages refer to."""
    return lineage != "none" and (lineage != "erythroid" or specimen.red_cells_counted)


def _part(lineage: str, count: int, total: int, specimen: Specimen) -> Share:
    return share(count, total) if _counts(lineage, specimen) else no_share(count, total)


def _line(one: CellClass, count: int, total: int, specimen: Specimen) -> ClassCount:
    cells = _part(one.lineage, count, total, specimen)
    return ClassCount(one.code, one.name, one.lineage, one.blast, cells)


def _notes(overall: Count, classes: Sequence[CellClass]) -> Iterator[str]:
    """What holds of blood and of marrow."""
    yield (
        "The 95 % intervals cover which cells happened to be on the smear, not the network's mistakes: those "
        "are in the run's evaluation."
    )
    if overall.left_to_person:
        yield _left_to_a_person(overall.left_to_person, overall.images)
    if uncounted := [one.code for one in classes if one.lineage == "none"]:
        yield f"Not counted in the percentages: {', '.join(uncounted)}."
    if unknown := [one.code for one in classes if not (one.lineage or one.blast)]:
        yield (
            f"No lineage is known for: {', '.join(unknown)} (--classes=FILE); they count as white cells, and "
            "not as blasts."
        )


def _left_to_a_person(count: int, images: int) -> str:
    if count == images:
        return (
            f"All {images:,} images are left to a person: every percentage is the network's alone, and none "
            "is to be relied on before somebody has looked at the cells."
        )
    return (
        f"{count:,} of all {images:,} images are left to a person. They are no random part of the cells: "
        "look at them before relying on a percentage, with or without them."
    )


def _specimen_notes(
    overall: Count, groups: Sequence[Count], classes: Sequence[CellClass], specimen: Specimen
) -> Iterator[str]:
    """As `Differential.specimen_notes`; `groups` are patients, of each of whom enough cells are asked for."""
    yield red_cell_note([one.code for one in classes if one.lineage == "erythroid"], specimen)
    if few := _few(groups or (overall,), specimen):
        yield few


def red_cell_note(codes: Sequence[str], specimen: Specimen) -> str:
    """What becomes of nucleated red cells, the classes `codes`."""
    if not codes:
        lacking = "The run has no class of nucleated red cells: where there are some it takes them for others"
        ratio = "and its count has no M:E ratio" if specimen.red_cells_counted else "and not given per 100"
        return f"{lacking}, {ratio}."
    red = f"nucleated red cells ({', '.join(codes)})"
    if not specimen.name:
        return (
            f"It is not known whether this is blood or marrow: percentages are of all nucleated cells, {red} "
            f"among them, as in marrow. {REMEDY}: of blood they are of the white cells, and the M:E ratio "
            "means nothing."
        )
    if specimen.red_cells_counted:
        return f"Percentages are of all nucleated cells, {red} among them, as is usual for marrow."
    return f"White cells are all cells counted but the {red}, which are given per 100 of them."


def _few(counts: Sequence[Count], specimen: Specimen) -> str:
    """That fewer cells were counted than are recommended; empty where they were not."""
    short = [count.everything.counted for count in counts if count.everything.counted < specimen.recommended]
    if not short:
        return ""
    where = f"In {len(short)} of {len(counts)} groups" if len(counts) > 1 else "Here"
    least = f"{min(short)} to {max(short)}" if min(short) < max(short) else f"{short[0]}"
    return (
        f"{where} fewer {specimen.whole} were counted ({least}) than are recommended: "
        f"{specimen.recommendation}."
    )
