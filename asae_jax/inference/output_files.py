"""Where commands write: every input has names of its own, and nothing made from another is replaced."""

import contextlib
import dataclasses
import hashlib
import importlib.util
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from asae_jax.errors import UserError
from asae_jax.files import check_replaceable, disk_errors, remove, user_path
from asae_jax.inference.inputs import STANDARD_INPUT, Item, input_name
from asae_jax.json_files import read_json
from asae_jax.pages import printable

MADE_FROM = "made_from"
"""Field of a JSON file of each command that tells what the files were made from."""
LOCK = ".lock"
"""Ending of the hidden file beside what is being written."""


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
class Source:
    """An input, as what was made from it knows it again.

    Attributes:
      path: absolute path or pattern, links resolved; of standard input a digest of its lines; of anything
        else words that tell it from others.
      listing: what its files are called, and how large some are, see `_listing`; empty where nothing of it
        can be moved.
    """

    path: str
    listing: str = ""

    @classmethod
    def of(cls, text: str, files: Sequence[str]) -> "Source":
        """The source of an input such as `predict.input`, which names `files`."""
        if text == STANDARD_INPUT:
            paths = b"".join(os.fsencode(os.path.abspath(file)) + b"\0" for file in files)
            digest = hashlib.sha256(paths).hexdigest()
            return cls(f"standard input, {len(files)} lines, {digest[:16]}")
        return cls(os.path.realpath(user_path(text)), _listing(text, files))

    def record(self, folder: Path) -> dict[str, str]:
        """What is recorded of it in `folder`."""
        if not self.listing:
            return {"input": self.path}
        here = _seen_from(os.path.realpath(folder), self.path)
        return {"input": self.path, "input_from_here": here, "input_files": self.listing}

    def is_of(self, folder: Path, recorded: Mapping[str, Any]) -> bool:
        """Whether it is what `recorded` in `folder` is of, also where it was moved together with that folder.

        Then input and folder lie to each other as before, and the input no longer where it was. A copy of
        the folder beside another input of the same name is told by the files of that.
        """
        before = recorded.get("input")
        if before == self.path:
            return True
        if not (before and self.listing and os.path.lexists(self.path)) or os.path.lexists(str(before)):
            return False
        now = self.record(folder)
        return all(now[name] == recorded.get(name) for name in ("input_from_here", "input_files"))


def read_recorded(path: Path, field: str = "") -> dict[str, Any]:
    """What a JSON file, or its field, has recorded (`Source.record`); empty where it does not say."""
    try:
        content = read_json(path, remedy="")
        content = content[field] if field else content
    except (UserError, LookupError, TypeError):
        return {}
    return content if isinstance(content, dict) else {}


@dataclasses.dataclass(frozen=True)
class OutputFiles:
    """The files of one input, and where they go.

    Attributes:
      output: the main file, of the first of the kinds.
      title: of the page.
      source: the input.
      kinds: what the command writes.
    """

    output: Path
    title: str
    source: Source
    kinds: FileKinds

    @property
    def stem(self) -> Path:
        """What the names of the other files begin with."""
        return self.output.with_suffix("")

    def beside(self, ending: str) -> Path:
        """The file of this ending."""
        return self.stem.with_name(self.stem.name + ending)

    def every(self) -> list[Path]:
        """All files that may be written."""
        return [self.output, *map(self.beside, self.kinds.endings[1:])]

    def remove(self, *endings: str) -> None:
        """Removes the files of these endings, which an earlier call on the same input may have left."""
        for ending in endings:
            remove(self.beside(ending))

    def check_replaceable(self) -> None:
        """Raises a UserError where a file that is there cannot be replaced, see `asae_jax.files`."""
        with disk_errors(f"write {self.output}", remedy="else choose another --output=FILE"):
            for path in self.every():
                check_replaceable(path)

    def numbered(self, number: int) -> "OutputFiles":
        """The files with a number behind their name, from 2 on."""
        if number == 1:
            return self
        title = f"{self.title}-{number}"
        output = self.output.with_name(f"{title}{self.kinds.endings[0]}")
        return dataclasses.replace(self, output=output, title=title)

    def is_own(self) -> bool:
        """Whether the files that are there say that they were made from `source`."""
        return self.source.is_of(self.output.parent, self.recorded())

    def others(self) -> list[Path]:
        """The files in the way that were not made from `source`, as far as one can tell."""
        there = [path for path in self.every() if os.path.lexists(path)]
        return [] if not there or self.is_own() else there

    def other_kinds(self) -> list[Path]:
        """Main files of this name of another kind (`a.jsonl` beside `a.csv`); the input is none."""
        every = (self.beside(ending) for ending in self.kinds.given if ending != self.output.suffix.lower())
        return [path for path in every if path.exists() and os.path.realpath(path) != self.source.path]

    def record(self) -> dict[str, str]:
        """What is recorded of the input, for `MADE_FROM`."""
        return self.source.record(self.output.parent)

    def recorded(self) -> dict[str, Any]:
        """What the files that are there were made from; empty where they do not say."""
        return read_recorded(self.beside(self.kinds.record), MADE_FROM)

    def former_source(self) -> str:
        """The path of `source` when the files that are there were made, where they were made from it."""
        return str(self.recorded()["input"]) if self.is_own() else self.source.path

    def page_key(self) -> str | None:
        """What a browser keeps the labels of the page there under; None where that is not recorded."""
        key = str(self.recorded().get("page", ""))
        return key if re.fullmatch("[0-9a-f]{16}", key) else None


@contextlib.contextmanager
def chosen_files(
    text: str, items: Sequence[Item], *, given: str, workdir: Path, kinds: FileKinds
) -> Iterator[OutputFiles]:
    """Where to write the files of an input; within the block no other process writes there.

    Without `given` that is RUN/FOLDER/NAME.csv, FOLDER being that of `kinds` and NAME that of the input, with
    a number behind it where that is another's (`free_place`).

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
    source, name = Source.of(text, [item.file for item in items]), input_name(text)
    if given:
        files = OutputFiles(user_path(given), name, source, kinds)
        _refuse_ending(files)
        _refuse_input_or_folder(files, user_path(text))
        _refuse_others(files)
        with claimed(files.output, source):
            files.check_replaceable()
            yield files
        return
    folder = workdir / kinds.folder
    first = OutputFiles(folder / f"{name}{kinds.endings[0]}", name, source, kinds)
    with free_place(first.numbered, folder, name, kinds.record) as files:
        if files.title != name:
            print(printable(_RENAMED.format(name, files.title)))
        files.check_replaceable()
        yield files


class Place(Protocol):
    """Where a command may write; see `OutputFiles`."""

    @property
    def output(self) -> Path:
        """The main file."""

    @property
    def source(self) -> Source:
        """The input."""

    def is_own(self) -> bool:
        """Whether what is there was made from `source`."""

    def others(self) -> Sequence[Path]:
        """What is in the way."""


P = TypeVar("P", bound=Place)


@contextlib.contextmanager
def free_place(numbered: Callable[[int], P], folder: Path, name: str, ending: str) -> Iterator[P]:
    """The first of numbered places that may be written to; within the block no other process writes there.

    Where something is there that was not made from the same input, or is being written at this moment, the
    next number is taken. What was made from the same input is replaced, whatever its number: a page keeps its
    path then, and with it what a browser keeps of it.

    Args:
      numbered: the place of each number, from 1 on.
      folder: of all of them.
      name: of the first there; a hyphen and the number follow in the names of the others.
      ending: of the names there by which earlier ones are found.

    Raises:
      UserError: another process works on the same input.
    """
    for number in itertools.chain(_own_numbers(numbered, folder, name, ending), itertools.count(1)):
        place = numbered(number)
        if place.others():
            continue
        with _locked_by(place.output, place.source.path) as other:
            if other == place.source.path:
                raise _busy(place.output)
            # What another process wrote meanwhile is looked at again.
            if other is None and not place.others():
                yield place
                return


def _own_numbers(numbered: Callable[[int], Place], folder: Path, name: str, ending: str) -> list[int]:
    """Numbers of the places that were made from this input, also where a smaller one has become free."""
    entry = re.compile(rf"{re.escape(name)}(?:-([1-9][0-9]{{0,5}}))?{re.escape(ending)}")
    try:
        entries = os.listdir(folder)
    except OSError:
        return []  # nothing was written yet, or writing will say why it cannot be
    found = sorted(int(place[1] or 1) for each in entries if (place := entry.fullmatch(each)))
    return [number for number in found if numbered(number).is_own()]


_RENAMED = "files of the name {} were made from another input: these are called {}"


def _refuse_ending(files: OutputFiles) -> None:
    """Raises a UserError where the name would promise another kind of file."""
    if files.output.suffix.lower() not in files.kinds.given and not files.output.is_dir():
        raise UserError(
            f"{files.output} ends with none of {', '.join(files.kinds.given)}: give a name such as "
            f"--output={files.kinds.example}"
        )


def _busy(output: Path) -> UserError:
    return UserError(
        f"another command is writing {output}: wait until it has ended, or choose another --output."
    )


@contextlib.contextmanager
def claimed(output: Path, source: Source) -> Iterator[None]:
    """Keeps others from writing `output` within the block; a UserError where somebody does."""
    with _locked_by(output, source.path) as other:
        if other is not None:
            raise _busy(output)
        yield


@contextlib.contextmanager
def _locked_by(output: Path, source: str) -> Iterator[str | None]:
    """Keeps others from choosing `output` within the block; gives the source of whoever was there before.

    The claim is a lock on a hidden file beside it, which ends with this process however that ends. Where the
    system or the disk has no such locks nothing is kept.
    """
    path = output.with_name(f".{output.name}{LOCK}")
    with disk_errors(f"write {output}", remedy="choose another --output"):
        is_new = not path.parent.exists()
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
    if files.output.is_dir():
        cells = files.output.resolve()  # a file among them would be one the next time
        among = source.is_dir() and source.resolve() in (cells, *cells.parents)
        example = files.kinds.example if among else files.output / files.kinds.example
        raise UserError(f"{files.output} is a folder: give a file, such as --output={example}.")
    for path in files.every():
        if path.exists() and source.exists() and path.samefile(source):
            raise UserError(f"{path} is the input and would be lost: choose another --output=FILE.")


def _refuse_others(files: OutputFiles) -> None:
    if others := files.others():
        before = files.recorded().get("input")
        origin = f"was made from {before}" if before else "was not made from this input"
        raise UserError(
            f"{others[0]} {origin} and would be lost: choose another --output=FILE, or move it away."
        )
