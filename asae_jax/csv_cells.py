"""Rows of CSV files that a spreadsheet may open: no cell is taken for a formula."""

import csv
from collections.abc import Iterable, Iterator
from typing import IO, Any


class CsvWriter:
    """Writes rows of a CSV file; text that a spreadsheet would take for a formula begins with an apostrophe.

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

    A sign alone does nothing: +, -1 and CD34+ stay as they are.
    """
    return f"'{text}" if _is_formula(text.lstrip("'")) else text


def unguarded(cell: str) -> str:
    """What `guarded` was given."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell.lstrip("'")) else cell


def _is_formula(text: str) -> bool:
    text = text.lstrip()
    return text.startswith(("=", "@")) or (text.startswith(("+", "-")) and bool(set(text) & set("(|!")))
