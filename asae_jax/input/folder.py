"""Data-set index of a folder of class folders, or of train, val and test folders that hold class folders."""

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.folders import IMAGE_EXTENSIONS, FoundFile, is_folder, visible_entries, walk
from asae_jax.input.class_map import UNLIKE, alike_names
from asae_jax.input.content import file_contents
from asae_jax.input.decode import read_image, read_reduced
from asae_jax.input.file_kinds import file_kind, unread_reason
from asae_jax.input.folder_shape import Folders, check_levels, notes_on_levels
from asae_jax.input.index import DATA_OPTIONS, DataIndex, name_fault
from asae_jax.input.split import SPLIT_NAMES
from asae_jax.input.unicode_form import composed


def folder_index(
    path: str | os.PathLike, *, options: str = DATA_OPTIONS, patients: bool = False
) -> DataIndex:
    """The images below `path`: the class is the name of the first-level folder, at any depth within it.

    If the first-level folders are `train` and `val`, `validation` or `test` (in any case, or `training`,
    `testing`, `valid`) and hold folders themselves, those are the class folders, and the index has the
    split. The classes are then the class folders of `train`, in any Unicode form: the other parts may lack
    some, and images of classes that `train` lacks are left out with a warning.

    Classes and names are sorted; hidden files and folders are ignored (`asae_jax.folders.is_hidden`). Files
    without the extension of an image that is read, pipes, and files outside of class folders are listed in
    `DataIndex.skipped`. No file is opened.

    Args:
      path: the folder.
      options: how the command line spells the settings `path` and `groups`, for messages.
      patients: whether the folders in class folders are the groups; a name in two classes is one patient.

    Raises:
      UserError: the folder is missing or cannot be listed, it has no class folder, a class folder (of
        `train`) holds no image, parts of a split lie beside other folders, or the first level does not look
        like classes (see `folder_shape`); of `patients`, images beside them, a single one, or one called nan.
    """
    root = _existing(path, f"{options}path")
    parts = _parts(root)
    found = sorted(walk(root), key=lambda file: file.name)
    class_names = _class_names(root, parts, found)
    levels = _levels(found, parts)
    check_levels(_root_of_classes(root, parts), levels, options=options, whole=not parts, patients=patients)
    numbers = _numbers(class_names)
    faults = _faults(root, parts, numbers, found)
    images = [file for file, fault in zip(found, faults, strict=True) if not fault]
    groups = _patients(root, images, parts, options) if patients else None
    return DataIndex(
        source="folder",
        class_names=class_names,
        names=(names := np.array([file.name for file in images])),
        labels=np.array([_number(file, parts, numbers) for file in images], np.int32),
        read=lambda row: read_image(root / names[row]),
        reduced=lambda row, reduction: read_reduced(root / names[row], reduction),
        groups=groups,
        splits=np.array([parts[_folder(file, 0)] for file in images]) if parts else None,
        sizes=np.array([file.size for file in images], np.int64),
        modified=np.array([file.modified for file in images], np.int64),
        skipped=tuple((file.name, fault) for file, fault in zip(found, faults, strict=True) if fault),
        notes=notes_on_levels(levels, groups, options=options),
        content=lambda: file_contents(root / name for name in names),
    )


def _levels(found: Iterable[FoundFile], parts: Mapping[str, str]) -> list[Folders]:
    """The folders around each image, from the class folder inwards; with parts of those in `train`."""
    known: dict[Folders, Folders] = {}  # one tuple for all images of a folder: a third of the memory here
    around = [
        known.setdefault(folders, folders)
        for folders in (tuple(file.name.split("/")[:-1]) for file in found if file.is_image)
    ]
    if parts:
        around = [folders[1:] for folders in around if folders and parts.get(folders[0]) == "train"]
    return [folders for folders in around if folders]


def _patients(root: Path, images: Iterable[FoundFile], parts: Mapping[str, str], options: str) -> np.ndarray:
    """The folder inside of the class folder that each image lies in, str `[N]`."""
    groups = []
    for file in images:
        group = _folder(file, 2 if parts else 1)
        if not group:
            raise UserError(
                f"{root / file.name} lies in no patient's folder: put every image of a class folder into a "
                f"folder of its patient or slide, or give {options}groups=given"
            )
        if found := name_fault("the folder of a patient", group):
            raise UserError(f"{root / file.name}: {found[0]}: rename it, or take its images out")
        if not group.isprintable():
            raise UserError(f"the folder around {file.name!r} has unprintable characters: rename it")
        groups.append(group)
    if len(set(groups)) == 1:
        raise UserError(
            f"all images of {root} lie in folders called {groups[0]}, so {options}groups=folders "
            f"tells one patient only: give {options}groups=given"
        )
    return np.array(groups)


def _root_of_classes(root: Path, parts: Mapping[str, str]) -> Path:
    return next((root / name for name, part in parts.items() if part == "train"), root)


def _existing(path: str | os.PathLike, option: str) -> Path:
    root = user_path(path)
    if root.is_dir():
        return root
    give = f"give a folder of class folders ({option}=DIR)"
    if not root.exists():
        raise UserError(f"data folder {root} does not exist: {give}")
    kind = file_kind(root)
    if kind and not kind.image:
        raise UserError(f"data folder {root} is {kind.name}: {kind.remedy} ({option}=)")
    remedy = f"{give}, or a CSV file with source=csv"
    raise UserError(f"data folder {root} is not a folder but {kind.name if kind else 'a file'}: {remedy}")


def _folder(file: FoundFile, depth: int) -> str:
    """Name of the folder around the file `depth` levels below the root; empty where there is none."""
    pieces = file.name.split("/")
    return pieces[depth] if len(pieces) > depth + 1 else ""


def _class_name(file: FoundFile, parts: Mapping[str, str]) -> str:
    return _folder(file, 1 if parts else 0)


_UNKNOWN_CLASS = "its class has no folder in train"


def _numbers(class_names: Iterable[str]) -> dict[str, int]:
    """The number of each class, by its name and by that in composed form."""
    numbers = {name: number for number, name in enumerate(class_names)}
    return {composed(name): number for name, number in numbers.items()} | numbers


def _faults(
    root: Path, parts: Mapping[str, str], numbers: Mapping[str, int], found: Iterable[FoundFile]
) -> list[str]:
    """Why each file is left out, empty where it is not; see `_warn_of_unknown_classes`."""
    faults = [_fault(file, parts, numbers) for file in found]
    _warn_of_unknown_classes(root, numbers, found, faults)
    return faults


def _number(file: FoundFile, parts: Mapping[str, str], numbers: Mapping[str, int]) -> int | None:
    """Of its class; None where it is not known."""
    name = _class_name(file, parts)
    return numbers.get(name, numbers.get(composed(name)))


def _fault(file: FoundFile, parts: Mapping[str, str], numbers: Mapping[str, int]) -> str:
    if file.special:
        return "not a file but a pipe, socket or device"
    if not file.is_image:
        return unread_reason(file.name)
    if not _class_name(file, parts):
        return "not in a class folder"
    return _UNKNOWN_CLASS if _number(file, parts, numbers) is None else ""


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


def _class_names(root: Path, parts: Mapping[str, str], found: Iterable[FoundFile]) -> tuple[str, ...]:
    roots = [root / name for name, part in parts.items() if part == "train"] or [root]
    folders = sorted(folder / name for folder in roots for name in _folders(folder))
    if not folders:
        raise UserError(
            f"data folder {root} holds no class folders: put each class's images into a folder of its name"
        )
    with_images = {
        _class_name(file, parts)
        for file in found
        if file.is_image and not file.special and (not parts or parts.get(_folder(file, 0)) == "train")
    }
    for folder in folders:
        if folder.name not in with_images:
            raise UserError(
                f"class folder {folder} holds no images ({' '.join(sorted(IMAGE_EXTENSIONS))}): "
                "add some, or remove the folder"
            )
    return tuple(sorted({folder.name for folder in folders}))


def _warn_of_unknown_classes(
    root: Path, class_names: Iterable[str], found: Iterable[FoundFile], faults: Iterable[str]
) -> None:
    """Warns of classes that `train` lacks or spells otherwise, and of parts without any other."""
    unknown: dict[str, set[str]] = {}  # folder of a part -> its classes that train lacks
    counted, used = 0, set()
    for file, fault in zip(found, faults, strict=True):
        part = _folder(file, 0)
        if fault == _UNKNOWN_CLASS:
            unknown.setdefault(part, set()).add(_folder(file, 1))
            counted += 1
        elif not fault:
            used.add(part)
    if not counted:
        return
    names = sorted(set().union(*unknown.values()))
    told = [f"{counted} images of {root} are left out: class {', '.join(names)} has no folder in train"]
    for group in alike_names([*class_names, *names]):
        if 0 < len({*group} - {*names}) < len(group):
            told.append(f"{' and '.join(map(repr, group))} differ in {UNLIKE} only, give them one name")
    for part in sorted(unknown.keys() - used):
        told.append(
            f"so no image of {root / part} is used: give its folders the names of those in train, or take "
            "them out"
        )
    warnings.warn("; ".join(told), stacklevel=4)


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in visible_entries(folder) if is_folder(entry))
