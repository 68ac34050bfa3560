"""Folders of a user: which files below them are images, and which a system left there."""

import collections
import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from asae_jax.errors import UserError

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
