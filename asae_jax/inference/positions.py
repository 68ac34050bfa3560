"""Where a cell lies on its slide: the columns `slide,x,y[,width,height]` of a CSV file that lists images.

Coordinates are pixels of the slide, or of the field's photograph, at full resolution, counted from its upper
left corner, x to the right and y down: QuPath's own. They are those that the file stores, whatever
orientation it states. With a width and a height, x and y are the upper left corner of the rectangle that was
cut out; without, they are the middle of the cell.
"""

import dataclasses
import re
import warnings
from collections.abc import Container, Mapping
from pathlib import Path
from typing import NoReturn

from asae_jax.input.csv_rows import fault

COLUMNS = ("slide", "x", "y", "width", "height")

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LARGEST = 1e9  # pixels; the largest slides have less than a million along a side
_WHERE = "x and y are pixels from the slide's upper left corner, such as 1204 or 1204.5"


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """Where one cell lies.

    Attributes:
      slide: name of the slide or field, not empty.
      x: pixels, of the left side where there is a width, else of the middle.
      y: pixels, of the upper side where there is a height, else of the middle.
      width: pixels, above 0; None where only the middle is known.
      height: the same.
    """

    slide: str
    x: float
    y: float
    width: float | None = None
    height: float | None = None

    def columns(self) -> dict[str, str | int | float | None]:
        """The value of each of `COLUMNS`; whole numbers as such, None for what is not known."""
        return {name: _plain(getattr(self, name)) for name in COLUMNS}

    def __str__(self) -> str:
        """ "x 1204, y 87 of slide S1", as people read it."""
        return f"x {_plain(self.x)}, y {_plain(self.y)} of slide {self.slide}"

    def corners(self) -> tuple[float, float, float, float] | None:
        """Left, upper, right and lower side of the rectangle; None where only the middle is known."""
        if self.width is None or self.height is None:
            return None
        return self.x, self.y, self.x + self.width, self.y + self.height


class PositionReader:
    """Reads the positions of a CSV file's rows, one after another, and refuses what cannot be one."""

    def __init__(self, path: Path, columns: Container[str]):
        """Takes the file, for messages, and the columns that it has.

        Without a column `slide` there are no positions (`embed` writes x and y that are none): columns x
        and y are then left out with a warning.

        Raises:
          UserError: only some of the columns that belong together.
        """
        self._path, self._first = path, dict[Position, int]()
        self._rectangles = "width" in columns or "height" in columns
        located = "x" in columns or "y" in columns or self._rectangles
        self.available = located and "slide" in columns
        if not located:
            return
        if not self.available:
            warnings.warn(
                f"columns x, y, width, height of {path.name} are not used: a column slide would say of what",
                stacklevel=3,
            )
            return
        for name in ("x", "y", *(("width", "height") if self._rectangles else ())):
            if name not in columns:
                raise fault(
                    path, 1, f"column {name!r} is missing", f"a position is slide,x,y or {','.join(COLUMNS)}"
                )

    def __call__(self, line: int, row: Mapping[str, str]) -> Position | None:
        """The position of a row; None where it leaves all numbers empty.

        Raises:
          UserError: naming file and line: no slide, no number, a number that is not finite, a width or height
            of 0 or less, a cell outside of the slide, or a place where another row has its cell.
        """
        names = COLUMNS[1:] if self._rectangles else COLUMNS[1:3]
        if not self.available or not any(row[name] for name in names):
            return None
        if not row["slide"]:
            self._refuse(line, "a position without a slide", "name the slide, or leave x and y empty")
        x, y = (self._number(line, row, name) for name in COLUMNS[1:3])
        width, height = self._size(line, row) if self._rectangles else (None, None)
        position = Position(row["slide"], x, y, width, height)
        if x + (width or 0) / 2 < 0 or y + (height or 0) / 2 < 0:
            self._refuse(line, "the cell's middle lies outside of the slide", _WHERE)
        if (first := self._first.setdefault(position, line)) != line:
            self._refuse(line, f"the same place as in line {first}", "list every cell once")
        return position

    def _size(self, line: int, row: Mapping[str, str]) -> tuple[float | None, float | None]:
        if not row["width"] and not row["height"]:
            return None, None
        sides = [self._number(line, row, name) for name in COLUMNS[3:]]
        for name, side in zip(COLUMNS[3:], sides, strict=True):
            if side <= 0:
                self._refuse(
                    line, f"{name} is {row[name]}", "give pixels above 0, or leave width and height empty"
                )
        return sides[0], sides[1]

    def _number(self, line: int, row: Mapping[str, str], name: str) -> float:
        text = row[name]
        if not _NUMBER.fullmatch(text) or abs(float(text)) > _LARGEST:
            self._refuse(line, f"{name} is {text or 'empty'}, not a number of pixels", _WHERE)
        return float(text)

    def _refuse(self, line: int, what: str, remedy: str) -> NoReturn:
        raise fault(self._path, line, what, remedy)


def _plain(value: str | float | None) -> str | int | float | None:
    return int(value) if isinstance(value, float) and value.is_integer() else value
