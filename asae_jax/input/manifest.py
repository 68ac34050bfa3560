"""Data-set index of a CSV file that lists images; and reading CSV files that people write."""

import csv
import dataclasses
import io
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.files import LEFTOVER, disk_errors, leftover_in, user_path
from asae_jax.input.decode import read_image
from asae_jax.input.index import DataIndex
from asae_jax.input.kinds import START_BYTES, kind_of
from asae_jax.input.split import SPLIT_NAMES

Row = tuple[int, Mapping[str, str]]
"""(line the row starts on, from 1; column name -> value, stripped of spaces around it)."""


def manifest_index(path: str | os.PathLike) -> DataIndex:
    """The images that a CSV file `path,label[,group][,split]` lists, in its order.

    Paths are relative to the folder of the CSV file. Classes are the labels, sorted. Missing files are
    listed in `DataIndex.skipped` with their line; no image is opened. `split` is train, val, validation or
    test, in any case.

    Args:
      path: the CSV file, UTF-8 with or without byte order mark.

    Raises:
      UserError: naming file and line: not such a file (see `read_rows`), an empty path, label or
        group, unprintable characters in a label or group, an unknown split, a path listed twice; or no
        row, or no file that exists.
    """
    file = user_path(path)
    columns, rows = read_rows(file, required=("path", "label"), optional=("group", "split"))
    entries = [_entry(file, line, row) for line, row in rows]
    _refuse_duplicates(file, entries)
    present = [entry for entry in entries if not entry.fault]
    if not present:
        first = f"; the first, in line {entries[0].line}: {entries[0].fault}" if entries else ""
        raise UserError(
            f"{file} lists {len(entries)} images and none can be found{first}: "
            f"list images by their path relative to {file.parent.absolute()}"
        )
    class_names = tuple(sorted({entry.label for entry in entries}))
    numbers = {name: number for number, name in enumerate(class_names)}
    names = np.array([entry.name for entry in present])
    return DataIndex(
        source="csv",
        class_names=class_names,
        names=names,
        labels=np.array([numbers[entry.label] for entry in present], np.int32),
        read=lambda row: read_image(file.parent / names[row]),
        groups=np.array([entry.group for entry in present]) if "group" in columns else None,
        splits=np.array([entry.split for entry in present]) if "split" in columns else None,
        sizes=np.array([entry.size for entry in present], np.int64),
        modified=np.array([entry.modified for entry in present], np.int64),
        skipped=tuple((e.name, f"{e.fault} (line {e.line} of {file.name})") for e in entries if e.fault),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    line: int
    name: str
    label: str
    group: str
    split: str
    size: int
    modified: int
    fault: str  # why there is no such image; empty where there is


def _entry(file: Path, line: int, row: Mapping[str, str]) -> _Entry:
    for column in row.keys() - {"split"}:
        if not row[column]:
            raise fault(file, line, f"empty {column}", f"every image needs a {column}")
    for column in row.keys() & {"label", "group"}:
        if not row[column].isprintable():
            raise fault(file, line, f"unprintable characters in {column} {row[column]!r}", "remove them")
    split = SPLIT_NAMES.get(row.get("split", "train").lower())
    if split is None:
        raise fault(file, line, f"unknown split {row['split']!r}", f"use one of {', '.join(SPLIT_NAMES)}")
    name = os.path.normpath(row["path"])
    size, modified, missing = _status(file.parent / name)
    if piece := leftover_in(name):
        missing = f"{LEFTOVER} ({piece})"
    return _Entry(line, name, row["label"], row.get("group", ""), split, size, modified, missing)


def _status(path: Path) -> tuple[int, int, str]:
    """Size and modification time of an image file, or the reason why it has none."""
    try:
        status = path.stat()
    except ValueError:  # a null character
        return 0, 0, "not a path"
    except OSError as error:
        return 0, 0, f"missing ({error.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return 0, 0, "not a file"
    return status.st_size, status.st_mtime_ns, ""


def _refuse_duplicates(file: Path, entries: list[_Entry]) -> None:
    lines: dict[str, int] = {}
    for entry in entries:
        first = lines.setdefault(entry.name, entry.line)
        if first != entry.line:
            raise fault(file, entry.line, f"{entry.name} is listed already in line {first}", "list it once")


def read_rows(
    path: Path, *, required: Sequence[str], optional: Sequence[str] = ()
) -> tuple[frozenset[str], Iterator[Row]]:
    """Reads a comma-separated UTF-8 file with a header, with or without byte order mark.

    Column names may be in any case and order; other columns and blank rows are ignored. Rows are parsed
    while iterating.

    Args:
      path: the file.
      required: columns that must be there, in lower case.
      optional: columns that may be there, in lower case.

    Returns:
      Which of the named columns the file has, and the rows.

    Raises:
      UserError: naming file and line: not readable, not UTF-8, a column missing or there twice, a row of
        another length, broken quotes. Errors in rows are raised while iterating.
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
    """The error to raise for a mistake in a file.

    Args:
      path: the file.
      line: of the mistake, from 1.
      what: is wrong.
      remedy: what the user can do, as a clause.
    """
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
    with disk_errors(f"read {path}", remedy="give the path of a CSV file"):
        data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if kind := kind_of(data[:START_BYTES], path.name):
            raise UserError(f"{path} is {kind.name}, not a CSV file: {kind.remedy or _GIVE_CSV}") from error
        line = data.count(b"\n", 0, error.start) + 1
        raise fault(path, line, "not UTF-8", "save the file as CSV in UTF-8") from error


_GIVE_CSV = "list images in a CSV file"


def _header_remedy(required: Sequence[str], optional: Sequence[str]) -> str:
    columns = ",".join(required) + "".join(f"[,{name}]" for name in optional)
    return f"the first line names the columns, {columns}, separated by commas"
