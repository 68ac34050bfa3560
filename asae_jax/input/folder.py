"""A folder of class folders as a table of examples."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.decode import EXTENSIONS, read_image
from asae_jax.input.table import Table


def folder_table(path: str | os.PathLike) -> Table:
    """The images below `path`: the class is the name of the first-level folder, depth below it is free.

    Classes and names are sorted, hidden files and folders ignored. Files that are no images by their
    extension, and files beside the class folders, are listed in `Table.skipped`. Nothing is opened.

    Raises:
      UserError: the folder is missing or cannot be listed, it has no class folder, or a class folder
        holds no image.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(
            f"data folder {root} does not exist: give a folder of class folders (--config.data.path=DIR)"
        )
    found = sorted(_walk(root), key=lambda file: file.name)
    images = [file for file in found if file.is_image and file.class_name]
    class_names = _class_names(root, {file.class_name for file in images})
    names = np.array([file.name for file in images])
    numbers = {name: number for number, name in enumerate(class_names)}
    return Table(
        source="folder",
        class_names=class_names,
        names=names,
        labels=np.array([numbers[file.class_name] for file in images], np.int32),
        read=lambda row: read_image(root / names[row]),
        sizes=np.array([file.size for file in images], np.int64),
        modified=np.array([file.modified for file in images], np.int64),
        skipped=tuple((file.name, file.fault) for file in found if not (file.is_image and file.class_name)),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _File:
    name: str  # relative to the root, with /
    size: int
    modified: int

    @property
    def class_name(self) -> str:
        return self.name.partition("/")[0] if "/" in self.name else ""

    @property
    def is_image(self) -> bool:
        return os.path.splitext(self.name)[1].lower() in EXTENSIONS

    @property
    def fault(self) -> str:
        return "not in a class folder" if self.is_image else "no image by its extension"


def _class_names(root: Path, with_images: set[str]) -> tuple[str, ...]:
    folders = sorted(entry.name for entry in _visible(root) if entry.is_dir())
    if not folders:
        raise UserError(
            f"data folder {root} holds no class folders: put each class's images into a folder of its name"
        )
    for name in folders:
        if name not in with_images:
            raise UserError(
                f"class folder {root / name} holds no images ({' '.join(sorted(EXTENSIONS))}): "
                "add some, or remove the folder"
            )
    return tuple(folders)


def _walk(folder: Path, prefix: str = "", above: frozenset[str] = frozenset()) -> Iterator[_File]:
    """All files below `folder`. Links are followed, but not to a folder that the walk is inside of."""
    place = os.path.realpath(folder)
    if place in above:
        return
    for entry in _visible(folder):
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _walk(folder / entry.name, f"{name}/", above | {place})
        else:
            status = entry.stat(follow_symlinks=entry.is_file())  # of a dangling link: its own
            yield _File(name, status.st_size, status.st_mtime_ns)


def _visible(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"cannot list folder {folder} ({error.strerror}): check its permissions") from error
