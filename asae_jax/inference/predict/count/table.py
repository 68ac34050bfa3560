"""A differential count as a table: what the terminal, the page and its paper show of it.

The same table is made by the page's script (`web/tally.js`), which counts again when a person labels a cell
or says what the specimen is; a test holds the two together.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from asae_jax.inference.predict.count.differential import SECTIONS, Shares, sections
from asae_jax.inference.predict.count.intervals import Ratio, Share, percent, ratio_text
from asae_jax.inference.predict.count.specimen import Specimen
from asae_jax.input.cell_classes import CellClass, plain_name

SCALES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares at which the bars of a table may end."""


@dataclasses.dataclass(frozen=True)
class TableCell:
    """What a row says of one count.

    Attributes:
      number: of cells; empty where the row has none.
      text: share or ratio with its interval; empty where there is none.
      bar: share and bounds of its interval, 0..1; None where the row has none.
    """

    number: str
    text: str
    bar: tuple[float, float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
      kind: "section" (a heading, with the sum of its classes where there are several), "class" or "line"
        (below the classes).
      name: code of a class, title of a section or a line.
      full_name: of a class; empty where it is not known or says nothing more.
      colour: of a class, "#rrggbb"; else empty.
      cells: one for each count.
    """

    kind: str
    name: str
    full_name: str
    colour: str
    cells: tuple[TableCell, ...]


def rows(counts: Sequence[Shares], classes: Sequence[CellClass], specimen: Specimen) -> list[Row]:
    """The rows of a table with a column for each count.

    Args:
      counts: of the same classes.
      classes: of the run, in its order; the rows are in the order to show.
      specimen: what the cells were taken from.
    """
    return [*_class_rows(counts, classes), *_line_rows(counts, specimen)]


def _class_rows(counts: Sequence[Shares], classes: Sequence[CellClass]) -> Iterator[Row]:
    for section, numbers in sections(classes).items():
        several = len(numbers) > 1
        yield Row("section", SECTIONS[section], "", "", tuple(
            _cell(one.sections[section], bar=False) if several else TableCell("", "") for one in counts
        ))  # fmt: skip
        for number in numbers:
            one = classes[number]
            full = "" if plain_name(one.name) == plain_name(one.code) else one.name
            cells = tuple(_cell(count.classes[number].cells) for count in counts)
            yield Row("class", one.code, full, one.colour, cells)


def _line_rows(counts: Sequence[Shares], specimen: Specimen) -> Iterator[Row]:
    if blasts := [count.blasts for count in counts if count.blasts is not None]:
        yield _line("blasts", [_cell(one) for one in blasts])
    if ratios := [one.myeloid_erythroid for one in counts if one.myeloid_erythroid is not None]:
        name = "M:E ratio" if specimen.name else "M:E ratio, if this is marrow"
        yield _line(name, [_ratio(one, "no erythroid cell") for one in ratios])
    if ratios := [one.red_per_100 for one in counts if one.red_per_100 is not None]:
        name = "nucleated red cells per 100 white cells"
        name += "" if specimen.name else ", if this is blood"
        yield _line(name, [_ratio(one, "no white cell") for one in ratios])
    yield _line(f"{specimen.whole} counted", [TableCell(f"{one.counted:,}", "") for one in counts])


def _line(name: str, cells: Sequence[TableCell]) -> Row:
    return Row("line", name, "", "", tuple(cells))


def _cell(share: Share, *, bar: bool = True) -> TableCell:
    bounds = None
    if bar and share.share is not None and share.low is not None and share.high is not None:
        bounds = (share.share, share.low, share.high)
    return TableCell(f"{share.count:,}", percent(share), bounds)


def _ratio(ratio: Ratio, none_below: str) -> TableCell:
    return TableCell("", ratio_text(ratio, none_below=none_below))


def scale(table: Sequence[Row]) -> float:
    """The share at which all bars of a table end: the smallest of `SCALES` that holds every interval."""
    highest = max((cell.bar[2] for row in table for cell in row.cells if cell.bar), default=0.0)
    return next(end for end in SCALES if highest <= end or end == SCALES[-1])


def text_table(heads: Sequence[str], table: Sequence[Row]) -> Iterator[str]:
    """The lines of a table in a terminal.

    Args:
      heads: title of each count.
      table: see `rows`.
    """
    indents = {"section": "  ", "class": "    ", "line": "  "}
    names = [f"{indents[row.kind]}{row.name} {row.full_name}".rstrip() for row in table]
    texts = [[_text(cell) for cell in row.cells] for row in table]
    first = max(map(len, names)) + 2
    widths = [max(map(len, column)) + 3 for column in zip(heads, *texts, strict=True)]
    for name, line in zip(["", *names], [list(heads), *texts], strict=True):
        cells = "".join(f"{text:{width}}" for text, width in zip(line, widths, strict=True))
        yield f"{name:{first}}{cells}".rstrip()


def _text(cell: TableCell) -> str:
    """Numbers stand below each other; a ratio has none."""
    return f"{cell.number:>6}  {cell.text}".rstrip()
