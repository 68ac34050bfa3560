"""A MedMNIST-style .npz file as a table of examples."""

import contextlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.decode import MAX_PIXELS, MIN_SIDE
from asae_jax.input.npz_member import StoredArray, read_member
from asae_jax.input.split import SPLIT_NAMES
from asae_jax.input.table import Table
from asae_jax.types import HostImage

BLOODMNIST = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocytes",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
"""Classes of BloodMNIST; the file has numbers only (MedMNIST v2, doi 10.1038/s41597-022-01721-8)."""

_PARTS = ("train", "val", "test")  # as the members are called
_MAX_CLASSES = 10_000  # more are not labels, and would be as many class names

Images = np.ndarray | StoredArray


def npz_table(path: str | os.PathLike) -> Table:
    """The images of an .npz file with `train_images`, `train_labels`, and the like for `val` and `test`.

    Images are uint8 `[n, height, width]`, or with 1 or 3 channels last; labels are integers `[n]` or
    `[n, 1]`. Parts may differ in size; `val` and `test` may be missing. Classes are `class-0` and so on, or
    BloodMNIST's where the file's name begins so and there are eight. Every byte is read once and
    checked. Memory does not grow with a file of `numpy.savez`; one of `numpy.savez_compressed` is loaded.

    Raises:
      UserError: no such file, not such a file, truncated, damaged, or with other contents than these.
    """
    file = Path(path).expanduser()
    with _explained_errors(file), zipfile.ZipFile(file) as archive:
        parts = _parts(file, archive)
        labels = {part: _labels(file, archive, f"{part}_labels") for part in parts}
        images = {part: _images(file, archive, f"{part}_images") for part in parts}
        checksums = [f"{info.filename}={info.CRC:08x}" for info in archive.infolist()]
    for part in parts:
        if len(labels[part]) != len(images[part]):
            raise _odd(file, f"{len(images[part])} {part}_images and {len(labels[part])} {part}_labels")
    counts = [len(labels[part]) for part in parts]
    numbers = np.concatenate([labels[part] for part in parts])
    return Table(
        source="npz",
        class_names=_class_names(file, int(numbers.max()) + 1),
        names=np.concatenate([_names(part, len(labels[part])) for part in parts]),
        labels=numbers.astype(np.int32),
        read=_reader(images),
        splits=np.repeat([SPLIT_NAMES[part] for part in parts], counts),
        settings=" ".join(sorted(checksums)),
    )


def _parts(file: Path, archive: zipfile.ZipFile) -> list[str]:
    members = {name.removesuffix(".npy") for name in archive.namelist()}
    parts = []
    for part in _PARTS:
        pair = {f"{part}_images", f"{part}_labels"}
        if pair <= members:
            parts.append(part)
        elif pair & members or part == "train":
            missing = ", ".join(sorted(pair - members))
            raise _odd(file, f"{missing} is missing beside {', '.join(sorted(members)[:8]) or 'nothing'}")
    return parts


def _labels(file: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    labels = np.asarray(read_member(file, archive, name, in_place=False))
    if labels.dtype.kind not in "iu" or labels.size != len(labels) or labels.ndim > 2:
        raise _odd(file, f"{name} is {labels.dtype} {[*labels.shape]}, not one integer an image")
    if not len(labels):
        raise _odd(file, f"{name} is empty")
    if not 0 <= labels.min() <= labels.max() < _MAX_CLASSES:
        raise _odd(file, f"{name} holds {labels.min()}..{labels.max()}, not 0..{_MAX_CLASSES - 1}")
    return labels.reshape(-1).astype(np.int64)


def _images(file: Path, archive: zipfile.ZipFile, name: str) -> Images:
    images = read_member(file, archive, name, in_place=True)
    shape = images.shape
    channels = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    if images.dtype != np.uint8 or not channels:
        raise _odd(
            file, f"{name} is {images.dtype} {[*shape]}, not uint8 [n, height, width] or [..., 1 or 3]"
        )
    if min(shape[1:3]) < MIN_SIDE or shape[1] * shape[2] > MAX_PIXELS:
        raise _odd(
            file,
            f"{name} are {shape[2]}x{shape[1]} pixels, not {MIN_SIDE} a side or more, in all {MAX_PIXELS:,}",
        )
    return images


def _reader(images: Mapping[str, Images]) -> Callable[[int], HostImage]:
    parts = [*images.values()]
    starts = np.cumsum([0, *map(len, parts)])

    def read(row: int) -> HostImage:
        part = int(np.searchsorted(starts, row, side="right")) - 1
        image = np.array(parts[part][row - int(starts[part])])
        grey = image.ndim == 2 or image.shape[2] == 1
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2) if grey else image

    return read


def _names(part: str, count: int) -> np.ndarray:
    return np.array([f"{part}/{number:06d}" for number in range(count)])


def _class_names(file: Path, count: int) -> tuple[str, ...]:
    if file.name.lower().startswith("bloodmnist") and count == len(BLOODMNIST):
        return BLOODMNIST
    return tuple(f"class-{number}" for number in range(count))


def _odd(file: Path, what: str) -> UserError:
    return UserError(
        f"{file}: {what}: give a file like MedMNIST's, with train_images, train_labels and, "
        "if there are such parts, val_... and test_..."
    )


@contextlib.contextmanager
def _explained_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {file} ({error.strerror or error}): give an .npz file") from error
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{file} is truncated, damaged or no .npz file ({reason}): fetch it again") from error
