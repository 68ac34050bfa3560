"""Rows of CSV files that a spreadsheet may open: no cell is taken for a formula.

Spreadsheets in languages with a decimal comma, such as German and French, split CSV files at semicolons, and
take a quotation mark inside of a field for a letter: there a cell begins also behind each semicolon, tab or
line end of a text.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any


class CsvWriter:
    """Writes rows of a CSV file; what a spreadsheet would take for a formula begins with an apostrophe.

    Names of files, classes and patients come from others, and laboratories open results in spreadsheets.
    """

    def __init__(self, file: IO[str]):
        """Takes a file of `open_text` or `atomic_text`."""
        self._writer = csv.writer(file)

    def writerow(self, row: Iterable[Any]) -> None:
        """Writes one row."""
        self._writer.writerow([guarded(value) if isinstance(value, str) else value for value in row])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Writes several rows."""
        for row in rows:
            self.writerow(row)


def csv_records(file: IO[str]) -> Iterator[list[str]]:
    """The rows that `CsvWriter` wrote.

    Raises:
      csv.Error: no comma-separated values.
    """
    return ([unguarded(cell) for cell in row] for row in csv.reader(file))


def guarded(text: str) -> str:
    """`text` as a cell of a CSV file, which no spreadsheet takes for a formula; `unguarded` gives `text`.

    An apostrophe goes before every formula: at the beginning, and behind semicolons, tabs and line ends. A
    sign alone does nothing at the beginning: +, -1 and CD34+ stay as they are.
    """
    return _BEFORE_A_FORMULA.sub(r"\g<0>'", text)


def unguarded(cell: str) -> str:
    """What `guarded` was given."""
    return _GUARDED.sub(r"\g<place>", cell)


_BLANK = r"""(?:(?![;\t\r\n])[\s"])"""  # behind a semicolon "" is an empty quotation, and what follows counts
_BEFORE_A_FORMULA = re.compile(rf"\A(?='*{_BLANK}*(?:[=@]|[+-](?s:.*)[(|!]))|[;\t\r\n](?='*{_BLANK}*[=@+-])")
# Apostrophes may stand before a formula already: with one more or one less it is recognised as well, so that
# each of the two undoes the other.
_GUARDED = re.compile(f"(?P<place>{_BEFORE_A_FORMULA.pattern})'")
