"""Where `predict` writes: each input has names of its own, and nothing made from another is replaced."""

import contextlib
import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from asae_jax.errors import UserError
from asae_jax.files import disk_errors, read_json, user_path
from asae_jax.inference.predict.inputs import STANDARD_INPUT, Item, input_name
from asae_jax.inference.predict.output import JSON_LINES, differential_json
from asae_jax.pages import printable

FOLDER = "predictions"
MADE_FROM = "made_from"
"""Field of the differential count's JSON file that tells what the files were made from."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the files of one input go.

    Attributes:
      output: the file of predictions.
      title: of the page.
      source: what tells this input from others, see `input_source`.
    """

    output: Path
    title: str
    source: str

    @property
    def stem(self) -> Path:
        """What the names of the other files begin with."""
        return _stem(self.output)


@contextlib.contextmanager
def chosen_place(text: str, items: Sequence[Item], *, given: str, workdir: Path) -> Iterator[Place]:
    """Where to write the predictions of an input; within the block no other `predict` writes there.

    Without `given` that is RUN/predictions/NAME.csv, NAME being that of the input. Where files of this name
    exist that were not made from the same input, or are being written at this moment, a number is put
    behind it: NAME-2. Files made from the same input are replaced.

    Args:
      text: `predict.input`.
      items: the images that it names.
      given: `predict.output`, or empty.
      workdir: the run folder.

    Raises:
      UserError: `given` is the input, a folder, or made from something else; another `predict` writes to it,
        or predicts the same input.
    """
    source, name = input_source(text, [item.file for item in items]), input_name(text)
    if given:
        output = user_path(given)
        _refuse_input_or_folder(output, user_path(text))
        _refuse_others(output, source)
        with _claimed(output, source) as other:
            if other is not None:
                raise _busy(output)
            yield Place(output, name, source)
        return
    for number in itertools.count(1):
        title = name if number == 1 else f"{name}-{number}"
        output = workdir / FOLDER / f"{title}.csv"
        if _others(output, source):
            continue
        with _claimed(output, source) as other:
            if other == source:
                raise _busy(output)
            # What another process wrote meanwhile is looked at again.
            if other is not None or _others(output, source):
                continue
            if number > 1:
                print(
                    printable(
                        f"files of the name {name} were made from another input: these are called {title}"
                    )
                )
            yield Place(output, title, source)
            return


def _busy(output: Path) -> UserError:
    return UserError(
        f"another `predict` is writing {output}: wait until it has ended, or choose another --output=FILE."
    )


@contextlib.contextmanager
def _claimed(output: Path, source: str) -> Iterator[str | None]:
    """Keeps others from choosing `output` within the block; gives the source of whoever was there before.

    The claim is a lock on a hidden file beside it, which ends with this process however that ends. Where the
    system or the disk has no such locks nothing is kept.
    """
    path = output.with_name(f".{output.name}.lock")
    with disk_errors(f"write {output}", remedy="choose another --output=FILE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8", errors="surrogateescape")
    with file:
        if not _locked(file):
            file.seek(0)
            yield file.read()
            return
        file.truncate(0)
        file.write(source)
        file.flush()
        try:
            yield None
        finally:
            path.unlink(missing_ok=True)


def _locked(file: IO[str]) -> bool:
    """Locks `file`; False where another process has it, or has just removed it."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # no such locks here
        return True
    return os.path.exists(file.name) and os.path.samestat(os.stat(file.name), os.fstat(file.fileno()))


def input_source(text: str, files: Sequence[str]) -> str:
    """The input's absolute path or pattern, links resolved; of standard input a digest of its lines."""
    if text != STANDARD_INPUT:
        return os.path.realpath(user_path(text))
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(os.path.abspath(file)) + b"\0")
    return f"standard input, {len(files)} lines, {digest.hexdigest()[:16]}"


def _stem(output: Path) -> Path:
    return output.with_suffix("") if output.suffix.lower() in (".csv", JSON_LINES) else output


def _files(output: Path) -> Iterator[Path]:
    """Every file that may be written for `output`."""
    stem = _stem(output)
    yield output
    yield differential_json(stem)
    yield differential_json(stem).with_suffix(".csv")
    yield stem.with_name(f"{stem.name}.html")


def _others(output: Path, source: str) -> list[Path]:
    """The files in the way that were not made from `source`, as far as one can tell."""
    there = [path for path in _files(output) if os.path.lexists(path)]
    return [] if not there or _made_from(output) == source else there


def _made_from(output: Path) -> str | None:
    """What the files of `output` were made from; None where they do not say."""
    try:
        return read_json(differential_json(_stem(output)), remedy="")[MADE_FROM]["input"]
    except (UserError, LookupError, TypeError):
        return None


def _refuse_input_or_folder(output: Path, source: Path) -> None:
    if output.exists() and source.exists() and output.samefile(source):
        raise UserError(f"{output} is the input and would be lost: choose another --output=FILE.")
    if output.is_dir():
        raise UserError(f"{output} is a folder: give a file, such as --output={output / 'cells.csv'}.")


def _refuse_others(output: Path, source: str) -> None:
    if others := _others(output, source):
        made_from = _made_from(output)
        origin = f"was made from {made_from}" if made_from else "was not made from this input"
        raise UserError(
            f"{others[0]} {origin} and would be lost: choose another --output=FILE, or move it away."
        )
