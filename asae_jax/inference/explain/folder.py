"""Where `explain` writes: each input has a folder of its own, and nothing made from another is replaced."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.inference.inputs import input_name
from asae_jax.inference.output_files import input_source
from asae_jax.json_files import read_json, write_json
from asae_jax.pages import printable

FOLDER = "explain"

_RECORD = "made_from.json"


def explained(text: str, names: Sequence[str], split: str) -> str:
    """What is explained, to be told from others: an input, or a part of the run's own data.

    Args:
      text: `explain.input`, or empty.
      names: of the images.
      split: of the run's own data.
    """
    return input_source(text, names) if text else f"the {split} part of the run's own data"


def choose_folder(source: str, text: str, *, given: str, workdir: Path) -> Path:
    """The folder to write to: RUN/explain for the run's own data, RUN/explain/NAME for an input.

    Where a folder of this name was made from another input, a number is put behind it: NAME-2.

    Args:
      source: see `explained`.
      text: `explain.input`, or empty.
      given: `explain.output`, or empty.
      workdir: the run folder.

    Raises:
      UserError: `given` is a file, lies in the folder that is explained, or holds something else; or
        RUN/explain holds another part.
    """
    folder = user_path(given) if given else workdir / FOLDER
    if given and folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: give a folder (--output=DIR).")
    cells = user_path(text).resolve() if given and text else None
    if cells is not None and cells.is_dir() and cells in (folder.resolve(), *folder.resolve().parents):
        raise UserError(
            f"{folder} lies in the folder of the cells, where pictures would be taken for cells the next "
            "time: give a folder elsewhere (--output=DIR)."
        )
    if given or not text:
        made_from = _made_from(folder)
        if made_from != source and (made_from or (given and not _is_empty(folder))):
            holds = f"holds explanations of {made_from}" if made_from else "holds other files"
            raise UserError(f"{folder} {holds}, which would be lost: give an empty folder (--output=DIR).")
        return folder
    name = input_name(text)
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    folder = next(place for name in names if _may_be_written(place := workdir / FOLDER / name, source))
    if folder.name != name:
        print(printable(f"{FOLDER}/{name} was made from another input: this goes to {FOLDER}/{folder.name}"))
    return folder


def write_record(folder: Path, source: str, conditions: dict[str, Any]) -> None:
    """Writes what the folder is made from."""
    write_json(folder / _RECORD, {"input": source} | conditions)


def _may_be_written(folder: Path, source: str) -> bool:
    return _is_empty(folder) or _made_from(folder) == source


def _is_empty(folder: Path) -> bool:
    """Whether it holds nothing but what a stopped command had begun: folders and unfinished files."""
    if not folder.is_dir():
        return not folder.exists()
    return all(path.is_dir() or path.suffix == ".part" for path in folder.rglob("*"))


def _made_from(folder: Path) -> str | None:
    """What a folder was made from; None where it does not say."""
    try:
        return read_json(folder / _RECORD, remedy="")["input"]
    except (UserError, LookupError, TypeError):
        return None
