"""True classes that an input tells: in a column `label` of a CSV file, or by folders that are classes."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from asae_jax.files import user_path
from asae_jax.inference.inputs import Item, class_folders, is_list
from asae_jax.input.cell_classes import plain_name
from asae_jax.input.content import is_image_content, read_contents
from asae_jax.input.csv_rows import read_rows
from asae_jax.input.manifest import GUESS_COLUMNS, is_guess


def input_labels(
    text: str, items: Sequence[Item], class_names: Sequence[str], *, folders: str = "auto"
) -> list[str]:
    """The label of each item; empty where it is not known, or a network's guess.

    Nor is that of a file which holds another picture now than the one that was labelled (column `content`): a
    warning counts these.

    Names of the run's classes are known in any case (`plain_name`), and come out as the run writes them.

    Args:
      text: the input, see `inputs.read_input`.
      items: the images that it names.
      class_names: of the run.
      folders: one of `FOLDERS`. "auto": folders that are classes label their images
        (`inputs.class_folders`); "classes": all do, by whatever their names are; "groups": folders
        are slides or patients, and nothing is labelled.

    Raises:
      UserError: a CSV file that cannot be read.
    """
    path = user_path(text)
    if path.is_dir():
        return FOLDERS[folders](text, items, class_names)
    if is_list(text):
        return _as_the_run(_listed(path, items), class_names)
    return [""] * len(items)


def _listed(path: Path, items: Sequence[Item]) -> list[str]:
    """What a list says of each of `items`, which were read from it."""
    _, rows = read_rows(path, required=("path",), optional=("label",), also=("content", *GUESS_COLUMNS))
    given, labelled = [], list[tuple[int, str, str]]()
    for place, (line, row) in enumerate(rows):
        given.append("" if is_guess(path, line, row) else row.get("label", ""))
        if given[place] and (content := row.get("content", "")) and not items[place].fault:
            labelled.append((place, items[place].file, content.lower()))
    if not any(is_image_content(content) for *_, content in labelled):
        return given  # a column of somebody else
    held = read_contents([file for _, file, _ in labelled], "comparing with what was labelled")
    others = [
        place
        for (place, _, content), (there, unreadable) in zip(labelled, held, strict=True)
        if not unreadable and there != content  # an unreadable one is named elsewhere
    ]
    for place in others:
        given[place] = ""
    if others:
        warnings.warn(
            f"labels of {path} that are not used, as the file holds another picture now (column content): "
            f"{len(others):,}, the first of {items[others[0]].path}",
            stacklevel=3,
        )
    return given


def _of_known_folders(text: str, items: Sequence[Item], class_names: Sequence[str]) -> list[str]:
    classes = class_folders(text, items, class_names)
    return [classes.get(item.group, "") for item in items]


def _of_all_folders(text: str, items: Sequence[Item], class_names: Sequence[str]) -> list[str]:
    return _as_the_run([item.group for item in items], class_names)


def _of_no_folder(text: str, items: Sequence[Item], class_names: Sequence[str]) -> list[str]:
    return [""] * len(items)


FOLDERS: dict[str, Callable[[str, Sequence[Item], Sequence[str]], list[str]]] = {
    "auto": _of_known_folders,
    "classes": _of_all_folders,
    "groups": _of_no_folder,
}
"""What the folders directly below a given folder are -> the labels that they give, see `input_labels`."""


def _as_the_run(given: Sequence[str], class_names: Sequence[str]) -> list[str]:
    """Names of its classes as the run writes them, and others as they are given."""
    known = {plain_name(name): name for name in class_names} | {name: name for name in class_names}
    return [known.get(name) or known.get(plain_name(name), name) for name in given]


def input_groups(text: str, items: Sequence[Item], labels: Sequence[str]) -> list[str]:
    """Slide or patient of each item; empty where it is not known.

    Folders that are classes say nothing about slides.
    """
    are_classes = user_path(text).is_dir() and any(labels)
    return ["" if are_classes else item.group for item in items]
