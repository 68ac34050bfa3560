"""What `predict` is asked to look at: a folder, a glob pattern, a CSV file, an image, or standard input."""

import dataclasses
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from asae_jax.errors import UserError
from asae_jax.files import IMAGE_EXTENSIONS, is_image_name, user_path, walk
from asae_jax.input.manifest import GROUP_COLUMNS, group_column, read_rows

STANDARD_INPUT = "-"


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One image to predict; whether it can be read is found out later.

    Attributes:
      path: as the input names it.
      file: where it is, absolute; empty where the input has an empty path.
      group: slide, patient or first-level folder; empty where there is none.
    """

    path: str
    file: str
    group: str = ""


def read_input(text: str, *, lines: Iterable[str] | None = None) -> list[Item]:
    """The images that `predict.input` names, in its order; none is opened.

    Args:
      text: a folder (its images at any depth, sorted by path; an image's group is the folder directly below
        `text`), a glob pattern with `**` for any depth (sorted), a CSV file with a column `path` relative to
        the file's folder and perhaps a column `group`, `patient` or another of `GROUP_COLUMNS`, one image
        file, or "-".
      lines: paths, one per line, for "-"; standard input where None. Blank lines are passed over.

    Raises:
      UserError: `text` names nothing that exists, a CSV file that cannot be read, or no image.
    """
    if not text:
        raise UserError(
            "nothing to predict: give --input=DIR, a pattern in quotes, a CSV file with a column path, or -"
        )
    items = _items(text, lines)
    if not items:
        raise UserError(f"no image in {text}: give a folder, pattern or list with {_KINDS} files (--input=)")
    return items


def input_name(text: str) -> str:
    """What output files are named after when their name is not given."""
    if text == STANDARD_INPUT:
        return "stdin"
    path = user_path(text)
    parts = Path(os.path.abspath(path)).parts  # of what exists, brackets are no pattern
    name = Path(parts[-1] if path.exists() else [part for part in parts if not glob.has_magic(part)][-1])
    return (name.stem if path.is_file() else name.name) or "images"


_KINDS = " ".join(sorted(IMAGE_EXTENSIONS))


def _items(text: str, lines: Iterable[str] | None) -> list[Item]:
    if text == STANDARD_INPUT:
        return list(_from_lines(sys.stdin if lines is None else lines))
    path = user_path(text)
    if path.is_dir():
        return [
            _in_folder(path, name) for name in sorted(found.name for found in walk(path) if found.is_image)
        ]
    if path.is_file():
        if is_image_name(path.name):
            return [_item(text)]
        return list(_from_csv(path))
    if glob.has_magic(text):
        found = sorted(glob.glob(str(path), recursive=True))
        return [_item(name) for name in found if is_image_name(name) and os.path.isfile(name)]
    raise UserError(f"{text} does not exist: give a folder, a pattern in quotes, a CSV file or - (--input=)")


def _item(path: str, group: str = "") -> Item:
    return Item(path, os.path.abspath(os.path.expanduser(path)), group)


def _from_lines(lines: Iterable[str]) -> Iterator[Item]:
    for line in lines:
        if path := line.rstrip("\r\n"):
            yield _item(path)


def _from_csv(path: Path) -> Iterator[Item]:
    columns, rows = read_rows(path, required=("path",), optional=("group",), also=GROUP_COLUMNS)
    group = group_column(columns)
    for _, row in rows:
        # An empty path makes one bad image; the others are still predicted.
        file = os.path.abspath(path.parent / row["path"]) if row["path"] else ""
        yield Item(row["path"], file, row.get(group, ""))


def _in_folder(folder: Path, name: str) -> Item:
    return _item(str(folder / name), name.split("/")[0] if "/" in name else "")
