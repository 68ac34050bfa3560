"""`cut`: single cells out of photographs of fields, their list for `predict`, pictures to check them by."""

import dataclasses
import fnmatch
import glob
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from ml_collections import ConfigDict

from asae_jax.config import check
from asae_jax.csv_cells import CsvWriter, guarded, unguarded
from asae_jax.errors import UserError
from asae_jax.files import atomic_binary, atomic_text, disk_errors, safe_names, user_path
from asae_jax.inference.cut.cells import Square, crop, outlined, squares
from asae_jax.inference.cut.nuclei import Blob, find_nuclei, sizes, skimage, unlit, usual_diameter
from asae_jax.inference.inputs import MAY_BE_SEVERAL, Item, in_utf8, read_input
from asae_jax.inference.positions import COLUMNS
from asae_jax.input.decode import BadImage, read_image
from asae_jax.input.manifest import SMEAR
from asae_jax.pages import NOTICE, encode_jpeg, printable
from asae_jax.terminal import track

LIST, COUNTS = "cells.csv", "fields.csv"
CELLS, OUTLINES = "cells", "fields"
"""What is in the output folder: two tables, and the folders of the cells and of the fields with outlines."""
_WRITTEN = {CELLS: ".png", OUTLINES: ".jpg"}

NUCLEI_PER_SIDE = 3.4
"""Of a square whose side is not given. The crops of the included blood cells have sides of 3.4 nuclei (192 of
them, by the same way of measuring)."""

_UNLIKE = 1.6  # a field's nuclei are this much larger or smaller than the others': another magnification?
_ENOUGH = 5  # nuclei of a field for that to mean something
_LEAST_SIDE = 16  # pixels
_ESTIMATE = (
    "This is an estimate by colour and shape: look at the outlines before you count anything. Cells that "
    "touch may be cut as one, and pale nuclei be missed."
)


_GROUPS: dict[str, Callable[[Item], str]] = {
    "group": lambda item: "" if item.of_slide else item.group,
    SMEAR: lambda item: item.group if item.of_slide else item.slide,
}
"""Columns of the list: as `slide` is the field there, a slide that the input names is a smear."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """What was found in one field.

    Attributes:
      name: of the field, in the column `slide`.
      cells: cut out.
      several: of these, those that may be several.
      border: left out, as they lie at the border.
      dark: share of the field, 0..1, through which no light comes, and where nothing is looked for.
      error: why the field could not be read; empty where it could.
    """

    name: str
    cells: int = 0
    several: int = 0
    border: int = 0
    dark: float = 0.0
    error: str = ""


def cut(config: ConfigDict, workdir: Path) -> int:
    """Cuts the cells of the fields `cut.input` out, into the folder `cut.output`.

    Args:
      config: the settings `cut`.
      workdir: not used.

    Returns:
      The exit status, 0; also with unreadable fields, which are named.

    Raises:
      UserError: scikit-image is not installed, no field, a field whose name begins or ends with a space, a
        folder that is not empty or cannot be written, no readable field, or no nucleus to estimate the
        diameter from.
    """
    del workdir
    check(config)
    settings = config.cut
    skimage()
    if not settings.input:
        raise UserError("no fields are named: give --input=FOLDER with photographs of fields")
    if not settings.output:
        raise UserError("no folder for the cells is named: give --output=FOLDER, a new one")
    output = user_path(settings.output)
    _check_output(output, settings.input)
    items = read_input(settings.input)
    _check_once(items, settings.input)
    names = _field_names(items, user_path(settings.input))
    _check_names(names)
    diameter = settings.nucleus or _estimated(items)
    side = settings.size or max(_LEAST_SIDE, round(NUCLEI_PER_SIDE * diameter))
    how = "as given" if settings.nucleus else "estimated"
    print(f"usual diameter of a nucleus: {diameter:.0f} pixels ({how}); squares of {side} pixels")
    with disk_errors(f"write to {output}", remedy="choose another --output=FOLDER"):
        counts = _cut_all(items, names, output, diameter=diameter, side=side, pad=settings.border == "pad")
    _report(counts, output)
    return 0


def _check_once(items: Sequence[Item], given: str) -> None:
    """Raises a UserError where two items are one file: its cells would be counted twice."""
    names = dict[str, str]()
    for item in filter(lambda item: item.file, items):
        file = os.path.realpath(item.file)
        if file in names:
            other = f", also as {names[file]}" if names[file] != item.path else ""
            raise UserError(f"{given} names {item.path} twice{other}: list every field once (--input=)")
        names[file] = item.path


def _check_names(names: Sequence[str]) -> None:
    """Raises a UserError for a field whose name the list would not keep: its cells would lie on no field."""
    for name in names:
        if unguarded(guarded(name).strip()) != name:
            raise UserError(
                f"the name of the field {name!r} begins or ends with a space, which lists do not keep: "
                "rename it"
            )


def _check_output(output: Path, given: str) -> None:
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file: give a new folder (--output=FOLDER)")
    if output.is_dir() and any(output.iterdir()):
        raise UserError(f"{output} is not empty: give a new folder (--output=FOLDER), or empty it")
    if _would_read(user_path(given), output.resolve()):
        raise UserError(
            f"{output} lies in the folder of the fields, where cells would be taken for fields the next "
            "time: give a folder elsewhere (--output=FOLDER)"
        )


def _would_read(given: Path, output: Path) -> bool:
    """Whether the input, a folder or a pattern, takes in what is written to `output`."""
    if given.is_dir():
        return given.resolve() in (output, *output.parents)
    wanted, kind = (given.parent.resolve() / given.name).parts, given.suffix.lower()
    of_any = not kind or glob.has_magic(kind)
    may_be = [place for place, written in _WRITTEN.items() if of_any or kind == written]
    if "**" in wanted:
        start = wanted[: wanted.index("**")]
        below = len(output.parts) >= len(start) and all(map(fnmatch.fnmatch, output.parts, start))
        return bool(may_be) and below
    return any(
        len(place.parts) == len(wanted) - 1 and all(map(fnmatch.fnmatch, place.parts, wanted))
        for place in (output / name for name in may_be)
    )


def _estimated(items: Sequence[Item]) -> float:
    """The usual diameter of a nucleus in all fields together; warns of a field that differs."""
    by_field: dict[str, list[Blob]] = {}
    errors = []
    for item in track(items, "measuring nuclei", len(items), "field"):
        try:
            by_field[item.path] = sizes(_field(item))
        except BadImage as error:
            errors.append(error.reason)
    _check_readable(errors, len(items))
    everything = [blob for found in by_field.values() for blob in found]
    if not everything:
        raise UserError(
            "no nucleus was found in any field: are they stained by Giemsa or Wright? Or give the usual "
            "diameter of a nucleus (--nucleus=PIXELS)"
        )
    usual = usual_diameter(everything)
    for path, found in by_field.items():
        own = usual_diameter(found) if len(found) >= _ENOUGH else usual
        if not 1 / _UNLIKE < own / usual < _UNLIKE:
            print(
                printable(
                    f"note: nuclei of {path} have about {own:.0f} pixels, those of all {usual:.0f}: if "
                    "it is of another magnification, cut it by itself"
                )
            )
    return usual


def _field(item: Item) -> np.ndarray:
    """The photograph; raises BadImage, also for a row of a list that names none."""
    if item.fault:
        raise BadImage(item.path, item.fault)
    return read_image(item.file)


def _check_readable(errors: Sequence[str], fields: int) -> None:
    if len(errors) == fields:
        raise UserError(f"none of {fields} fields can be read ({errors[0]}): give photographs (--input=)")


def _cut_all(
    items: Sequence[Item], names: Sequence[str], output: Path, *, diameter: float, side: int, pad: bool
) -> list[Counts]:
    """Writes everything; the list last, so that a list is always complete."""
    files = safe_names(os.path.splitext(name)[0] for name in names)
    groups = {name: value for name, value in _GROUPS.items() if any(map(value, items))}
    counts, rows = [], []
    for item, name, file in zip(track(items, "cutting", len(items), "field"), names, files, strict=True):
        try:
            field = _field(item)
        except BadImage as error:
            counts.append(Counts(name, error=error.reason))
            continue
        found = squares(field, find_nuclei(field, diameter), side)
        numbered = _numbered(found, pad=pad)
        for number, square in numbered:
            if number:
                path = f"{CELLS}/{file}_{number}.png"
                _write_png(output / path, crop(field, square))
                rows.append(_row(path, name, square, [value(item) for value in groups.values()]))
        with atomic_binary(output / OUTLINES / f"{file}.jpg") as picture:
            picture.write(encode_jpeg(outlined(field, numbered), quality=88))
        counts.append(_counts(name, numbered, float(unlit(field).mean())))
    _check_readable([one.error for one in counts if one.error], len(items))
    _write_table(output / COUNTS, _COLUMNS, _lines(counts))
    _write_table(output / LIST, ["path", *groups, *COLUMNS, "note"], rows)
    return counts


def _field_names(items: Sequence[Item], given: Path) -> list[str]:
    """What each field is called: its path below the folder that was given, else below what all share."""
    folder = os.path.abspath(given) if given.is_dir() else _shared([i.file for i in items if i.file])
    return [
        in_utf8(Path(os.path.relpath(item.file, folder)).as_posix() if item.file and folder else item.path)
        for item in items
    ]


def _shared(files: Sequence[str]) -> str:
    """The folder that all lie in; empty where there is none, as on two drives of Windows."""
    try:
        return os.path.commonpath([os.path.dirname(file) for file in files])
    except ValueError:
        return ""


def _numbered(found: Sequence[Square], *, pad: bool) -> list[tuple[str, Square]]:
    """The number of each square's cell, from 0001 on; empty for those to be left out."""
    numbered, count = [], 0
    for square in found:
        kept = square.complete and (square.whole or pad)  # a small square may lie in a nucleus that is cut
        count += kept
        numbered.append((f"{count:04}" if kept else "", square))
    return numbered


def _row(path: str, name: str, square: Square, groups: list[str]) -> list[object]:
    note = MAY_BE_SEVERAL if square.nucleus.several else ""
    return [path, *groups, *square.position(name).columns().values(), note]


def _counts(name: str, numbered: Sequence[tuple[str, Square]], dark: float) -> Counts:
    kept = [square for number, square in numbered if number]
    several = sum(square.nucleus.several for square in kept)
    return Counts(name, len(kept), several, len(numbered) - len(kept), dark)


_COLUMNS = ("slide", "cells", "may_be_several", "at_border", "dark", "error")


def _lines(counts: Sequence[Counts]) -> Iterator[list[object]]:
    """Rows of `_COLUMNS`; numbers are empty where the field could not be read."""
    for one in counts:
        numbers = [one.cells, one.several, one.border, round(one.dark, 4)]
        yield [one.name, *([""] * len(numbers) if one.error else numbers), one.error]


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[list] | Iterator[list]) -> None:
    with atomic_text(path) as file:
        writer = CsvWriter(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _write_png(path: Path, image: np.ndarray) -> None:
    with atomic_binary(path) as file:
        file.write(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def _report(counts: Sequence[Counts], output: Path) -> None:
    for one in counts:
        if one.error:
            print(printable(f"{one.name}: cannot be used, {one.error}"))
        else:
            dark = f"; {one.dark:.0%} of the field is dark, and its edge is a border" if one.dark else ""
            print(
                printable(
                    f"{one.name}: {one.cells:,} cells, {one.several:,} of them may be several; "
                    f"{one.border:,} left out at the border{dark}"
                )
            )
    read = [one for one in counts if not one.error]
    total, several = sum(one.cells for one in read), sum(one.several for one in read)
    fields = f"{len(read):,} field{'s' * (len(read) != 1)}"
    print(f"{total:,} cells of {fields}, {several:,} of them may be several: {output / LIST}")
    print(f"{_ESTIMATE} The outlines are in {output / OUTLINES}. {NOTICE}")
