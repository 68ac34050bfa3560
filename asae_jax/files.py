"""Reading and writing files: paths a user typed, atomic writes, bounded reads, disk errors.

Every file the program writes goes through here, so that each kind of trouble is handled once: a name that
is not UTF-8, a crash half-way through a write, a full disk.
"""

import contextlib
import contextvars
import errno
import hashlib
import itertools
import os
import re
import shutil
import stat
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from asae_jax.errors import UserError


def user_path(text: str | os.PathLike) -> Path:
    """The path a user typed, with `~` and `~NAME` expanded where that is a home; it need not exist."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # nobody is called so: a file or folder whose name begins with ~
        return Path(text)


def canonical_path(path: str | os.PathLike) -> str:
    """One name for a file however its path is spelled: absolute, links resolved; on Windows in lower case.

    It need not exist.
    """
    return os.path.normcase(os.path.realpath(path))


def in_real_folder(path: str | os.PathLike) -> str:
    """One name for a file however its folder is spelled: absolute, links of the folder resolved.

    The file may be a link itself, and stays one: a list may name it beside what it leads to.
    """
    whole = os.path.abspath(path)
    folder, name = os.path.split(whole)
    # The null character is in no path, and what is asked of such a one is an error.
    return whole if "\0" in folder else os.path.join(os.path.realpath(folder), name)


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
    after an error. Several processes and threads may write it at once; the last to end wins. A link stays
    one, and what it leads to is written; whoever could read an older file, and nobody else, can read the new.

    Raises:
      OSError: it cannot be written, or is a pipe, a socket or a device; `strerror` says which.
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
    given, path = path, _written(path)
    part, mode = name_beside(path), _mode(path)
    waiting = _waiting.get()
    try:
        if mode is not None:
            part.touch(0o600)  # nobody else reads it meanwhile
        yield part
        if mode is not None:
            with contextlib.suppress(OSError):  # a disk without such bits
                part.chmod(mode)
        if waiting is None:
            _replace(part, path)
        else:
            if given != path:
                waiting.pop(given, None)  # the link was to be removed, and is written again
            if before := waiting.get(path):
                before.unlink(missing_ok=True)
            waiting[path] = part
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a failed write, unlike a failed opening, does not say of what
        raise


def _written(path: Path) -> Path:
    """The file that is replaced where `path` is written (`_behind_links`).

    Raises:
      OSError: it is a pipe, a socket or a device, in whose place a file would come.
    """
    target = _behind_links(path)
    if os.path.exists(target) and not os.path.isfile(target) and not os.path.isdir(target):
        raise _special(path)
    return target


def _behind_links(path: Path) -> Path:
    """What a link leads to, so that it stays a link when that is replaced; any other path as it is."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def _mode(path: Path) -> int | None:
    """Who may read and write a file; None where none is there, and on Windows, which has no such bits."""
    with contextlib.suppress(OSError):
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode) and not HOLDS_OPEN_FILES:
            return stat.S_IMODE(status.st_mode)
    return None


def name_beside(path: Path) -> Path:
    """A new name in the folder of `path`, for what is called `path` when it is complete."""
    return path.parent / f"{path.name}.{uuid.uuid4().hex[:8]}.part"  # `with_name` refuses "." and "/"


def irreplaceable(path: Path) -> str:
    """Why an empty folder cannot be replaced (a link, a mount point, the working directory), as a clause.

    Empty if it can.
    """
    if path.is_symlink():
        return "is a link"
    if not path.exists():
        return ""
    if os.path.samefile(path, os.curdir):
        return "is the folder that you work in"
    return "is a mount point" if os.path.ismount(path) else ""


_waiting: contextvars.ContextVar[dict[Path, Path | None] | None] = contextvars.ContextVar(
    "_waiting", default=None
)
"""Of `together`: final name -> where the file is until then; None where there is to be none."""


@contextlib.contextmanager
def together() -> Iterator[None]:
    """What is written atomically within the block takes its names when the block ends: all of it, or nothing.

    So a disk that is full half-way, or a file that another program keeps open (Windows), leaves no new scores
    beside older predictions. In between the files cannot be read. What is removed (`remove`) goes last. (A
    crash at the very end can leave some with their new names, and `.part` files beside them.)

    Raises:
      PermissionError: a file that cannot be replaced; `strerror` names it.
    """
    if _waiting.get() is not None:
        yield  # the block around this one
        return
    waiting: dict[Path, Path | None] = {}
    token = _waiting.set(waiting)
    try:
        yield
        _take_names(waiting)
    finally:
        _waiting.reset(token)
        for part in filter(None, waiting.values()):
            part.unlink(missing_ok=True)


def _take_names(waiting: Mapping[Path, Path | None]) -> None:
    """Gives all files their names, or after an error every name what it had before."""
    before: dict[Path, Path | None] = {}
    try:
        for path in sorted(waiting, key=lambda path: waiting[path] is None):
            before[path] = _second_name(path)
            part = waiting[path]
            if part is not None:
                _replace(part, path)
            else:
                path.unlink(missing_ok=True)
    except BaseException:
        with contextlib.ExitStack() as every:  # where one cannot be put back, the others still are
            for path, kept in before.items():
                every.callback(_put_back, path, kept, waiting[path] or path)
        raise
    for kept in filter(None, before.values()):
        with contextlib.suppress(OSError):  # all is written: a virus scanner may still read the old one
            kept.unlink()


def _put_back(path: Path, kept: Path | None, new: Path) -> None:
    """Gives `path` what it had before, `kept`; where `new` is still there, it was not touched."""
    untouched = os.path.lexists(new)
    if untouched and kept is not None:
        kept.unlink()
    elif kept is not None:
        kept.replace(path)
    elif not untouched:
        path.unlink(missing_ok=True)


def _second_name(path: Path) -> Path | None:
    """Another name for what `path` is now, or a copy; None where that is nothing, or a folder."""
    if not os.path.lexists(path) or path.is_dir():
        return None
    kept = name_beside(path)
    if not HOLDS_OPEN_FILES:
        with contextlib.suppress(OSError, NotImplementedError):  # a disk without links
            os.link(path, kept, follow_symlinks=False)
            return kept
    try:
        shutil.copy2(path, kept, follow_symlinks=False)
    except BaseException:
        kept.unlink(missing_ok=True)  # the disk is full
        raise
    return kept


HOLDS_OPEN_FILES = os.name == "nt"
"""Whether a file that is open loses none of its names, so that a second one could not be taken back."""


def _replace(part: Path, path: Path) -> None:
    """Gives the file `part` the name `path`.

    Raises:
      PermissionError: `path` cannot be replaced; `strerror` names it.
    """
    try:
        part.replace(path)
    except PermissionError as error:
        reason = f"{path.name} cannot be replaced: another program may have it open; close it there"
        raise PermissionError(error.errno, reason, str(path)) from error


def check_replaceable(path: Path) -> None:
    """Finds before the work whether a file that is there can be replaced after it; it stays as it is.

    Raises:
      PermissionError: it cannot, as on Windows a table that is open in Excel; `strerror` names it.
    """
    path = _written(path)
    if os.path.lexists(path):
        _replace(path, path)


def remove(path: Path) -> None:
    """Removes a file if there is one; within `together` when the block ends, unless it is written again.

    Of a link, the link: what it leads to may be of use elsewhere.
    """
    waiting = _waiting.get()
    if waiting is None:
        path.unlink(missing_ok=True)
        return
    if part := waiting.pop(_behind_links(path), None):
        part.unlink(missing_ok=True)
    waiting[path] = None


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` atomically (see `atomic_text`)."""
    with atomic_text(path) as file:
        file.write(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path` atomically (see `atomic_text`)."""
    with atomic_binary(path) as file:
        file.write(data)


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
        raise _special(path)
    if status.st_size > most:
        raise _too_large(path, most)


def _special(path: Path) -> OSError:
    return OSError(errno.EINVAL, "not a file but a pipe, socket or device", str(path))


def _too_large(path: Path, most: int) -> OSError:
    return OSError(errno.EFBIG, f"more than {most:,} bytes", str(path))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


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
    except Exception as error:
        found = _refused(error, numbers=None)
        if found is None:
            raise
        raise UserError(f"cannot {doing} ({found.reason}): {remedy}.") from error


_FAULTS = frozenset(
    number
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EFBIG", "ENAMETOOLONG", "EMFILE",
                 "ENFILE", "ESTALE", "EISDIR", "ENOTDIR")
    if (number := getattr(errno, name, None)) is not None
)  # fmt: skip
"""Errors of a disk or of its permissions: never a fault of the program."""


def disk_fault(error: BaseException | None) -> str | None:
    """What a disk refused and which file, where `error` comes from that; None where it is something else.

    For errors that no `disk_errors` has turned into a line, such as those of a library's own threads. Nothing
    says that files were being worked on: a missing one may be a fault of the program.
    """
    found = _refused(error, numbers=_FAULTS)
    return None if found is None else f"{found.reason} ({found.file})" if found.file else found.reason


class _Refused(NamedTuple):
    """What a disk or the system refused, and the file where the error names one."""

    reason: str
    file: str = ""


def _refused(error: BaseException | None, *, numbers: frozenset[int] | None) -> _Refused | None:
    """The first error of a disk in the chain that `error` comes from; None where there is none.

    Args:
      error: an exception.
      numbers: of `errno`, that count; None: every OSError does.
    """
    while error is not None:
        if isinstance(error, OSError) and (numbers is None or error.errno in numbers):
            names = [str(name) for name in (error.filename, error.filename2) if name is not None]
            return _Refused(error.strerror or str(error), *names[-1:])
        if (reason := _named_fault(error)) is not None:
            return _Refused(reason)
        error = _behind(error)
    return None


def _behind(error: BaseException) -> BaseException | None:
    """What `error` comes from; nothing where it was raised `from None`: then that had been dealt with."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _named_fault(error: BaseException) -> str | None:
    """The disk error whose text is in that of `error`, as libraries have it."""
    said = str(error).lower()
    faults = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO))
    return next((fault for fault in faults if fault.lower() in said), None)


_LONGEST_NAME = 100
"""Bytes of a name in UTF-8, of the 255 that disks take: more is put before and behind it."""


def safe_names(texts: Iterable[str]) -> list[str]:
    """A piece of a file name for each text, which every disk takes: `_LONGEST_NAME` bytes at most.

    All differ, also without regard to case and to the Unicode form of accents.
    """
    names: list[str] = []
    taken: set[str] = set()
    for text in texts:
        whole = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", text)).strip("._")
        plain = whole.encode()[:_LONGEST_NAME].decode(errors="ignore") or "unnamed"
        name = next(n for n in _numbered(plain) if n.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))
