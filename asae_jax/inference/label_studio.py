"""Cells as tasks of Label Studio with its pre-annotations, and the labelling configuration that they need.

The format is that of "Import pre-annotated data into Label Studio": a JSON list of tasks with `data` and
`predictions`; what a person has labelled goes to `annotations`, of the same form. Images are named as its
local file storage has them, by their path below the folder LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.
"""

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from asae_jax.errors import UserError
from asae_jax.files import atomic_text, user_path, write_text
from asae_jax.inference.positions import Position

TASKS = "_label_studio.json"
CONFIGURATION = "_label_studio.xml"
"""Endings of the names of the two files."""

_CONTROL, _OBJECT = "class", "image"


class Guess(NamedTuple):
    """A label that a task shows to begin with.

    Attributes:
      label: the class.
      score: its probability; None where it is not known.
      person: whether a person gave it.
      position: on the image of the task; None where the image is the cell.
    """

    label: str
    score: float | None = None
    person: bool = False
    position: Position | None = None


class Storage:
    """The folder that Label Studio serves files from.

    Attributes:
      root: its absolute path.
    """

    def __init__(self, root: str):
        """Takes the folder's path.

        Raises:
          UserError: there is no such folder.
        """
        self.root = os.path.abspath(user_path(root))
        if not os.path.isdir(self.root):
            raise UserError(
                f"{root} is no folder: give the one that Label Studio serves (--label_studio=DIR)"
            )

    def address(self, file: str) -> str:
        """The address under which Label Studio finds an absolute path.

        Raises:
          UserError: the file is not below the folder.
        """
        path = Path(file)
        if not path.is_relative_to(self.root):
            raise UserError(
                f"{file} is not below {self.root}, from where Label Studio serves files: give a folder above "
                "all images (--label_studio=DIR)"
            )
        return "/data/local-files/?d=" + quote(os.fsencode(path.relative_to(self.root).as_posix()))


def cell_task(address: str, guess: Guess, *, model: str, about: Mapping[str, str]) -> dict[str, Any]:
    """A task that asks for the class of one crop.

    Args:
      address: of the image.
      guess: the label to begin with.
      model: what gave it.
      about: further fields of the task.
    """
    value = {"choices": [guess.label]}
    result = {
        "id": _identity(address),
        "type": "choices",
        "from_name": _CONTROL,
        "to_name": _OBJECT,
        "value": value,
    }
    return _task(address, [(guess, result)], model=model, about=about)


def field_task(
    address: str,
    size: tuple[int, int],
    guesses: Iterable[Guess],
    *,
    model: str,
    about: Mapping[str, str],
    orientation: int = 1,
) -> dict[str, Any]:
    """A task that shows the rectangles on one field.

    Args:
      address: of the image.
      size: width and height in pixels, as they are stored.
      guesses: with positions that are rectangles in the stored pixels; what lies outside of the image is cut
        off.
      model: what gave the labels.
      about: further fields of the task.
      orientation: 1 to 8, how browsers turn the image, see `decode.read_orientation`.
    """
    results = [
        (guess, {"id": _identity(f"{address} {number}"), **_rectangle(guess, size, orientation)})
        for number, guess in enumerate(guesses)
    ]
    return _task(address, results, model=model, about=about)


def _identity(text: str) -> str:
    """Every result needs an identifier of its own."""
    return uuid.uuid5(uuid.NAMESPACE_URL, text).hex[:16]


Corners = tuple[float, float, float, float]
_MIRRORED_X, _MIRRORED_Y, _EXCHANGED = (2, 3, 7, 8), (3, 4, 6, 7), (5, 6, 7, 8)
"""Orientations of EXIF that mirror x, that mirror y, and that exchange both after it."""


def _turned(corners: Corners, size: tuple[int, int], orientation: int) -> tuple[Corners, tuple[int, int]]:
    """Left, upper, right and lower side, and the image's size, as they are on the turned image."""
    (left, upper, right, lower), (width, height) = corners, size
    if orientation in _MIRRORED_X:
        left, right = width - right, width - left
    if orientation in _MIRRORED_Y:
        upper, lower = height - lower, height - upper
    if orientation in _EXCHANGED:
        return (upper, left, lower, right), (height, width)
    return (left, upper, right, lower), size


def _rectangle(guess: Guess, size: tuple[int, int], orientation: int) -> dict[str, Any]:
    """Places are percent of the sides of the image as the browser shows it."""
    corners = guess.position.corners() if guess.position else None
    assert corners is not None
    corners, size = _turned(corners, size, orientation)
    (left, upper), (right, lower) = (
        [100 * min(max(value, 0), side) / side for value, side in zip(pair, size, strict=True)]
        for pair in (corners[:2], corners[2:])
    )
    box = {"x": left, "y": upper, "width": right - left, "height": lower - upper, "rotation": 0}
    result = {
        "type": "rectanglelabels",
        "from_name": _CONTROL,
        "to_name": _OBJECT,
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "value": {**box, "rectanglelabels": [guess.label]},
    }
    return result if guess.score is None else result | {"score": guess.score}


def _task(
    address: str, results: Sequence[tuple[Guess, dict]], *, model: str, about: Mapping[str, str]
) -> dict[str, Any]:
    task: dict[str, Any] = {"data": {**about, _OBJECT: address}}
    if by_person := [result for guess, result in results if guess.person]:
        task["annotations"] = [{"result": by_person}]
    if by_network := [(guess, result) for guess, result in results if not guess.person]:
        scores = [guess.score for guess, _ in by_network if guess.score is not None]
        # Of several the least: tasks are sorted by it, the least certain first.
        score = {"score": min(scores)} if scores else {}
        found = [result for _, result in by_network]
        task["predictions"] = [{"model_version": model, **score, "result": found}]
    return task


def configuration(colours: Mapping[str, str], *, rectangles: bool) -> str:
    """The labelling interface, XML, to paste into the project's settings.

    Args:
      colours: of each class, "#rrggbb", in the order to show them.
      rectangles: for fields; else for single cells.
    """
    image = f'  <Image name="{_OBJECT}" value="${_OBJECT}" zoom="true" zoomControl="true"/>'
    control, option, how = (
        ("RectangleLabels", "Label", "") if rectangles else ("Choices", "Choice", ' choice="single"')
    )
    options = [
        f"    <{option} value={quoteattr(name)} background={quoteattr(colour)}/>"
        for name, colour in colours.items()
    ]
    head = f'  <{control} name="{_CONTROL}" toName="{_OBJECT}"{how}>'
    return "\n".join(["<View>", image, head, *options, f"  </{control}>", "</View>"]) + "\n"


def write_tasks(
    stem: Path, tasks: Iterable[Mapping[str, Any]], colours: Mapping[str, str], *, rectangles: bool
) -> None:
    """Writes the tasks and the configuration beside other files that begin with `stem`.

    Args:
      stem: folder and beginning of the files' names.
      tasks: of Label Studio, one for each picture.
      colours: class name -> colour.
      rectangles: for fields; else for single cells.

    Raises:
      OSError: a file cannot be written.
    """
    with atomic_text(stem.with_name(stem.name + TASKS)) as file:
        file.write("[\n" + ",\n".join(json.dumps(task, allow_nan=False) for task in tasks) + "\n]\n")
    write_text(stem.with_name(stem.name + CONFIGURATION), configuration(colours, rectangles=rectangles))
