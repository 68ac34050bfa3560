"""Reading CSV files that people write: lists of images, tables of classes, class maps."""

import csv
import io
import os
import re
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path

from asae_jax.csv_cells import unguarded
from asae_jax.errors import UserError
from asae_jax.files import disk_errors, read_bounded, user_path
from asae_jax.input.file_kinds import START_BYTES, kind_of

_MOST_COLUMNS, _MOST_LINES = 1000, 5_000_000

Row = tuple[int, Mapping[str, str]]
"""(line the row starts on, from 1; column name -> value, stripped of spaces around it)."""


def read_rows(
    path: Path, *, required: Sequence[str], optional: Sequence[str] = (), also: Sequence[str] = ()
) -> tuple[frozenset[str], Iterator[Row]]:
    """Reads a comma-separated UTF-8 file with a header, with or without byte order mark.

    Where the header has semicolons and no comma, semicolons separate the values and a comma is a character
    like any other: so Excel saves CSV files where the decimal sign is a comma. A first line `sep=;` or
    `sep=,`, by which programs tell Excel what separates them, is followed.

    Column names may be in any case and order, and have spaces or hyphens for `_`; other columns and blank
    rows, before the header too, are ignored. Rows are parsed while iterating. The first value that looks like
    UTF-8 which a program took for Windows' western code page is warned of: to everybody else `MÃ¼ller` is
    another patient.

    Args:
      path: the file.
      required: columns that must be there, in lower case.
      optional: columns that may be there, in lower case.
      also: further ones, which messages do not name.

    Returns:
      Which of the named columns the file has, and the rows.

    Raises:
      UserError: naming file and line: not readable, not UTF-8, a column missing or there twice, a row of
        another length, broken quotes. Errors in rows are raised while iterating.
    """
    content = _content(path)
    records = _records(path, content)
    line, names = _header(path, records)
    for name in required:
        if name not in names and any(";" in heading for heading in names):
            remedy = "put the same between all values, in every line"
            raise fault(path, line, "columns are separated by commas and by semicolons", remedy)
        if name not in names:
            raise fault(path, line, f"column {name!r} is missing", _header_remedy(required, optional))
    known = frozenset(names).intersection([*required, *optional, *also])
    for name in sorted(known):
        if names.count(name) > 1:
            raise fault(path, line, f"column {name!r} is there twice", "keep one of them")
    separated_by = _separated_by(content)
    return known, _rows(path, records, names, known, separated_by=separated_by, told=content.isascii())


def files_of_labels(text: str, option: str) -> list[Path]:
    """The CSV files that a setting names, separated by commas; a name with a comma may stand alone.

    Raises:
      UserError: none is named, one does not exist, or is named twice.
    """
    whole = user_path(text)
    names = [text] if text and whole.is_file() else [name.strip() for name in text.split(",")]
    files = [user_path(name) for name in names if name]
    if not files:
        raise UserError(f"no labels are named: give the CSV file that the review page saved ({option}=FILE)")
    for file in files:
        if not file.is_file():
            raise UserError(
                f"{file} is not there: give CSV files with the columns path and label ({option}=)"
            )
    for number, file in enumerate(files):
        if any(file.samefile(other) for other in files[:number]):
            raise UserError(f"{file} is named twice: name it once ({option}=)")
    return files


def listed_file(folder: Path, name: str) -> str:
    """The file that a list in `folder` names, absolute; where there is none, a backslash is taken for `/`."""
    file = os.path.abspath(folder / name)
    other = os.path.abspath(folder / name.replace("\\", "/"))
    return other if not os.path.lexists(file) and os.path.lexists(other) else file


def other_columns(path: Path, used: Container[str]) -> list[str]:
    """The columns of a CSV file that are not in `used`, in lower case; unnamed ones are left out."""
    _, names = _header(path, _records(path, _content(path)))
    return [name for name in names if name and name not in used]


def _header(path: Path, records: Iterator[tuple[int, list[str]]]) -> tuple[int, list[str]]:
    line, header = next((record for record in records if any(map(str.strip, record[1]))), (1, []))
    if len(header) > _MOST_COLUMNS:
        what = f"{len(header):,} columns, more than {_MOST_COLUMNS:,}"
        raise fault(path, line, what, "keep those that are used")
    return line, [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in header]


def fault(path: Path, line: int, what: str, remedy: str) -> UserError:
    """The error to raise for a mistake in a file.

    Args:
      path: the file.
      line: of the mistake, from 1.
      what: is wrong.
      remedy: what the user can do, as a clause.
    """
    return UserError(f"{path}, line {line}: {what}: {remedy}")


def _rows(
    path: Path,
    records: Iterator[tuple[int, list[str]]],
    names: list[str],
    known: frozenset[str],
    *,
    separated_by: str,
    told: bool,
) -> Iterator[Row]:
    """The rows of values between which there is a "comma" or "semicolon"; `told`: no value is garbled, or one
    has been pointed out."""
    places = {name: place for place, name in enumerate(names) if name in known}
    for line, record in records:
        if not any(value.strip() for value in record):
            continue
        if len(record) < len(names) or any(value.strip() for value in record[len(names) :]):
            what = f"{len(record)} values for {len(names)} columns"
            raise fault(path, line, what, _length_remedy(record, len(names), separated_by))
        row = {name: unguarded(record[place].strip()) for name, place in places.items()}
        if not told:
            told = _warn_if_garbled(path, line, row)
        yield line, row


def _length_remedy(record: Sequence[str], columns: int, separated_by: str) -> str:
    """What to do about a row of too few or too many values."""
    if len(record) > columns:
        return f'put values that hold a {separated_by} into "quotes"'
    other = next(name for name in _SEPARATORS if name != separated_by)
    if len(_SEPARATORS[separated_by].join(record).split(_SEPARATORS[other])) == columns:
        return (
            f"the header has a {separated_by} between values, here is a {other}: put the same into every line"
        )
    return f"put a {separated_by} between all values, empty ones too"


_SHOWN = 40  # letters of a value in a warning


def _warn_if_garbled(path: Path, line: int, row: Mapping[str, str]) -> bool:
    """Points out a value of `row` that is UTF-8 in another encoding; returns whether there is one."""
    value = next(filter(_before_it_was_garbled, row.values()), "")
    if value:
        meant = _before_it_was_garbled(value)
        warnings.warn(
            f"{path}, line {line}: {value[:_SHOWN]} looks garbled, as by a spreadsheet that took UTF-8 for "
            f"another encoding: should it be {meant[:_SHOWN]}? Then correct it, and all others of the file; "
            "Excel reads UTF-8 by Data, From Text/CSV",
            stacklevel=1,  # one place for all callers: of a file that is read twice it is said once
        )
    return bool(value)


def _before_it_was_garbled(text: str) -> str:
    """What UTF-8 was written for, where `text` is its bytes as Windows' western code page; else nothing."""
    if text.isascii():
        return ""
    try:
        return b"".join(map(_windows_byte, text)).decode()
    except UnicodeError:
        return ""


def _windows_byte(letter: str) -> bytes:
    """The byte that Windows shows as `letter`; those without a letter it keeps, as U+0081 and so on."""
    return letter.encode("latin-1" if "\x80" <= letter < "\xa0" else "cp1252")


def _records(path: Path, content: bytes) -> Iterator[tuple[int, list[str]]]:
    lines = _lines(content)
    separated_by = _separated_by(content)
    passed = 1 if _declared(content) else 0
    for _ in range(passed):
        next(lines)
    reader = csv.reader(lines, delimiter=_SEPARATORS[separated_by], strict=True)
    while True:
        line = passed + reader.line_num + 1
        if line > _MOST_LINES:
            raise fault(path, line, f"more than {_MOST_LINES:,} lines", "divide it")
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise fault(
                path, line, f"no {separated_by}-separated values ({error})", "check its quotes"
            ) from error


def _lines(content: bytes) -> io.TextIOWrapper:
    """Line by line, with their ends: as text in memory it would be five times as large."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")


_SEPARATORS = {"comma": ",", "semicolon": ";"}
_DECLARATION = re.compile(r'"?sep=([,;])"?[\s,;]*', re.IGNORECASE)
"""The first line of what is written for Excel; a program that saves the file again may fill the row up."""


def _declared(content: bytes) -> str:
    """What the first line says is between values, a key of `_SEPARATORS`; empty where it does not say."""
    declaration = _DECLARATION.fullmatch(_lines(content).readline())
    return next((name for name, sign in _SEPARATORS.items() if declaration and declaration[1] == sign), "")


def _separated_by(content: bytes) -> str:
    """What is between values, a key of `_SEPARATORS`: as declared, else as the header has it."""
    if declared := _declared(content):
        return declared
    header = next((line for line in _lines(content) if re.search(r'[^\s,;"]', line)), "")
    between = re.sub(r'"[^"]*"', "", header)
    return "semicolon" if ";" in between and "," not in between else "comma"  # of both the comma


def _content(path: Path) -> bytes:
    with disk_errors(f"read {path}", remedy="give the path of a CSV file"):
        data = read_bounded(path)
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if kind := kind_of(data[:START_BYTES], path.name):
            raise UserError(f"{path} is {kind.name}, not a CSV file: {kind.remedy or _GIVE_CSV}") from error
        line = data.count(b"\n", 0, error.start) + 1
        raise fault(path, line, "not UTF-8", "save the file as CSV in UTF-8") from error
    return data


_GIVE_CSV = "list images in a CSV file"


def _header_remedy(required: Sequence[str], optional: Sequence[str]) -> str:
    columns = ",".join(required) + "".join(f"[,{name}]" for name in optional)
    return f"the first line names the columns, {columns}, separated by commas or by semicolons"
