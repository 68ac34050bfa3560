"""A folder of class folders, or of the parts of a split that hold them, as a table of examples."""

import dataclasses
import os
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.decode import EXTENSIONS, read_image
from asae_jax.input.split import SPLIT_NAMES
from asae_jax.input.table import Table


def folder_table(path: str | os.PathLike) -> Table:
    """The images below `path`: the class is the name of the first-level folder, depth below it is free.

    Where the first-level folders are `train` and `val`, `validation` or `test` (in any case) and hold
    folders themselves, these are the classes, and the table has the split. The classes are then those of
    `train`: the other parts may lack some, and images of further ones are left out with a warning.

    Classes and names are sorted, hidden files and folders ignored. Files that are no images by their
    extension, and files beside the class folders, are listed in `Table.skipped`. Nothing is opened.

    Raises:
      UserError: the folder is missing or cannot be listed, it has no class folder, a class folder (of
        `train`) holds no image, or parts of a split lie beside other folders.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(
            f"data folder {root} does not exist: give a folder of class folders (--config.data.path=DIR)"
        )
    parts = _parts(root)
    found = sorted(_walk(root), key=lambda file: file.name)
    class_names = _class_names(root, parts, found)
    numbers = {name: number for number, name in enumerate(class_names)}
    faults = [_fault(file, parts, numbers) for file in found]
    _warn_of_unknown_classes(root, found, faults)
    images = [file for file, fault in zip(found, faults, strict=True) if not fault]
    names = np.array([file.name for file in images])
    return Table(
        source="folder",
        class_names=class_names,
        names=names,
        labels=np.array([numbers[file.class_name(parts)] for file in images], np.int32),
        read=lambda row: read_image(root / names[row]),
        splits=np.array([parts[file.folder(0)] for file in images]) if parts else None,
        sizes=np.array([file.size for file in images], np.int64),
        modified=np.array([file.modified for file in images], np.int64),
        skipped=tuple((file.name, fault) for file, fault in zip(found, faults, strict=True) if fault),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _File:
    name: str  # relative to the root, with /
    size: int
    modified: int

    def folder(self, depth: int) -> str:
        """Name of the folder around the file `depth` levels below the root; empty where there is none."""
        pieces = self.name.split("/")
        return pieces[depth] if len(pieces) > depth + 1 else ""

    def class_name(self, parts: Mapping[str, str]) -> str:
        return self.folder(1 if parts else 0)

    @property
    def is_image(self) -> bool:
        return os.path.splitext(self.name)[1].lower() in EXTENSIONS


_UNKNOWN_CLASS = "its class has no folder in train"


def _fault(file: _File, parts: Mapping[str, str], known: Container[str]) -> str:
    if not file.is_image:
        return "no image by its extension"
    if not file.class_name(parts):
        return "not in a class folder"
    return "" if file.class_name(parts) in known else _UNKNOWN_CLASS


def _parts(root: Path) -> dict[str, str]:
    """First-level folder -> "train", "validation" or "test"; empty for plain class folders."""
    folders = _folders(root)
    parts = {name: SPLIT_NAMES[name.lower()] for name in folders if name.lower() in SPLIT_NAMES}
    parts = {name: part for name, part in parts.items() if _folders(root / name)}
    if "train" not in parts.values():
        return {}
    others = [name for name in folders if name not in parts]
    if others:
        raise UserError(
            f"data folder {root} holds {', '.join(parts)} with class folders, and beside them "
            f"{', '.join(others[:5])}: put class folders there, or nothing but train, val and test"
        )
    return parts


def _class_names(root: Path, parts: Mapping[str, str], found: Iterable[_File]) -> tuple[str, ...]:
    roots = [root / name for name, part in parts.items() if part == "train"] or [root]
    folders = sorted(folder / name for folder in roots for name in _folders(folder))
    if not folders:
        raise UserError(
            f"data folder {root} holds no class folders: put each class's images into a folder of its name"
        )
    with_images = {
        file.class_name(parts)
        for file in found
        if file.is_image and (not parts or parts.get(file.folder(0)) == "train")
    }
    for folder in folders:
        if folder.name not in with_images:
            raise UserError(
                f"class folder {folder} holds no images ({' '.join(sorted(EXTENSIONS))}): "
                "add some, or remove the folder"
            )
    return tuple(sorted({folder.name for folder in folders}))


def _warn_of_unknown_classes(root: Path, found: Iterable[_File], faults: Iterable[str]) -> None:
    unknown = [file for file, fault in zip(found, faults, strict=True) if fault == _UNKNOWN_CLASS]
    if unknown:
        names = ", ".join(sorted({file.folder(1) for file in unknown}))
        warnings.warn(
            f"{len(unknown)} images of {root} are left out: class {names} has no folder in train",
            stacklevel=3,
        )


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


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _visible(folder) if entry.is_dir())


def _visible(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"cannot list folder {folder} ({error.strerror}): check its permissions") from error
