"""Data-set index of a MedMNIST-style .npz file, read without pickles and, if possible, without loading it.

`numpy.load` loads a member whole, whatever its `mmap_mode`. But a member that lies in the zip file
uncompressed (`numpy.savez`) can be read from its place, one image at a time. A compressed one
(`numpy.savez_compressed`) has no such places and is loaded.
"""

import contextlib
import math
import os
import struct
import sys
import weakref
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np

from asae_jax.errors import UserError
from asae_jax.files import check_bounded, user_path
from asae_jax.input.content import CONTENT_TYPE, bytes_content
from asae_jax.input.decode import MAX_PIXELS, MIN_SIDE
from asae_jax.input.index import MOST_CLASSES, DataIndex
from asae_jax.input.positioned import open_binary, read_into
from asae_jax.input.split import SPLIT_NAMES
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
_CHUNK = 1 << 20  # bytes
_SAMPLE = 16  # images, evenly spaced, whose values are looked at
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # of zip: signature; lengths of the name and of the extra field
_END_RECORD = struct.Struct("<10xH10x")  # of zip, before the comment: number of members
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class _StoredArray:
    """An array that stays in its file: `array[i]` reads element `i` of the first axis. Thread-safe.

    By position, not through a memory map, for the reasons given in `store.RecordStore`.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype):
        """The C-ordered array of `shape` and `dtype` that begins at byte `offset` of `path`."""
        self.shape, self.dtype = shape, dtype
        self._path, self._offset = path, offset
        self._stride = math.prod(shape[1:]) * dtype.itemsize
        self._file = open_binary(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        element = np.empty(self.shape[1:], self.dtype)
        if read_into(self._file, element.data, self._offset + index * self._stride) != self._stride:
            raise UserError(f"{self._path} was cut short while it was in use: restore it, start again")
        return element


_ImageArray = np.ndarray | _StoredArray


def npz_index(path: str | os.PathLike) -> DataIndex:
    """The images of an .npz file with `train_images`, `train_labels`, and the like for `val` and `test`.

    Images are uint8 `[n, height, width]`, or with 1 or 3 channels last; labels are integers `[n]` or
    `[n, 1]`. Parts may differ in image size; `val` and `test` may be missing. Classes are named `class-0`
    and so on, or as in BloodMNIST if the file's name begins with that and there are eight. Every byte is
    read once and its checksum verified. A file of `numpy.savez` stays on disk; one of
    `numpy.savez_compressed` is loaded into memory.

    Raises:
      UserError: no such file, not such a file, truncated, damaged, or with other contents than these.
    """
    file = user_path(path)
    with _explained_errors(file), _archive(file) as archive:
        _check_directory(file, archive)
        parts = _parts(file, archive)
        labels = {part: _labels(file, archive, f"{part}_labels") for part in parts}
        images = {part: _images(file, archive, f"{part}_images") for part in parts}
        checksums = [f"{info.filename}={info.CRC:08x}" for info in archive.infolist()]
    for part in parts:
        if len(labels[part]) != len(images[part]):
            raise _odd(file, f"{len(images[part])} {part}_images and {len(labels[part])} {part}_labels")
    counts = [len(labels[part]) for part in parts]
    numbers = np.concatenate([labels[part] for part in parts])
    return DataIndex(
        source="npz",
        class_names=_class_names(file, int(numbers.max()) + 1),
        names=np.concatenate([_names(part, len(labels[part])) for part in parts]),
        labels=numbers.astype(np.int32),
        read=_reader(images),
        splits=np.repeat([SPLIT_NAMES[part] for part in parts], counts),
        settings=" ".join(sorted(checksums)),
        notes=tuple(_notes(file, archive, parts)),
        content=lambda: np.array(
            [bytes_content(row) for part in parts for row in _rows(images[part])], CONTENT_TYPE
        ),
    )


def _archive(file: Path) -> zipfile.ZipFile:
    check_bounded(file, most=sys.maxsize)  # a pipe would wait for ever
    return zipfile.ZipFile(file)


def _rows(images: _ImageArray) -> Iterator[memoryview]:
    """The bytes of one image after another."""
    return (np.ascontiguousarray(images[number]).data.cast("B") for number in range(len(images)))


def _notes(file: Path, archive: zipfile.ZipFile, parts: Sequence[str]) -> Iterator[str]:
    """Arrays that are not used: they may be a part of another name, or tell the patient."""
    used = {f"{part}_{what}" for part in parts for what in ("images", "labels")}
    if others := sorted({name.removesuffix(".npy") for name in archive.namelist()} - used):
        yield f"arrays of {file.name} that are not used: {', '.join(others)}"


def _check_directory(file: Path, archive: zipfile.ZipFile) -> None:
    """Raises an error if the archive's directory is damaged, so that no part gets lost unnoticed."""
    for info in archive.infolist():
        archive.open(info).close()  # compares the name in the directory with that beside the data
    with file.open("rb") as stream:
        stream.seek(-_END_RECORD.size - len(archive.comment), os.SEEK_END)
        (count,) = _END_RECORD.unpack(stream.read(_END_RECORD.size))
    if count != len(archive.infolist()):
        raise ValueError(f"its directory lists {len(archive.infolist())} of {count} arrays")


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
    labels = np.asarray(_read_member(file, archive, name, in_place=False))
    if labels.dtype.kind not in "iu" or labels.size != len(labels) or labels.ndim > 2:
        raise _odd(file, f"{name} is {labels.dtype} {[*labels.shape]}, not one integer an image")
    if not len(labels):
        raise _odd(file, f"{name} is empty")
    if not 0 <= labels.min() <= labels.max() < MOST_CLASSES:
        raise _odd(file, f"{name} holds {labels.min()}..{labels.max()}, not 0..{MOST_CLASSES - 1}")
    return labels.reshape(-1).astype(np.int64)


def _images(file: Path, archive: zipfile.ZipFile, name: str) -> _ImageArray:
    images = _read_member(file, archive, name, in_place=True)
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
    sample = np.linspace(0, max(len(images) - 1, 0), _SAMPLE).round().astype(int)
    if len(images) and max(np.max(images[int(number)]) for number in sample) <= 1:
        raise _odd(file, f"{name} hold no value above 1: values 0..1 must be multiplied by 255")
    return images


def _reader(images: Mapping[str, _ImageArray]) -> Callable[[int], HostImage]:
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


def _read_member(
    path: Path, archive: zipfile.ZipFile, name: str, *, in_place: bool
) -> np.ndarray | _StoredArray:
    """The array `name` of `archive`, which is open on `path`. Its checksum is verified in one pass.

    Args:
      path: the .npz file.
      archive: opened for reading.
      name: of the array, without ".npy".
      in_place: whether to leave it in the file if it is not compressed.

    Raises:
      Exception: any of those that `zipfile` and `numpy.lib.format` raise for a damaged file.
    """
    info = archive.getinfo(f"{name}.npy")
    if not in_place or info.compress_type != zipfile.ZIP_STORED:
        _check_unpacked(info)
    with archive.open(info) as stream:
        shape, dtype, order = _header(stream)
        if order == "F":
            raise _odd(path, f"{name} is in Fortran order: save numpy.ascontiguousarray of it")
        start, size = stream.tell(), math.prod(shape) * dtype.itemsize
        if start + size != info.file_size:
            raise ValueError(f"{name} is not as long as its header says")
        if in_place and info.compress_type == zipfile.ZIP_STORED:
            _read_to_the_end(stream)
            return _StoredArray(path, _data_offset(path, info) + start, shape, dtype)
        array = np.empty(size, np.uint8)
        _fill(stream, array.data)
        _read_to_the_end(stream)
    return array.view(dtype).reshape(shape)


def _check_unpacked(info: zipfile.ZipInfo, most: int | None = None) -> None:
    """Refuses a member that is enormous when it is unpacked, before it is.

    Raises:
      ValueError: it is larger than this machine's memory or `most` bytes, or packed more tightly than images
        or measurements ever are.
    """
    size, most = info.file_size, _memory() if most is None else most
    if size > most:
        raise ValueError(
            f"{info.filename} has {size:,} bytes when it is unpacked, more than {most:,}; "
            "numpy.savez writes one without compression, which need not fit into memory"
        )
    if size > _LARGE and size > _TIGHTEST * info.compress_size:
        raise ValueError(f"{info.filename} is compressed to less than a {_TIGHTEST}th of its {size:,} bytes")


_LARGE, _TIGHTEST = 100_000_000, 200  # zeros pack to a 1,030th, cells on a plain ground to a 20th or so


def _memory() -> int:
    """Bytes of this machine's memory; where it does not tell, as of a large one."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 1 << 37


def read_arrays(path: Path, *, most: int = 1 << 30) -> dict[str, np.ndarray]:
    """All arrays of a small .npz file of ours that somebody else may have written.

    Args:
      path: of the file.
      most: bytes that all arrays together may have.

    Raises:
      ValueError: not such a file, damaged, larger, or with objects in it; other errors of `zipfile` are made
        one.
      OSError: it cannot be read.
    """
    check_bounded(path, most=most)
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                _check_unpacked(info, most)
                most -= info.file_size
                with archive.open(info) as stream:
                    shape, dtype, order = _header(stream)
                    size = math.prod(shape) * dtype.itemsize
                    if dtype.kind not in "biuf":
                        raise ValueError(f"{info.filename} holds {dtype} and no real numbers")
                    if stream.tell() + size != info.file_size:
                        raise ValueError(f"{info.filename} is not as long as its header says")
                    data = np.empty(size, np.uint8)
                    _fill(stream, data.data)
                    _read_to_the_end(stream)
                arrays[info.filename.removesuffix(".npy")] = data.view(dtype).reshape(shape, order=order)
    except (OSError, ValueError):
        raise
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds for damaged files
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    return arrays


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, Literal["C", "F"]]:
    version = np.lib.format.read_magic(stream)
    shape, fortran_order, dtype = _HEADER_READERS[version](stream)
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError("an array of objects, or of a negative size")
    return shape, dtype, "F" if fortran_order else "C"


def _fill(stream: IO[bytes], target: memoryview) -> None:
    while target:
        chunk = stream.read(min(_CHUNK, len(target)))
        if not chunk:
            raise EOFError("it ends too early")
        target[: len(chunk)] = chunk
        target = target[len(chunk) :]


def _read_to_the_end(stream: IO[bytes]) -> None:
    """Where `zipfile` compares the checksum."""
    while stream.read(_CHUNK):
        pass


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where in the file the member's bytes begin; the central directory does not say."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(30)
    _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    return info.header_offset + len(header) + name_length + extra_length
