"""Where `explain` writes: each input has a folder of its own, and nothing made from another is replaced."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.inference.inputs import input_name
from asae_jax.inference.output_files import LOCK, Source, claimed, free_place, read_recorded
from asae_jax.json_files import write_json
from asae_jax.pages import printable

FOLDER = "explain"

_RECORD = "made_from.json"


@dataclasses.dataclass(frozen=True)
class ExplainFolder:
    """A folder that may be written to.

    Attributes:
      path: of the folder.
      source: what is explained.
    """

    path: Path
    source: Source

    @property
    def output(self) -> Path:
        """The page."""
        return self.path / "index.html"

    def numbered(self, number: int) -> "ExplainFolder":
        """The folder with a number behind its name, from 2 on."""
        path = self.path if number == 1 else self.path.with_name(f"{self.path.name}-{number}")
        return dataclasses.replace(self, path=path)

    def recorded(self) -> dict[str, Any]:
        """What it was made from; empty where it does not say."""
        return read_recorded(self.path / _RECORD)

    def is_own(self) -> bool:
        """Whether it says that it was made from `source`."""
        return self.source.is_of(self.path, self.recorded())

    def others(self) -> Sequence[Path]:
        """Itself, where it holds anything that was not made from `source`."""
        return [] if self.is_own() or _is_empty(self.path) else [self.path]

    def write_record(self, conditions: dict[str, Any]) -> None:
        """Writes what the folder is made from."""
        write_json(self.path / _RECORD, self.source.record(self.path) | conditions)


@contextlib.contextmanager
def chosen_folder(source: Source, text: str, *, given: str, workdir: Path) -> Iterator[ExplainFolder]:
    """Where to write: RUN/explain for the run's own data, RUN/explain/NAME for an input.

    A number is put behind NAME where that is another's (`free_place`). Within the block no other process
    writes there.

    Args:
      source: an input, or a part of the run's own data.
      text: `explain.input`, or empty.
      given: `explain.output`, or empty.
      workdir: the run folder.

    Raises:
      UserError: `given` is a file, lies in the folder that is explained, or holds something else; or
        RUN/explain holds another part; or another process writes there.
    """
    path = user_path(given) if given else workdir / FOLDER
    if given:
        _refuse_given(path, text)
    if given or not text:
        folder = ExplainFolder(path, source)
        _refuse_others(folder, is_given=bool(given))
        with claimed(folder.output, source):
            yield folder
        return
    name = input_name(text)
    with free_place(ExplainFolder(path / name, source).numbered, path, name, "") as folder:
        if folder.path.name != name:
            told = f"{FOLDER}/{name} was made from another input: this goes to {FOLDER}/{folder.path.name}"
            print(printable(told))
        yield folder


def _refuse_given(folder: Path, text: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: give a folder (--output=DIR).")
    cells = user_path(text).resolve() if text else None
    if cells is not None and cells.is_dir() and cells in (folder.resolve(), *folder.resolve().parents):
        raise UserError(
            f"{folder} lies in the folder of the cells, where pictures would be taken for cells the next "
            "time: give a folder elsewhere (--output=DIR)."
        )


def _refuse_others(folder: ExplainFolder, *, is_given: bool) -> None:
    """RUN/explain of an earlier version does not say what it was made from: that is written anew."""
    before = folder.recorded().get("input")
    if folder.others() and (before or is_given):
        holds = f"holds explanations of {before}" if before else "holds other files"
        raise UserError(f"{folder.path} {holds}, which would be lost: give an empty folder (--output=DIR).")


def _is_empty(folder: Path) -> bool:
    """Whether it holds nothing but what a stopped command had begun: folders, locks and unfinished files."""
    if not folder.is_dir():
        return not folder.exists()
    return all(path.is_dir() or path.suffix in (".part", LOCK) for path in folder.rglob("*"))
