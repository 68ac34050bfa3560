"""A CSV file that lists images with their labels, as a table of examples."""

import dataclasses
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.decode import read_image
from asae_jax.input.rows import fault, read_rows
from asae_jax.input.split import SPLIT_NAMES
from asae_jax.input.table import Table


def manifest_table(path: str | os.PathLike) -> Table:
    """The images that a CSV file `path,label[,group][,split]` lists, in its order.

    Paths are relative to the folder of the CSV file. Classes are the labels, sorted. Files that are
    missing are listed in `Table.skipped` with their line; none is opened. `split` is train, val or
    validation, or test, in any case.

    Args:
      path: the CSV file, UTF-8 with or without byte order mark.

    Raises:
      UserError: naming file and line: not such a file (see `rows.read_rows`), an empty path, label or
        group, unprintable characters in a label or group, an unknown split, a path listed twice; or no
        row, or no file that exists.
    """
    file = Path(path).expanduser()
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
    return Table(
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
