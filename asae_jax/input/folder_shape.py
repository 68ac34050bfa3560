"""Whether a folder of images is one level too high, or its folders are not what they are taken for.

Only names are looked at. Class folders and patient folders differ in nothing else, so the shape decides:
where the same sub-folder names stand under each first-level folder, those are the classes. So are names of
known classes in folders that are numbered as patients are, however few these share.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from asae_jax.errors import UserError
from asae_jax.input.cell_classes import cell_classes
from asae_jax.input.index import DATA_OPTIONS
from asae_jax.input.split import SPLIT_NAMES

Folders = tuple[str, ...]
"""The folders around an image, from the outermost; never empty."""

_LOOSE = 0.05
"""Share of images beside the sub-folders that does not change what a folder is (an overview, a scan)."""
_GROUP = re.compile(
    r"(patients?|pat|pt|slides?|subjects?|subj|cases?|donors?|samples?|folds?|batch|set|part|p|s)?[\s_-]*\d[\d\s_-]*",
    re.IGNORECASE,
)
"""Names that people give to patients, slides and parts, and not to classes."""


def check_levels(
    root: Path, images: Sequence[Folders], *, options: str, whole: bool = True, patients: bool = False
) -> None:
    """Refuses a folder whose first level does not look like classes, with the path that does.

    Args:
      root: the folder that was given.
      images: the folders around each image, relative to `root`.
      options: how the command line spells `path` and `groups`, such as "--config.data.".
      whole: whether another path can be given in the place of `root`; False: it is a part of a split.
      patients: whether the user said that the folders inside of class folders are patients, which have the
        same names under every class.

    Raises:
      UserError: a single folder around the class folders; parts, folds or patients over class folders; or
        parts of a split inside of class folders.
    """
    outer, inner = _unwrapped(images)
    option = f"{options}path" if whole else ""
    there = f"{option}={root.joinpath(*outer)} " if outer and whole else ""
    said = "" if patients else f"{there}{options}groups=folders"
    _refuse_levels(root.joinpath(*outer), inner, option, said)
    several = {folders[0] for folders in inner}
    # One class whose images lie by patient is no folder around classes.
    if outer and len(several) > 1 and not all(map(_is_group, several)):
        right = root.joinpath(*outer)
        remedy = f"give that one ({option}={right})" if option else f"move them up into {root}"
        raise UserError(
            f"{root} holds nothing but the folder {'/'.join(outer)}, in which {_some(several)} look like the "
            f"classes: {remedy}"
        )


def notes_on_levels(
    images: Iterable[Folders], groups: Iterable[str] | None = None, *, options: str = DATA_OPTIONS
) -> tuple[str, ...]:
    """What folders inside of class folders are used for, in a sentence; nothing where there are none.

    Args:
      images: the folders around each image.
      options: how the command line spells `groups`.
      groups: the patients or slides that they were taken for; None: for nothing.
    """
    if groups is not None:
        names = set(groups)
        return (f"the {len(names)} sub-folders of the class folders ({_some(names)}) are patients or slides",)
    below = {folders[1]: folders[0] for folders in images if len(folders) > 1}
    if len(below) < 2:
        return ()
    if _mostly_known(below):
        return (
            f"the {len(below)} sub-folders of the class folders ({_some(below)}) are called as classes, but "
            f"not taken as such: the classes are the folders around them ({_some({*below.values()})}); if "
            "those are patients, list the images in a CSV file path,label,group",
        )
    own = options == DATA_OPTIONS
    what_for = "which keeps each on one side of the split" if own else "or intervals are too narrow"
    return (
        f"the {len(below)} sub-folders of the class folders ({_some(below)}) are not taken as patients or "
        f"slides: if that is what they are, add {options}groups=folders, {what_for}",
    )


def _unwrapped(images: Sequence[Folders]) -> tuple[Folders, Sequence[Folders]]:
    """The folders that all images are in and that hold none themselves, and what is left of `images`."""
    outer: Folders = ()
    while len({folders[0] for folders in images}) == 1 and all(len(folders) > 1 for folders in images):
        outer, images = (*outer, images[0][0]), [folders[1:] for folders in images]
    return outer, images


def _refuse_levels(root: Path, images: Sequence[Folders], option: str, by_patient: str) -> None:
    """Refuses folders whose inner ones seem to be the classes, or are parts; not where they are patients.

    Args:
      root: the folder around all.
      images: the folders around each image, relative to `root`.
      option: of the command line that takes another path; empty where none can.
      by_patient: what to add where the inner folders are patients; empty: the user has said so.
    """
    holders: dict[str, set[str]] = {}
    for folders in images:
        if len(folders) > 1:
            holders.setdefault(folders[1], set()).add(folders[0])
    loose = sum(len(folders) == 1 for folders in images)
    shared = [name for name, above in holders.items() if len(above) > 1]
    if loose > _LOOSE * len(images):
        return
    first = sorted({folders[0] for folders in images})
    _refuse_parts(root, first, holders)
    differ = len(shared) < 2 or 2 * len(shared) <= len(holders)
    if differ:
        if not (by_patient and len(first) > 1 and all(map(_is_group, first)) and _mostly_known(holders)):
            return
        if len(holders) == len(first) and not shared:  # one in each: rather two names of one class
            return
        shared = [*holders]
    if all(map(_is_group, shared)) and not all(map(_is_group, first)):
        return
    classes_outside, classes_inside = _any_known(first), _any_known(shared)
    if not by_patient and (classes_outside or not classes_inside):
        return
    seem = "so the classes seem to be one level down"
    given = f"give one of the former ({option}={root / first[0]}), call them train, val and test, or "
    remedy = f"{given if option else ''}list the images in a CSV file path,label,group"
    patients = f"if {_some(first)} are the classes and the folders inside are patients, add {by_patient}"
    if differ:
        said = f"{seem}: list the images in a CSV file path,label,group; or, {patients}"
    elif classes_outside:
        said = f"as class folders do by patient: {patients}; if the classes are one level down, {remedy}"
    elif classes_inside:
        said = f"{seem}: {remedy}"
    else:
        said = f"{seem}: {remedy}; or, {patients}"
    what = "that are called as classes" if differ else "of the same names"
    raise UserError(f"the folders of {root} ({_some(first)}) hold folders {what} ({_some(shared)}), {said}")


def _refuse_parts(root: Path, first: Sequence[str], inner: Collection[str]) -> None:
    """Refuses several class folders that hold train, val and test."""
    parts = [name for name in inner if name.lower() in SPLIT_NAMES]
    if len(first) > 1 and len(parts) > 1 and 2 * len(parts) > len(inner):
        raise UserError(
            f"the folders of {root} ({_some(first)}) hold {_some(parts)}, which class folders cannot: put "
            "class folders into train, val and test, or list the images in a CSV file path,label,split"
        )


def _mostly_known(names: Collection[str]) -> bool:
    """Whether two or more, and more than half, are classes of the built-in table."""
    known = sum(one.known for one in cell_classes(list(names)))
    return known > 1 and 2 * known > len(names)


def _any_known(names: Iterable[str]) -> bool:
    """Whether one is a class of the built-in table."""
    return any(one.known for one in cell_classes(list(names)))


def _is_group(name: str) -> bool:
    return _GROUP.fullmatch(name) is not None


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:4]) + ", ..." * (len(names) > 4)
