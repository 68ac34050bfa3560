"""CSV files that people write: rows by column name, each with the line it starts on."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from asae_jax.errors import UserError

Row = tuple[int, Mapping[str, str]]
"""(line the row starts on, from 1; column name -> value, stripped of spaces around it)."""


def read_rows(
    path: Path, *, required: Sequence[str], optional: Sequence[str] = ()
) -> tuple[frozenset[str], Iterator[Row]]:
    """The rows of a comma-separated UTF-8 file with a header, with or without byte order mark.

    Column names count in any case and order; other columns and blank rows are passed over. Rows are
    read as the iterator goes on.

    Args:
      path: the file.
      required: columns that must be there.
      optional: columns that may be there.

    Returns:
      Which of the named columns there are, and the rows.

    Raises:
      UserError: naming file and line: not readable, not UTF-8, a column missing or there twice, a row of
        another length, broken quotes. What a row holds may raise while iterating.
    """
    records = _records(path, _text(path))
    line, header = next(records, (1, []))
    names = [name.strip().lower() for name in header]
    for name in required:
        if name not in names:
            raise fault(path, line, f"column {name!r} is missing", _header_remedy(required, optional))
    known = frozenset(names).intersection([*required, *optional])
    for name in sorted(known):
        if names.count(name) > 1:
            raise fault(path, line, f"column {name!r} is there twice", "keep one of them")
    return known, _rows(path, records, names, known)


def fault(path: Path, line: int, what: str, remedy: str) -> UserError:
    """The error for something wrong in `line` of `path`."""
    return UserError(f"{path}, line {line}: {what}: {remedy}")


def _rows(
    path: Path, records: Iterator[tuple[int, list[str]]], names: list[str], known: frozenset[str]
) -> Iterator[Row]:
    for line, record in records:
        if not any(value.strip() for value in record):
            continue
        if len(record) < len(names) or any(value.strip() for value in record[len(names) :]):
            what = f"{len(record)} values for {len(names)} columns"
            raise fault(path, line, what, 'put values that hold a comma into "quotes"')
        yield line, {name: record[names.index(name)].strip() for name in known}


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise fault(path, line, f"no comma-separated values ({error})", "check its quotes") from error


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): give the path of a CSV file") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise fault(path, line, "not UTF-8", "save the file as CSV in UTF-8") from error


def _header_remedy(required: Sequence[str], optional: Sequence[str]) -> str:
    columns = ",".join(required) + "".join(f"[,{name}]" for name in optional)
    return f"the first line names the columns, {columns}, separated by commas"
