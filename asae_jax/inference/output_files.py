"""Where commands write: every input has names of its own, and nothing made from another is replaced."""

import contextlib
import dataclasses
import hashlib
import importlib.util
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from asae_jax.errors import UserError
from asae_jax.files import check_replaceable, disk_errors, remove, user_path
from asae_jax.inference.inputs import STANDARD_INPUT, Item, input_name
from asae_jax.json_files import read_json
from asae_jax.pages import printable

MADE_FROM = "made_from"
"""Field of a JSON file of each command that tells what the files were made from."""


@dataclasses.dataclass(frozen=True)
class FileKinds:
    """The kinds of files that a command writes for one input: NAME and an ending each.

    Attributes:
      folder: in the run folder.
      endings: of all files that may be written; the first is that of the main one.
      record: the ending of the JSON file with the field `MADE_FROM`.
      given: the endings that the name of the main file may have where it is given.
      example: of such a name.
    """

    folder: str
    endings: tuple[str, ...]
    record: str
    given: tuple[str, ...]
    example: str


@dataclasses.dataclass(frozen=True)
class OutputFiles:
    """The files of one input, and where they go.

    Attributes:
      output: the main file, of the first of the kinds.
      title: of the page.
      source: what tells this input from others, see `input_source`.
      kinds: what the command writes.
      listing: what its files are called, and how large some are, see `_listing`.
    """

    output: Path
    title: str
    source: str
    kinds: FileKinds
    listing: str = ""

    @property
    def stem(self) -> Path:
        """What the names of the other files begin with."""
        return self.output.with_suffix("")

    def beside(self, ending: str) -> Path:
        """The file of this ending."""
        return self.stem.with_name(self.stem.name + ending)

    def remove(self, *endings: str) -> None:
        """Removes the files of these endings, which an earlier call on the same input may have left."""
        for ending in endings:
            remove(self.beside(ending))

    def check_replaceable(self) -> None:
        """Raises a UserError where a file that is there cannot be replaced, see `asae_jax.files`."""
        with disk_errors(f"write {self.output}", remedy="else choose another --output=FILE"):
            for path in map(self.beside, (self.output.suffix, *self.kinds.endings[1:])):
                check_replaceable(path)

    def others(self) -> list[Path]:
        """The files in the way that were not made from `source`, as far as one can tell."""
        every = [self.output, *map(self.beside, self.kinds.endings[1:])]
        there = [path for path in every if os.path.lexists(path)]
        return [] if not there or self.made_from() == self.source else there

    def other_kinds(self) -> list[Path]:
        """Main files of this name of another kind (`a.jsonl` beside `a.csv`); the input is none."""
        every = (self.beside(ending) for ending in self.kinds.given if ending != self.output.suffix.lower())
        return [path for path in every if path.exists() and os.path.realpath(path) != self.source]

    def record(self) -> dict[str, str]:
        """What is recorded of the input, for `made_from`."""
        return {"input": self.source, "input_from_here": self._from_here(), "input_files": self.listing}

    def made_from(self) -> str | None:
        """What the files that are there were made from, also where it was moved together with them.

        None where they do not say.
        """
        return self.source if self._moved() else self._recorded("input")

    def former_source(self) -> str:
        """`source` as it was when the files that are there were made, where they were made from it."""
        return (self._recorded("input") if self._moved() else None) or self.source

    def _moved(self) -> bool:
        """Whether input and files lie to each other as before, and the input no longer where it was.

        A copy of the files beside another input of the same name is told by the files of that.
        """
        recorded = self._recorded("input")
        if recorded in (None, self.source) or not os.path.lexists(self.source):
            return False
        now = self.record()
        same = all(now[name] == self._recorded(name) for name in ("input_from_here", "input_files"))
        return same and not os.path.lexists(str(recorded))

    def _from_here(self) -> str:
        """The input as seen from the folder of the files."""
        return _seen_from(os.path.realpath(self.output.parent), self.source)

    def page_key(self) -> str | None:
        """What a browser keeps the labels of the page there under; None where that is not recorded."""
        key = self._recorded("page")
        return key if key is not None and re.fullmatch("[0-9a-f]{16}", key) else None

    def _recorded(self, name: str) -> str | None:
        try:
            return str(read_json(self.beside(self.kinds.record), remedy="")[MADE_FROM][name])
        except (UserError, LookupError, TypeError):
            return None


@contextlib.contextmanager
def chosen_files(
    text: str, items: Sequence[Item], *, given: str, workdir: Path, kinds: FileKinds
) -> Iterator[OutputFiles]:
    """Where to write the files of an input; within the block no other process writes there.

    Without `given` that is RUN/FOLDER/NAME.csv, FOLDER being that of `kinds` and NAME that of the input.
    Where files of this name exist that were not made from the same input, or are being written at this
    moment, a number is put behind it: NAME-2. Files made from the same input are replaced, whatever their
    number.

    Args:
      text: the command's input, such as `predict.input`.
      items: the images that it names.
      given: the command's output, such as `predict.output`; or empty.
      workdir: the run folder.
      kinds: what the command writes.

    Raises:
      UserError: `given` is the input, a folder, or made from something else; another process writes to
        it, or works on the same input.
    """
    names = [item.file for item in items]
    source, name, listing = input_source(text, names), input_name(text), _listing(text, names)
    if given:
        files = OutputFiles(user_path(given), name, source, kinds, listing)
        _refuse_ending(files)
        _refuse_input_or_folder(files, user_path(text))
        _refuse_others(files)
        with _claimed(files) as other:
            if other is not None:
                raise _busy(files)
            files.check_replaceable()
            yield files
        return
    first = OutputFiles(workdir / kinds.folder / f"{name}{kinds.endings[0]}", name, source, kinds, listing)
    for number in itertools.chain(_own_numbers(first), itertools.count(1)):
        files = _numbered(first, number)
        if files.others():
            continue
        with _claimed(files) as other:
            if other == source:
                raise _busy(files)
            # What another process wrote meanwhile is looked at again.
            if other is not None or files.others():
                continue
            if number > 1:
                print(printable(_RENAMED.format(name, files.title)))
            files.check_replaceable()
            yield files
            return


def _numbered(first: OutputFiles, number: int) -> OutputFiles:
    """The files with a number behind their name."""
    if number == 1:
        return first
    title = f"{first.title}-{number}"
    output = first.output.with_name(f"{title}{first.kinds.endings[0]}")
    return dataclasses.replace(first, output=output, title=title)


def _own_numbers(first: OutputFiles) -> list[int]:
    """Numbers behind the name of files made from this input, also where a smaller one has become free.

    The page keeps its path then, and with it what a browser keeps of it.
    """
    ending = re.escape(first.kinds.record)
    record = re.compile(rf"{re.escape(first.title)}(?:-([1-9][0-9]{{0,5}}))?{ending}")
    try:
        entries = os.listdir(first.output.parent)
    except OSError:
        return []  # nothing was written yet, or writing will say why it cannot be
    there = [found for entry in entries if (found := record.fullmatch(entry))]
    numbers = sorted(int(found[1] or 1) for found in there)
    return [number for number in numbers if _numbered(first, number).made_from() == first.source]


_RENAMED = "files of the name {} were made from another input: these are called {}"


def _refuse_ending(files: OutputFiles) -> None:
    """Raises a UserError where the name would promise another kind of file."""
    if files.output.suffix.lower() not in files.kinds.given and not files.output.is_dir():
        raise UserError(
            f"{files.output} ends with none of {', '.join(files.kinds.given)}: give a name such as "
            f"--output={files.kinds.example}"
        )


def _busy(files: OutputFiles) -> UserError:
    return UserError(
        f"another command is writing {files.output}: wait until it has ended, or choose another "
        "--output=FILE."
    )


@contextlib.contextmanager
def _claimed(files: OutputFiles) -> Iterator[str | None]:
    """Keeps others from choosing `files` within the block; gives the source of whoever was there before.

    The claim is a lock on a hidden file beside it, which ends with this process however that ends. Where the
    system or the disk has no such locks nothing is kept.
    """
    path = files.output.with_name(f".{files.output.name}.lock")
    with disk_errors(f"write {files.output}", remedy="choose another --output=FILE"):
        is_new = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8", errors="surrogateescape")
    with file:
        if not _locked(file):
            file.seek(0)
            yield file.read()
            return
        file.truncate(0)
        file.write(files.source)
        file.flush()
        try:
            yield None
        finally:
            if importlib.util.find_spec("fcntl") is None:
                file.close()  # Windows removes no open file, and has no lock that would end with it
            path.unlink(missing_ok=True)
            if is_new:
                with contextlib.suppress(OSError):  # it holds what was written
                    path.parent.rmdir()


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


_SIZES = 100
"""Files whose size is looked at, at most: on a network drive each costs a question."""


def _listing(text: str, files: Sequence[str]) -> str:
    """Digest of what an input's files are called from there, in its order, and of the size of some."""
    input_path = os.path.abspath(user_path(text))
    root = os.path.dirname(input_path) if os.path.isfile(input_path) else input_path
    step = -(-len(files) // _SIZES) or 1
    digest = hashlib.sha256()
    for number, file in enumerate(files):
        size = _size(file) if number % step == 0 else -1
        digest.update(os.fsencode(_seen_from(root, file)) + f"\0{size}\0".encode())
    return digest.hexdigest()[:16]


def _seen_from(root: str, file: str) -> str:
    """The path of `file` as seen from the folder `root`; the path itself where there is none from there."""
    try:
        return os.path.relpath(file, root) if file else ""
    except ValueError:  # Windows has no path from one drive to another, nor is there one of a null character
        return file


def _size(file: str) -> int:
    """Bytes; -1 where the file cannot be asked."""
    try:
        return os.stat(file).st_size
    except (OSError, ValueError):
        return -1


def _refuse_input_or_folder(files: OutputFiles, source: Path) -> None:
    output = files.output
    if output.exists() and source.exists() and output.samefile(source):
        raise UserError(f"{output} is the input and would be lost: choose another --output=FILE.")
    if output.is_dir():
        raise UserError(
            f"{output} is a folder: give a file, such as --output={output / files.kinds.example}."
        )


def _refuse_others(files: OutputFiles) -> None:
    if others := files.others():
        made_from = files.made_from()
        origin = f"was made from {made_from}" if made_from else "was not made from this input"
        raise UserError(
            f"{others[0]} {origin} and would be lost: choose another --output=FILE, or move it away."
        )
