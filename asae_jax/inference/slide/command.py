"""`slide`: labelled cells back onto their slides, for QuPath and Label Studio, without a network."""

import collections
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from asae_jax.config import check
from asae_jax.errors import UserError
from asae_jax.files import disk_errors, in_real_folder, remove, together, user_path
from asae_jax.folders import IMAGE_EXTENSIONS
from asae_jax.inference.geojson import SlideFiles, feature
from asae_jax.inference.label_studio import (
    CONFIGURATION,
    TASKS,
    Guess,
    Storage,
    cell_task,
    field_task,
    write_tasks,
)
from asae_jax.inference.positions import COLUMNS, Position, PositionReader
from asae_jax.input.cell_classes import cell_classes, known_classes, plain_name, shown_colours
from asae_jax.input.content import read_contents
from asae_jax.input.csv_rows import fault, listed_file, read_rows
from asae_jax.input.decode import read_image, read_orientation
from asae_jax.input.file_kinds import file_kind
from asae_jax.input.manifest import GUESS_COLUMNS, is_guess
from asae_jax.pages import NOTICE, printable

_TOLD = ("predicted", "reviewer", "reviewed")
"""Columns of a review that go with a cell, as far as they are there."""
_SHOWN = 20  # slides and paths named in the terminal


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One labelled cell.

    Attributes:
      path: as the list names it.
      file: where it is, absolute.
      position: on its slide.
      label: its class.
      person: whether a person gave the label.
      notes: what else is known of the label, such as who gave it.
    """

    path: str
    file: str
    position: Position
    label: str
    person: bool
    notes: Mapping[str, str]


def slide(config: ConfigDict, workdir: Path) -> int:
    """Writes the cells of `slide.input` as GeoJSON, and as tasks of Label Studio where they are asked for.

    Args:
      config: the settings `slide`.
      workdir: not used.

    Returns:
      The exit status, 0.

    Raises:
      UserError: no such file, a position that cannot be one, no labelled cell, or a file in the way.
    """
    del workdir
    check(config)
    settings = config.slide
    if not settings.input:
        raise UserError("no cells are named: give --input=CELLS.csv, with path, slide, x and y")
    cells = read_cells(user_path(settings.input), user_path(settings.labels) if settings.labels else None)
    stem = _stem(settings)
    colours = _colours(cells, user_path(settings.classes) if settings.classes else None)
    slides = [cell.position.slide for cell in cells]
    source = f"labels of {_real(settings.labels or settings.input)}"
    if settings.labels:  # one file of labels may be given for several lists
        source += f" for {_real(settings.input)}"
    files = SlideFiles(stem, slides, source)
    tasks = _tasks(cells, settings) if settings.label_studio else None
    is_again = bool(files.earlier())
    if tasks is not None and not is_again:
        _refuse_foreign(stem)
    for cell in cells:
        notes = {"path": cell.path, **cell.notes}
        one = feature(
            cell.position, cell.label, colours[cell.label], person=cell.person, name=cell.path, notes=notes
        )
        files.add(cell.position.slide, one)
    with disk_errors(f"write {stem}", remedy="choose another --output=FILE"), together():
        files.write()
        if tasks is not None:
            write_tasks(stem, tasks, colours, rectangles=bool(settings.images))
        elif is_again:  # tasks of earlier labels must not stay beside these
            for path in _of_label_studio(stem):
                remove(path)
    _report(cells, files.paths)
    return 0


def _colours(cells: Sequence[Cell], table: Path | None) -> dict[str, str]:
    """Of every class that may be chosen: what was given or proposed, and those of a table that is given."""
    names = {cell.label for cell in cells} | {cell.notes.get("predicted", "") for cell in cells}
    there = {plain_name(name) for name in names}
    named = known_classes(table) if table else {}
    names |= {one.code for key, one in named.items() if key not in there}
    return shown_colours(cell_classes(sorted(names - {""}), table))


def _of_label_studio(stem: Path) -> list[Path]:
    return [stem.with_name(stem.name + ending) for ending in (TASKS, CONFIGURATION)]


def _refuse_foreign(stem: Path) -> None:
    """Raises a UserError where there are files for Label Studio without those that come with them."""
    for path in _of_label_studio(stem):
        if os.path.lexists(path):
            raise UserError(
                f"{path} was made from another input or by another program: choose another --output=FILE, or "
                "move it away"
            )


def read_cells(path: Path, labels: Path | None = None) -> list[Cell]:
    """The cells of a list that have a position and a label, in its order.

    Args:
      path: CSV file `path,slide,x,y[,width,height][,label][,seen]`; paths are relative to its folder. Without
        `labels` its labels are a person's, but for those of rows of which `seen` says no, and of a list of
        predictions.
      labels: CSV file `path,label[,seen][,content]` whose labels go before those of the list. A row is a
        person's unless `seen` says no; one without a label is a cell that a person left out; one whose
        picture has changed since (`content`) leaves its cell out: the list's label would be of neither
        picture.

    Raises:
      UserError: naming file and line, not such files; a path that is listed twice; no cell with a position,
        or none of them with a label.
    """
    columns, rows = read_rows(
        path, required=("path", *COLUMNS[:3]), optional=COLUMNS[3:], also=("label", *GUESS_COLUMNS, *_TOLD)
    )
    position = PositionReader(path, columns)
    (reviewed, changed), used = _reviewed(labels) if labels else ({}, set()), 0
    cells, located, artefacts, unlabelled, lines = [], 0, 0, 0, dict[str, int]()
    for line, row in rows:
        if (place := position(line, row)) is None:
            continue
        located += 1
        file = listed_file(path.parent, row["path"])
        key = in_real_folder(file)
        if (first := lines.setdefault(key, line)) != line:
            raise fault(path, line, f"{row['path']} is listed already in line {first}", "list it once")
        if key in changed:
            continue  # `_reviewed` has named it
        given = reviewed.get(key, _own_label(path, line, row, alone=labels is None))
        used += key in reviewed
        if given.label:
            cells.append(Cell(row["path"], file, place, *given))
        else:
            artefacts += key in reviewed
            unlabelled += key not in reviewed
    gone = len(changed & lines.keys())
    _refuse_none(path, labels, located=located, used=used, changed=gone, cells=len(cells))
    _say_left_out(artefacts, "cells that a person left out")
    _say_left_out(unlabelled, "cells without a label")
    _say_left_out(
        len(reviewed) - used, f"labels of {labels} whose paths are not in {path}, or have no position"
    )
    return cells


class _Given(NamedTuple):
    label: str  # empty where a person left the cell out
    person: bool
    notes: Mapping[str, str]


def _own_label(path: Path, line: int, row: Mapping[str, str], *, alone: bool) -> _Given:
    """The label in the list of cells itself: somebody's, where no other labels are given, or a network's."""
    of_predictions = "probability" in row and "seen" not in row
    guessed = of_predictions or is_guess(path, line, row)
    return _Given(row.get("label", ""), alone and not guessed, _told(row) if alone else {})


def _told(row: Mapping[str, str]) -> dict[str, str]:
    return {name: row[name] for name in _TOLD if row.get(name)}


def _say_left_out(count: int, what: str) -> None:
    if count:
        print(printable(f"left out: {count:,} {what}"))


def _refuse_none(
    path: Path, labels: Path | None, *, located: int, used: int, changed: int, cells: int
) -> None:
    if not located:
        raise UserError(f"no cell of {path} has a position: fill in the columns slide, x and y")
    if labels is not None and changed and not used:
        raise UserError(
            f"none of the {changed:,} labels of {labels} for cells of {path} can be used: their files cannot "
            "be read or hold another picture than the one that was labelled: put the labelled files back"
        )
    if labels is not None and not used:
        raise UserError(f"no path of {labels} is in {path}: give the list that predict was given (--input=)")
    if not cells:
        raise UserError(f"no cell of {path} has a label: add a column label, or give --labels=REVIEWED.csv")


def _reviewed(path: Path) -> tuple[dict[str, _Given], set[str]]:
    """`in_real_folder` -> label, whether a person gave it and what else is known; and those changed since."""
    _, rows = read_rows(path, required=("path", "label"), also=("content", *GUESS_COLUMNS, *_TOLD))
    found, lines, labelled = {}, dict[str, int](), dict[str, tuple[str, str]]()
    for line, row in rows:
        file = in_real_folder(listed_file(path.parent, row["path"]))
        if (first := lines.setdefault(file, line)) != line:
            raise fault(path, line, f"{row['path']} is listed already in line {first}", "list it once")
        if content := row.get("content", "").lower():
            labelled[file] = content, row["path"]
        found[file] = _Given(row["label"], not is_guess(path, line, row), _told(row))
    held = read_contents(list(labelled), f"reading images of {path.name}")
    changed = [file for file, (now, _) in zip(labelled, held, strict=True) if now != labelled[file][0]]
    if changed:
        listed = ", ".join(labelled[file][1] for file in changed[:_SHOWN])
        listed += ", ..." * (len(changed) > _SHOWN)
        print(
            printable(
                f"left out: {len(changed):,} labels of {path}, whose files cannot be read or hold another "
                f"picture than the one that was labelled: {listed}"
            )
        )
    return {file: found[file] for file in found.keys() - set(changed)}, set(changed)


def _stem(settings: ConfigDict) -> Path:
    if settings.output:
        path = user_path(settings.output)
        if path.name in ("", ".."):
            raise UserError(f"{path} is a folder: name a file in it (--output={path / 'cells.geojson'})")
        return path.with_suffix("") if path.suffix.lower() in (".geojson", ".json", ".csv") else path
    path = user_path(settings.labels or settings.input)
    return path.with_name(f"{path.stem}_on_slide")


def _real(text: str) -> str:
    return os.path.realpath(user_path(text))


def _tasks(cells: Sequence[Cell], settings: ConfigDict) -> list[Mapping]:
    storage = Storage(settings.label_studio)
    if not settings.images:
        return [
            cell_task(
                storage.address(cell.file), Guess(cell.label, person=cell.person), model="asae",
                about={"path": cell.path, "slide": cell.position.slide},
            )
            for cell in cells
        ]  # fmt: skip
    return list(_field_tasks(cells, user_path(settings.images), storage))


def _field_tasks(cells: Sequence[Cell], folder: Path, storage: Storage) -> Iterator[Mapping]:
    grouped: dict[str, list[Cell]] = {}
    for cell in cells:
        grouped.setdefault(cell.position.slide, []).append(cell)
    for name, members in grouped.items():
        file = _slide_image(folder, name)
        height, width = read_image(file).shape[:2]
        for cell in members:
            _refuse_unseen(cell, (width, height), file)
        guesses = [Guess(cell.label, None, cell.person, cell.position) for cell in members]
        yield field_task(
            storage.address(os.path.abspath(file)), (width, height), guesses, model="asae",
            about={"slide": name}, orientation=_orientation(file),
        )  # fmt: skip


def _orientation(file: Path) -> int:
    """How browsers turn the image; positions are in the pixels as they are stored.

    Raises:
      UserError: the file asks to be turned, but is of a kind that only some browsers turn.
    """
    orientation, kind = read_orientation(file), file_kind(file)
    if orientation != 1 and (kind is None or kind.name != "a JPEG image"):  # Chromium turns PNG, and not WebP
        raise UserError(
            f"{file} is to be turned when it is shown (orientation {orientation}), which of its kind only "
            "some browsers do: remove that entry (exiftool -Orientation= FILE), which moves no pixel"
        )
    return orientation


def _refuse_unseen(cell: Cell, size: tuple[int, int], file: Path) -> None:
    corners = cell.position.corners()
    if corners is None:
        raise UserError(
            f"{cell.path} has no width and height, which rectangles of Label Studio need: leave --images out"
        )
    if corners[0] >= size[0] or corners[1] >= size[1]:
        raise UserError(
            f"{cell.path} lies outside of {file} ({size[0]} x {size[1]} pixels): give it at full resolution"
        )


def _slide_image(folder: Path, name: str) -> Path:
    """The image of a slide: the file of that name, or the only one with an ending more."""
    exact = folder / name
    if exact.is_file():
        return exact
    found = [path for ending in sorted(IMAGE_EXTENSIONS) if (path := folder / f"{name}{ending}").is_file()]
    if len(found) != 1:
        what = "no image" if not found else "several images"
        raise UserError(
            f"{what} of slide {name} in {folder}: call it as the column slide does (--images=DIR)"
        )
    return found[0]


def _report(cells: Sequence[Cell], paths: Mapping[str, Path]) -> None:
    counts = collections.Counter(cell.position.slide for cell in cells)
    people = collections.Counter(cell.position.slide for cell in cells if cell.person)
    for name, path in list(paths.items())[:_SHOWN]:
        print(
            printable(f"slide {name}: {counts[name]:,} cells, {people[name]:,} labelled by a person: {path}")
        )
    if len(paths) > _SHOWN:
        print(f"and {len(paths) - _SHOWN} slides more")
    print(NOTICE)
