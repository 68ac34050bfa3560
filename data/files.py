"""Finding the class folders of an unpacked archive, and the images in them."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from absl import logging

from asae_jax.errors import UserError
from asae_jax.folders import is_folder, visible_entries, walk

_DEEPEST = 3


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
      UserError: none within three levels, or a folder that cannot be listed.
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

    Other folders beside them, files that are no images by their extension, and pipes and devices are left out
    with one line of warning each kind. What is hidden or left by a system is ignored (`asae_jax.folders`):
    one public archive has a stray hidden image, and network drives keep a thumbnail of every image.

    Args:
      root: the folder of class folders.
      folders: names of the class folders.
      title: of the set, for the warnings.

    Raises:
      UserError: a folder that cannot be listed, or that `asae_jax.folders.walk` refuses.
    """
    others = [folder.name for folder in _folders(root) if folder.name not in folders]
    warn_left_out(title, "not a class folder", others)
    classes = [folder for folder in _folders(root) if folder.name in folders]
    found = {f"{folder.name}/{file.name}": file for folder in classes for file in walk(folder)}
    names = sorted(found)
    warn_left_out(title, "no image by its extension", [name for name in names if not found[name].is_image])
    images = [name for name in names if found[name].is_image]
    warn_left_out(title, "a pipe, socket or device", [name for name in images if found[name].special])
    readable = [name for name in images if not found[name].special]
    return [ImageFile(root / name, name, name.partition("/")[0]) for name in readable]


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
    """The folders in `folder`, sorted by name; none where it is no folder."""
    if not folder.is_dir():
        return []
    return sorted(Path(entry.path) for entry in visible_entries(folder) if is_folder(entry))
