"""Finding the class folders of an unpacked archive, and the images in them."""

import dataclasses
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from absl import logging

from asae_jax.errors import UserError
from asae_jax.folders import IMAGE_EXTENSIONS

_DEEPEST = 3
_IGNORED = "__MACOSX"  # a Mac's archiver puts a shadow of every folder there


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFile:
    """An image and where its label comes from.

    Attributes:
      path: where it lies.
      name: the path below the folder of class folders, with `/`; unique in its set.
      folder: name of its class folder.
    """

    path: Path
    name: str
    folder: str


def folder_with(top: Path, names: Collection[str]) -> Path:
    """The folder that holds the folders `names`: `top`, or the nearest below it.

    Archives differ in how many folders they wrap around their content, and unpackers add one more. At
    the same depth the folder with most of `names` wins.

    Raises:
      UserError: none within three levels.
    """
    level = [top]
    for _ in range(_DEEPEST + 1):
        below = {folder: _folders(folder) for folder in level}
        best = max(level, key=lambda folder: len(_named(below[folder], names)), default=top)
        if _named(below.get(best, []), names):
            return best
        level = [inner for folder in level for inner in below[folder]]
    raise UserError(
        f"{top} holds none of the folders {', '.join(sorted(names))}: "
        "unpack the archive there, or name the folder it was unpacked to"
    )


def images_by_class(root: Path, folders: Collection[str], *, title: str) -> list[ImageFile]:
    """The images in `root`'s class folders, at any depth, sorted by name.

    Other folders beside them, and files that are no images by their extension, are left out with one
    line of warning each kind. Hidden files are ignored: one public archive has such a stray image.

    Args:
      root: the folder of class folders.
      folders: names of the class folders.
      title: of the set, for the warnings.
    """
    others = [folder.name for folder in _folders(root) if folder.name not in folders]
    warn_left_out(title, "not a class folder", others)
    files = [file for name in sorted(folders) for file in _walk(root / name, name, name)]
    images = [file for file in files if is_image(file.path)]
    warn_left_out(
        title, "no image by its extension", [file.name for file in files if not is_image(file.path)]
    )
    return images


def is_image(path: Path) -> bool:
    """Whether the extension is one of `asae_jax.folders.IMAGE_EXTENSIONS`."""
    return path.suffix.lower() in IMAGE_EXTENSIONS


def warn_left_out(title: str, reason: str, names: Sequence[str]) -> None:
    """One line of warning about what a set holds and a builder leaves out; none where there is nothing."""
    if names:
        logging.warning("%s: left out %d (%s), first %s", title, len(names), reason, names[0])


def warn_of_counts(title: str, documented: dict[str, int], found: Counter) -> None:
    """One line of warning that lists every class whose number of images is not the documented one."""
    differences = [
        f"{name} {number} documented, {found[name]} found"
        for name, number in documented.items()
        if found[name] != number
    ]
    if differences:
        logging.warning("%s: other numbers of images than documented: %s", title, "; ".join(differences))


def _named(folders: Sequence[Path], names: Collection[str]) -> list[Path]:
    return [folder for folder in folders if folder.name in names]


def _folders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _visible(folder) if entry.is_dir()]


def _walk(folder: Path, name: str, top: str) -> Iterator[ImageFile]:
    for entry in _visible(folder):
        inner = f"{name}/{entry.name}"
        if entry.is_dir():
            yield from _walk(Path(entry.path), inner, top)
        else:
            yield ImageFile(Path(entry.path), inner, top)


def _visible(folder: Path) -> list[os.DirEntry]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".") and entry.name != _IGNORED]
    return sorted(shown, key=lambda entry: entry.name)
