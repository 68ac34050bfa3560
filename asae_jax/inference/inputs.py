"""Images that a command is given: a folder, a glob pattern, a CSV file, an image, or standard input."""

import dataclasses
import glob
import itertools
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.folders import IMAGE_EXTENSIONS, LEFTOVER, is_image_name, is_leftover, leftover_in, walk
from asae_jax.inference.positions import COLUMNS as POSITION_COLUMNS
from asae_jax.inference.positions import Position, PositionReader
from asae_jax.input.cell_classes import plain_name
from asae_jax.input.csv_rows import fault, listed_file, other_columns, read_rows
from asae_jax.input.file_kinds import file_kind, is_unread_image
from asae_jax.input.groups import NO_GROUP, in_one_form
from asae_jax.input.index import name_fault
from asae_jax.input.manifest import (
    GROUP_COLUMNS,
    PROVENANCE,
    SLIDE,
    SLIDE_COLUMNS,
    SMEAR,
    group_column,
)

STANDARD_INPUT = "-"

MAY_BE_SEVERAL = "may be several cells"
"""What `cut` writes into the column `note` of its list."""


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One image of an input; whether it can be read is found out later.

    Attributes:
      path: as the input names it.
      file: where it is, absolute; empty where the input has an empty path.
      group: slide, patient or first-level folder; empty where there is none.
      fault: why it is not to be read, as a list may name what a folder would pass over; empty where it is.
      position: where the cell lies on its slide; None where the input does not tell.
      several: whether it may show several cells, as `cut` could not divide them.
      of_slide: whether `group` is a slide or a field, as the input names no patient.
      slide: where it names one, what it says of the slide or field besides; empty where that is nothing.
    """

    path: str
    file: str
    group: str = ""
    fault: str = ""
    position: Position | None = None
    several: bool = False
    of_slide: bool = False
    slide: str = ""


def read_input(text: str, *, lines: Iterable[str] | None = None) -> list[Item]:
    """The images that an input such as `predict.input` names, in its order; none is opened.

    Args:
      text: a folder (its images at any depth, sorted by path, those of kinds that are not read as well, so
        that each has a row; an image's group is the folder directly below `text`), a glob pattern with `**`
        for any depth (sorted), a CSV file with a column `path` relative to the file's folder and perhaps a
        column `group`, `patient` or another of `GROUP_COLUMNS`, and the columns of a position (`Position`),
        one image file, or "-".
      lines: paths, one per line, for "-"; standard input where None. Blank lines are passed over.

    Raises:
      UserError: `text` names nothing that exists, a folder that holds what `cut` wrote, a CSV file that
        cannot be read, a position or the name of a group that cannot be one, or no image.
    """
    if not text:
        raise UserError(
            "no images are named: give --input=DIR, a pattern in quotes, a CSV file with a column path, or -"
        )
    items = _items(text, lines)
    if not items:
        raise UserError(f"no image in {text}: give a folder, pattern or list with {_KINDS} files (--input=)")
    return _patients_in_one_form(items)


def _patients_in_one_form(items: list[Item]) -> list[Item]:
    """A patient or slide whose name comes in two Unicode forms is one."""
    named = [name for item in items for name in (item.group, item.position.slide if item.position else "")]
    groups = in_one_form(np.array(named, np.str_)).tolist()
    if groups == named:
        return items
    return [
        dataclasses.replace(
            item, group=group, position=item.position and dataclasses.replace(item.position, slide=slide)
        )
        for item, group, slide in zip(items, groups[::2], groups[1::2], strict=True)
    ]


def group_column_of(items: Iterable[Item]) -> str:
    """What outputs call the column of the groups of `items`, to be read as it was; empty for no groups.

    Slides and fields are not to become patients. Where the column `slide` tells the field in which a cell
    lies, and groups are wider, these are smears.
    """
    grouped = [item for item in items if item.group]
    if not any(item.of_slide for item in grouped):
        return "group" if grouped else ""
    fields = (item.position is None or item.group == item.position.slide for item in grouped)
    return SLIDE if all(fields) else SMEAR


def class_folders(text: str, items: Iterable[Item], class_names: Iterable[str]) -> dict[str, str]:
    """Folders directly below the input that are classes -> the class, as the run calls it.

    They are where two of them, or the only one, have the name of a class of the run, however it is spelled
    (`plain_name`): one patient among several may be called as a class. Else there is none.

    Args:
      text: the input that `items` were read from.
      items: its images.
      class_names: of the run.
    """
    if not text or not user_path(text).is_dir():
        return {}
    names = {item.group for item in items if item.group}
    known = {plain_name(name): name for name in class_names}
    classes = {name: known[plain_name(name)] for name in names if plain_name(name) in known}
    return classes if len(classes) > 1 or classes.keys() == names else {}


def without_class_folders(text: str, items: list[Item], class_names: Iterable[str]) -> list[Item]:
    """`items` without groups, and a warning, where these are folders of classes, see `class_folders`.

    Args:
      text: the input they were read from.
      items: its images.
      class_names: of the run.
    """
    classes = class_folders(text, items, class_names)
    if not classes:
        return items
    warnings.warn(
        f"folders of {text} have the names of classes ({', '.join(sorted(classes)[:_NAMED])}): none is taken "
        "for a patient or slide",
        stacklevel=2,
    )
    return [dataclasses.replace(item, group="") for item in items]


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
        _warn_of_hidden(path, text)
        names = sorted(found.name for found in walk(path))
        _refuse_cut(names, path)
        return [_in_folder(path, name) for name in _images(names, path, text)]
    if path.is_file():
        return _from_file(text, path)
    if glob.has_magic(text) and not path.exists():
        return [_item(name) for name in _images(_matches(path), Path(), text)]
    if path.exists():
        raise UserError(f"{text} is a pipe, socket or device: give the paths on standard input (--input=-)")
    raise UserError(f"{text} does not exist: give a folder, a pattern in quotes, a CSV file or - (--input=)")


def _refuse_cut(names: Sequence[str], folder: Path) -> None:
    """Raises a UserError where `names` below `folder` hold what `cut` wrote: outlined fields are no cells.

    And its folder of cells is no patient; the list knows theirs, and the positions.
    """
    there = set(names)
    for name in (one for one in names if one.split("/")[-1] == _OF_CUT[0]):
        place = name.removesuffix(_OF_CUT[0])
        outlines = f"{place}{_OUTLINES}"
        if all(f"{place}{one}" in there for one in _OF_CUT) and any(n.startswith(outlines) for n in names):
            raise UserError(
                f"{folder / outlines} holds whole fields, which cut outlined, and they would be taken for "
                f"cells: give the list of the cells (--input={folder / place / _OF_CUT[0]})"
            )


_OF_CUT, _OUTLINES = ("cells.csv", "fields.csv"), "fields/"  # as `cut` calls its tables and this folder


def _warn_of_hidden(folder: Path, text: str) -> None:
    """Points out folders with images that are passed over as their name begins with a dot."""
    hidden = [path for path in sorted(folder.glob(".*")) if path.is_dir() and not is_leftover(path.name)]
    if found := ", ".join(path.name for path in hidden if _holds_an_image(path)):
        warnings.warn(f"hidden folders of {text} with images are passed over: {found}", stacklevel=2)


def _holds_an_image(folder: Path) -> bool:
    """Whether one of the first files below it is called as an image; one that cannot be listed has none."""
    try:
        return any(found.is_image for found in itertools.islice(walk(folder), _LOOKED_AT))
    except UserError:
        return False


_LOOKED_AT = 1000


def is_list(text: str) -> bool:
    """Whether an input is a file that lists images, whatever its name ends in, and no image itself."""
    path = user_path(text)
    if text == STANDARD_INPUT or not path.is_file():
        return False
    return not _by_name(path.name) and file_kind(path) is None


def _from_file(text: str, path: Path) -> list[Item]:
    if is_list(text):
        return list(_from_csv(path))
    kind = file_kind(path)
    if _by_name(path.name) or kind is None or kind.image:
        return [_item(text)]
    raise UserError(f"{text} is {kind.name}, neither an image nor a CSV file: {kind.remedy} (--input=)")


def _matches(pattern: Path) -> list[str]:
    """Files that a pattern names, sorted; none below a hidden folder that the pattern does not name."""
    fixed = len(list(itertools.takewhile(lambda piece: not glob.has_magic(piece), pattern.parts)))
    return [
        name
        for name in sorted(glob.glob(str(pattern), recursive=True))
        if not os.path.isdir(name) and not any(map(is_leftover, Path(name).parts[fixed:]))
    ]


def _images(names: Iterable[str], folder: Path, text: str) -> Iterator[str]:
    """Those that are images by extension or content, of kinds that are not read too; warns of the others."""
    others = []
    for name in names:
        kind = None if _by_name(name) else file_kind(folder / name)
        if _by_name(name) or (kind and kind.image):
            yield name
        else:
            others.append(name)
    if others:
        first = ", ".join(others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
        warnings.warn(f"left out as no images: {len(others)} files of {text} ({first})", stacklevel=2)


_NAMED = 5


def _by_name(name: str) -> bool:
    return is_image_name(name) or is_unread_image(name)


def _item(path: str, group: str = "") -> Item:
    return Item(in_utf8(path), os.path.abspath(os.path.expanduser(path)), in_utf8(group))


def in_utf8(name: str) -> str:
    """`name` with bytes that are not UTF-8 as \\xe9, so that results that name it can be read anywhere."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _list_fault(path: str) -> str:
    if not path:
        return "the path is empty"
    if "\0" in path:
        return "no file has a name with a null character"
    piece = leftover_in(path)
    return f"{LEFTOVER} ({piece})" if piece else ""


def _from_lines(lines: Iterable[str]) -> Iterator[Item]:
    for line in lines:
        if path := line.rstrip("\r\n"):
            yield dataclasses.replace(_item(path), fault=_list_fault(path))


def _from_csv(path: Path) -> Iterator[Item]:
    columns, rows = read_rows(
        path, required=("path",), optional=("group",), also=("note", *GROUP_COLUMNS, *POSITION_COLUMNS)
    )
    group, position = group_column(columns), PositionReader(path, columns)
    slide = "" if group in SLIDE_COLUMNS else next((name for name in SLIDE_COLUMNS if name in columns), "")
    others = [] if group else other_columns(path, (*columns, *_OTHER_LISTS))
    others = [name for name in others if not name.startswith("by_")]  # as `agreement` calls reviewers
    if others and "for_person" not in others:
        warnings.warn(
            f"no column of {path} is called group, patient or slide; columns that are not used: "
            f"{', '.join(others[:_NAMED])}",
            stacklevel=2,
        )
    for line, row in rows:
        if found := name_fault(group, row.get(group, "")):
            raise fault(path, line, *found)
        # An empty path makes one bad image; the others are still predicted.
        file = listed_file(path.parent, row["path"]) if row["path"] else ""
        yield Item(
            row["path"],
            file,
            "" if row.get(group) == NO_GROUP else row.get(group, ""),
            _list_fault(row["path"]),
            position(line, row),
            several=row.get("note") == MAY_BE_SEVERAL,
            of_slide=group in SLIDE_COLUMNS,
            slide=row.get(slide, ""),
        )


_OTHER_LISTS = ("label", "split", "seen", "content", *PROVENANCE)  # columns that lists for training have


def _in_folder(folder: Path, name: str) -> Item:
    group = name.split("/")[0] if "/" in name else ""
    if found := name_fault("the folder of a group", group):  # no list could name it, such as that of the page
        raise UserError(f"{folder / group}: {found[0]}: rename it")
    return _item(str(folder / name), group)
