"""What a class of cells is: full name, lineage, whether a blast, colour, and its place among the others.

`data/classes.csv` has the codes of the public sets that `data/` knows and of the drawn cells; the order of
its rows is the order in which people look at cells: by lineage, and in a lineage by maturity. The choices in
it:

- myeloid: granulocytes, monocytes and their precursors, with blasts that are called myeloid;
- erythroid: nucleated red precursors;
- blasts of no lineage (BM_cytomorphology's BLA, WBCBench's BL) count as blasts, and not as myeloid;
- an abnormal promyelocyte counts as a myeloid cell, not as a blast (in acute promyelocytic leukaemia it
  is the equivalent of one: a user's own file can say so);
- none: platelets, smudge cells, artefacts and what cannot be identified are left out of the whole that
  percentages refer to.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asae_jax import shipped
from asae_jax.csv_cells import CsvWriter
from asae_jax.files import atomic_text
from asae_jax.input.csv_rows import fault, read_rows
from asae_jax.input.index import name_fault
from asae_jax.input.unicode_form import composed

LINEAGES = ("myeloid", "erythroid", "lymphoid", "none", "")
COLUMNS = ("class", "name", "lineage", "blast", "colour")

_TRUTH = {"": False, "no": False, "yes": True}
_COLOUR = re.compile("#[0-9a-f]{6}")
_GREY = "#6b7280"

UNKNOWN_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Of classes that the table of classes does not know, one after another: the colours of Okabe and Ito ("Color
universal design", 2008), which colour-blind people tell apart."""


@dataclasses.dataclass(frozen=True)
class CellClass:
    """One class of cells.

    Attributes:
      code: what the data call it.
      name: its full name, such as "band neutrophil"; empty where it is not known.
      lineage: one of `LINEAGES`; "none" leaves the class out of the count, empty means not known.
      blast: whether its cells are blasts.
      place: among the rows of the file; classes are shown by it.
      colour: "#rrggbb".
      known: whether the file says anything of the class.
    """

    code: str
    name: str = ""
    lineage: str = ""
    blast: bool = False
    place: int = 0
    colour: str = _GREY
    known: bool = True

    @property
    def title(self) -> str:
        """Code and full name, such as "BNE band neutrophil"; once where they are the same."""
        return (
            self.code if plain_name(self.name) in ("", plain_name(self.code)) else f"{self.code} {self.name}"
        )


def cell_classes(class_names: Sequence[str], path: Path | None = None) -> tuple[CellClass, ...]:
    """What each class is, in the given order, by its code or else by its full name.

    Names are compared without regard to case and Unicode form, and with spaces and hyphens as underscores. Of
    several classes of one full name the first is taken.

    Args:
      class_names: of a run or a data set.
      path: a CSV file `class[,name][,lineage][,blast][,colour]`; `lineage` is one of `LINEAGES`, `blast` is
        yes, no or empty. None: the built-in one.

    Raises:
      UserError: with file and line: not such a file, an unknown lineage or colour, a class that is there
        twice, or one that is no name (see `name_fault`).
    """
    table = known_classes(path)
    full = {plain_name(one.name): one for one in reversed(table.values()) if one.name}
    unknown = CellClass("", place=len(table), known=False)
    found = [(full | table).get(plain_name(name), unknown) for name in class_names]
    return tuple(dataclasses.replace(one, code=name) for one, name in zip(found, class_names, strict=True))


def known_classes(path: Path | None = None) -> dict[str, CellClass]:
    """Every class that a file names, by `plain_name`; see `cell_classes`."""
    file = path or shipped.data_folder() / "classes.csv"
    _, rows = read_rows(file, required=("class",), optional=COLUMNS[1:])
    table: dict[str, CellClass] = {}
    for line, row in rows:
        key = plain_name(row["class"])
        if not key:
            raise fault(file, line, "the class has no name", "name it, or delete the line")
        if key in table:
            raise fault(file, line, f"class {row['class']} is there twice", "keep one of the lines")
        if found := name_fault("class", row["class"]):
            raise fault(file, line, *found)
        if found := name_fault("name", row.get("name", "")):
            raise fault(file, line, found[0], "write the name, or leave it empty")
        table[key] = _cell_class(file, line, row, place=len(table))
    return table


def _cell_class(path: Path, line: int, row: Mapping[str, str], *, place: int) -> CellClass:
    colour = row.get("colour", "").lower() or _GREY
    if not _COLOUR.fullmatch(colour):
        raise fault(
            path, line, f"unknown colour {row['colour']!r}", "write it like #1d3f8f, or leave it empty"
        )
    name = row.get("name", "")
    lineage = _one_of(path, line, row, "lineage", LINEAGES)
    blast = _TRUTH[_one_of(path, line, row, "blast", tuple(_TRUTH))]
    known = bool(name or lineage or blast)
    return CellClass(row["class"], name, lineage, blast, place, colour, known)


def _one_of(path: Path, line: int, row: Mapping[str, str], column: str, choices: tuple[str, ...]) -> str:
    value = row.get(column, "").lower()
    if value not in choices:
        known = ", ".join(choice for choice in choices if choice)
        raise fault(path, line, f"unknown {column} {row[column]!r}", f"use one of {known}, or leave it empty")
    return value


def plain_name(name: str) -> str:
    """A class name as it is compared: "Plasma cell" and "plasma-cell" are one, in any Unicode form."""
    return composed(name).strip().lower().replace(" ", "_").replace("-", "_")


def display_order(classes: Iterable[CellClass]) -> tuple[int, ...]:
    """Numbers of the classes in the order to show them: by place, those that no file names last, as given."""
    listed = list(classes)
    return tuple(sorted(range(len(listed)), key=lambda n: listed[n].place))


def shown_colours(classes: Sequence[CellClass]) -> dict[str, str]:
    """Code -> "#rrggbb" of each class, in the order to show them; unknown ones get `UNKNOWN_COLOURS`."""
    ordered = [classes[number] for number in display_order(classes)]
    unknown = [one.code for one in ordered if not one.known]
    others = {code: UNKNOWN_COLOURS[place % len(UNKNOWN_COLOURS)] for place, code in enumerate(unknown)}
    return {one.code: others.get(one.code, one.colour) for one in ordered}


def write_classes(path: Path, classes: Sequence[CellClass]) -> None:
    """Writes what `known_classes` reads, in display order.

    Raises:
      OSError: it cannot be written.
    """
    with atomic_text(path) as file:
        writer = CsvWriter(file)
        writer.writerow(COLUMNS)
        for number in display_order(classes):
            one = classes[number]
            writer.writerow([one.code, one.name, one.lineage, "yes" if one.blast else "", one.colour])
