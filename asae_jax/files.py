"""Reading and writing files: paths a user typed, atomic writes, JSON, folders of images, disk errors.

Every file the program writes goes through here, so that each kind of trouble is handled once: a name that
is not UTF-8, a crash half-way through a write, a full disk, a folder that cannot be listed.
"""

import collections
import contextlib
import contextvars
import csv
import errno
import hashlib
import itertools
import json
import os
import re
import stat
import types
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from asae_jax.errors import UserError

Made = TypeVar("Made")

IMAGE_EXTENSIONS = frozenset(
    ".bmp .gif .j2k .jfif .jif .jp2 .jpe .jpeg .jpf .jpg .jpx .png .tif .tiff .webp".split()  # noqa: SIM905
)
"""Extensions of the image files that can be read, in lower case."""

_LEFTOVERS = frozenset(
    {
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp"),  # network drives
        *("__macosx", "thumbs", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),  # archives, thumbnails
        *("lost+found", "$recycle.bin", "recycler", "system volume information"),
        *("network trash folder", "temporary items"),
    }
)
"""Files and folders that systems leave beside a user's own, in lower case; many hold thumbnails."""

LEFTOVER = "a thumbnail or note that a system left, not the image itself"
"""Why a list's entry with a name of `is_leftover` is not taken."""


def user_path(text: str | os.PathLike) -> Path:
    """The path a user typed, with `~` expanded; it need not exist."""
    return Path(text).expanduser()


def open_text(path: Path, mode: str = "w") -> IO[str]:
    """Opens a text file as UTF-8 with line ends untouched; file names that are not UTF-8 keep their bytes.

    Args:
      path: of the file.
      mode: of `open`: "r", "w" or "a".
    """
    return path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")


@contextlib.contextmanager
def atomic_text(path: Path) -> Iterator[IO[str]]:
    """A text file to write to, which takes the name `path` only when the block ends without an error.

    The folder is made if missing. A file of that name is always complete: an older one stays until then, and
    after an error. Several processes and threads may write it at once; the last to end wins.
    """
    with _taking_name(path) as part, open_text(part) as file:
        yield file


@contextlib.contextmanager
def atomic_binary(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write to, as `atomic_text`."""
    with _taking_name(path) as part, part.open("wb") as file:
        yield file


@contextlib.contextmanager
def _taking_name(path: Path) -> Iterator[Path]:
    """Another name for a file, which is called `path` when the block has ended without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    waiting = _waiting.get()
    try:
        yield part
        if waiting is None:
            part.replace(path)
        else:
            if path in waiting:
                waiting[path].unlink(missing_ok=True)
            waiting[path] = part
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a failed write, unlike a failed opening, does not say of what
        raise


_waiting: contextvars.ContextVar[dict[Path, Path] | None] = contextvars.ContextVar("_waiting", default=None)
"""Of `together`: final name -> where the file is until then."""


@contextlib.contextmanager
def together() -> Iterator[None]:
    """What is written atomically within the block takes its names when the block ends: all of it, or nothing.

    So a disk that is full half-way leaves no new scores beside older predictions. In between the files cannot
    be read. (A crash at the very end can leave some with their new names.)
    """
    if _waiting.get() is not None:
        yield  # the block around this one
        return
    waiting: dict[Path, Path] = {}
    token = _waiting.set(waiting)
    try:
        yield
        for path, part in waiting.items():
            part.replace(path)
    finally:
        _waiting.reset(token)
        for part in waiting.values():
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` atomically (see `atomic_text`)."""
    with atomic_text(path) as file:
        file.write(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path` atomically (see `atomic_text`)."""
    with atomic_binary(path) as file:
        file.write(data)


def write_json(path: Path, content: Any, *, indent: int = 2) -> None:
    """Writes `content` as JSON to `path` atomically; NaN and infinity are refused, as JSON has neither.

    Bytes of file names that are not UTF-8 are written as escapes, so that the file is UTF-8.
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    write_text(path, re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


CHECKSUM = "sha256_of_the_rest"
"""The entry of a JSON file by which `read_json` sees that another one has changed."""


def write_sealed_json(path: Path, content: dict[str, Any], *, indent: int = 2) -> None:
    """As `write_json`, with a checksum: what has changed since is refused by `read_json`."""
    write_json(path, content | {CHECKSUM: _checksum(content)}, indent=indent)


def _checksum(content: dict[str, Any]) -> str:
    """SHA-256 of what JSON makes of `content`, whatever its order and spaces."""
    parsed = json.loads(json.dumps(content, allow_nan=False))
    return hashlib.sha256(json.dumps(parsed, sort_keys=True).encode()).hexdigest()


MOST_TEXT = 200_000_000
"""Bytes of a text file that is read whole: a list of two million images, as Python objects some gigabytes."""


def read_bounded(path: Path, *, most: int = MOST_TEXT) -> bytes:
    """The content of a file that somebody else may have made.

    Raises:
      OSError: it cannot be read, is a pipe or a device, which may never end, or has more than `most` bytes;
        `strerror` says which.
    """
    check_bounded(path, most=most)
    with path.open("rb") as file:
        content = file.read(most + 1)  # it may have grown
    if len(content) > most:
        raise _too_large(path, most)
    return content


def check_bounded(path: Path, *, most: int = MOST_TEXT) -> None:
    """Raises the OSError of `read_bounded` for a file that is read otherwise."""
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file but a pipe, socket or device", str(path))
    if status.st_size > most:
        raise _too_large(path, most)


def _too_large(path: Path, most: int) -> OSError:
    return OSError(errno.EFBIG, f"more than {most:,} bytes", str(path))


def parse_json(text: str) -> Any:
    """The content of JSON text.

    Raises:
      ValueError: it is not JSON, has NaN or infinity, which JSON has not, a number that no program could
        take, or lists within lists without end.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("too many lists or objects within each other") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def read_json(path: Path, *, remedy: str, most: int = MOST_TEXT) -> Any:
    """The content of a JSON file, without its checksum where it has one.

    Args:
      path: of the file.
      remedy: what the user can do when it cannot be read, as a clause: "train the run again".
      most: bytes that it may have.

    Raises:
      UserError: the file is missing, cannot be read, is too large, is not JSON, or has changed since
        `write_sealed_json`.
    """
    try:
        content = parse_json(read_bounded(path, most=most).decode("utf-8", errors="surrogateescape"))
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}): {remedy}.") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged, it is not JSON ({error}): {remedy}.") from error
    if isinstance(content, dict) and CHECKSUM in content:
        recorded = content.pop(CHECKSUM)
        if recorded != _checksum(content):
            raise UserError(
                f"{path} has changed since it was written: {remedy}; where the change is yours, delete its "
                f"entry {CHECKSUM!r}."
            )
    return content


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_object(path: Path, *, remedy: str, kinds: Mapping[str, type] | None = None) -> dict[str, Any]:
    """The content of a JSON file that holds one object.

    Args:
      path: of the file.
      remedy: as of `read_json`.
      kinds: field -> type of those that must be there.

    Raises:
      UserError: as `read_json`, or the content is something else.
    """
    content = read_json(path, remedy=remedy)
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged, it holds no object with named fields: {remedy}.")
    for name, kind in (kinds or {}).items():
        if not isinstance(content.get(name), kind):
            raise UserError(f"{path} is damaged, its field {name!r} is missing or of another type: {remedy}.")
    return content


def typed(kind: type[Made], values: Mapping[str, Any]) -> Made:
    """The object of a data class that JSON describes.

    Args:
      kind: a data class whose fields are numbers, text, None or one of these, or pairs of numbers.
      values: by the names of its fields.

    Raises:
      TypeError: a field is missing or unknown, or its value of another type.
    """
    made = kind(**values)
    for name, hint in get_type_hints(kind).items():
        alternatives = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        if name in values and not any(_is_of(values[name], one) for one in alternatives):
            raise TypeError(f"{name} is {values[name]!r:.60}")
    return made


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_is_of, value, kinds))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


_LARGEST = 1e300  # larger whole numbers become infinite, or no floats at all


@contextlib.contextmanager
def disk_errors(doing: str, *, remedy: str) -> Iterator[None]:
    """Turns an error of the disk within the block into one line.

    Besides OSError this catches what libraries make of one: Orbax raises ValueError for a full disk.

    Args:
      doing: what was being done: "write the audit to DIR".
      remedy: what the user can do, as a clause: "choose another --workdir=DIR".

    Raises:
      UserError: "cannot DOING (REASON): REMEDY."
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot {doing} ({error.strerror or error}): {remedy}.") from error
    except Exception as error:
        reason = _disk_reason(error)
        if reason is None:
            raise
        raise UserError(f"cannot {doing} ({reason}): {remedy}.") from error


_FAULTS = frozenset(
    number
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EFBIG", "ENAMETOOLONG", "EMFILE",
                 "ENFILE", "ESTALE", "EISDIR", "ENOTDIR")
    if (number := getattr(errno, name, None)) is not None
)  # fmt: skip
"""Errors of a disk or of its permissions: never a fault of the program."""


def disk_fault(error: BaseException | None) -> str | None:
    """What a disk refused and which file, where `error` comes from that; None where it is something else.

    For errors that no `disk_errors` has turned into a line, such as those of a library's own threads.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FAULTS:
            names = [str(name) for name in (error.filename, error.filename2) if name is not None]
            return " ".join([error.strerror or str(error), *(f"({name})" for name in names[-1:])])
        if (reason := _named_fault(error)) is not None:
            return reason
        error = error.__cause__ or error.__context__
    return None


def _named_fault(error: BaseException) -> str | None:
    """The disk error whose text is in that of `error`, as libraries have it."""
    said = str(error).lower()
    faults = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO))
    return next((fault for fault in faults if fault.lower() in said), None)


def _disk_reason(error: BaseException | None) -> str | None:
    """The disk error that `error` was raised from or speaks of; None where there is none."""
    while error is not None:
        if isinstance(error, OSError):
            return error.strerror or str(error)
        if (reason := _named_fault(error)) is not None:
            return reason
        error = error.__cause__ or error.__context__
    return None


class CsvWriter:
    """Writes rows of a CSV file; text that a spreadsheet would take for a formula begins with an apostrophe.

    Names of files, classes and patients come from others, and laboratories open results in spreadsheets.
    """

    def __init__(self, file: IO[str]):
        """Takes a file of `open_text` or `atomic_text`."""
        self._writer = csv.writer(file)

    def writerow(self, row: Iterable[Any]) -> None:
        """Writes one row."""
        self._writer.writerow([guarded(value) if isinstance(value, str) else value for value in row])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Writes several rows."""
        for row in rows:
            self.writerow(row)


def csv_records(file: IO[str]) -> Iterator[list[str]]:
    """The rows that `CsvWriter` wrote.

    Raises:
      csv.Error: no comma-separated values.
    """
    return ([unguarded(cell) for cell in row] for row in csv.reader(file))


def guarded(text: str) -> str:
    """`text` as a cell of a CSV file, which no spreadsheet takes for a formula; `unguarded` gives `text`.

    A sign alone does nothing: +, -1 and CD34+ stay as they are.
    """
    return f"'{text}" if _is_formula(text.lstrip("'")) else text


def unguarded(cell: str) -> str:
    """What `guarded` was given."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell.lstrip("'")) else cell


def _is_formula(text: str) -> bool:
    text = text.lstrip()
    return text.startswith(("=", "@")) or (text.startswith(("+", "-")) and bool(set(text) & set("(|!")))


class FoundFile(NamedTuple):
    """A file below a folder."""

    name: str
    """Path relative to the folder, with `/`."""
    size: int
    """Bytes."""
    modified: int
    """Modification time in nanoseconds."""
    special: bool = False
    """Whether it is a pipe, socket or device, which has no content to read."""

    @property
    def is_image(self) -> bool:
        """Whether its extension is one of `IMAGE_EXTENSIONS`."""
        return is_image_name(self.name)


_LONGEST_NAME = 80  # characters; disks take 255 bytes


def safe_names(texts: Iterable[str]) -> list[str]:
    """A piece of a file name for each text that every disk takes; all differ, also without regard to case."""
    names: list[str] = []
    taken: set[str] = set()
    for text in texts:
        plain = re.sub(r"[^\w.-]+", "_", text).strip("._")[:_LONGEST_NAME] or "unnamed"
        name = next(n for n in _numbered(plain) if n.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))


def is_image_name(name: str) -> bool:
    """Whether the extension of `name` is one of `IMAGE_EXTENSIONS`, in any case."""
    return os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS


def walk(folder: Path) -> Iterator[FoundFile]:
    """All files below `folder` at any depth, hidden ones left out (`is_hidden`), in no particular order.

    Links are followed, but not into a folder that the walk is inside of. A link that leads nowhere is a file.

    Raises:
      UserError: a folder that cannot be listed, that lies too deep, or that links lead to again and again:
        ten folders that link to each other have millions of paths.
    """
    visits: collections.Counter[tuple[int, int]] = collections.Counter()
    waiting: list[tuple[Path, str, frozenset[tuple[int, int]]]] = [(folder, "", frozenset())]
    while waiting:
        here, prefix, above = waiting.pop()
        status = _folder_status(here)
        place = status.st_dev, status.st_ino
        if place in above:
            continue
        visits[place] += 1
        if visits[place] > _MOST_VISITS or len(above) > _DEEPEST:
            raise UserError(
                f"folder {here} is reached by more than {_MOST_VISITS} links, or lies within more than "
                f"{_DEEPEST} others: remove them"
            )
        for entry in visible_entries(here):
            name = f"{prefix}{entry.name}"
            if is_folder(entry):
                waiting.append((here / entry.name, f"{name}/", above | {place}))
            elif found := _status(entry):
                special = not stat.S_ISREG(found.st_mode) and not stat.S_ISLNK(found.st_mode)
                yield FoundFile(name, found.st_size, found.st_mtime_ns, special)


_MOST_VISITS, _DEEPEST = 20, 200


def _folder_status(folder: Path) -> os.stat_result:
    try:
        return os.stat(folder)
    except OSError as error:
        raise _unlisted(folder, error) from error


def _unlisted(folder: Path, error: OSError) -> UserError:
    return UserError(f"cannot list folder {folder} ({error.strerror}): check its permissions")


def is_folder(entry: os.DirEntry) -> bool:
    """Whether the entry is a folder or a link to one; a link in a circle or to a forbidden place is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _status(entry: os.DirEntry) -> os.stat_result | None:
    """Of a file; of a link that leads nowhere its own; None where it was removed since it was listed."""
    for follow in (True, False):
        with contextlib.suppress(OSError):
            return entry.stat(follow_symlinks=follow)
    return None


def visible_entries(folder: Path) -> list[os.DirEntry]:
    """The entries of `folder` that are not hidden.

    Raises:
      UserError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise _unlisted(folder, error) from error


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over wherever folders are read."""
    return name.startswith(".") or is_leftover(name)


def is_leftover(name: str) -> bool:
    """Whether a system leaves files or folders of this name: thumbnails, recycle bins, notes about files."""
    return name.lower() in _LEFTOVERS or name.startswith(("._", "SYNOFILE_THUMB_"))


def leftover_in(path: str) -> str:
    """The first piece of a path that `is_leftover`; empty where there is none."""
    return next((piece for piece in re.split(r"[/\\]", path) if is_leftover(piece)), "")
