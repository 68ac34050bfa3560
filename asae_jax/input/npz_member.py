"""One array out of an .npz file, without pickles, and without holding it in memory where that can be.

`numpy.load` loads a member whole, whatever its `mmap_mode`. But a member that lies in the zip file
uncompressed (`numpy.savez`) can be read from its place, one element at a time. A compressed one
(`numpy.savez_compressed`) has no such places and is loaded.
"""

import math
import os
import struct
import weakref
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from asae_jax.errors import UserError

_CHUNK = 1 << 20  # bytes
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # of zip: signature; lengths of the name and of the extra field
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class StoredArray:
    """An array that stays in its file: `array[i]` reads element `i` of the first axis. Thread-safe.

    By position (`pread`), not through a memory map, for the reasons given in `store.ImageStore`.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype):
        """The C-ordered array of `shape` and `dtype` that begins at byte `offset` of `path`."""
        self.shape, self.dtype = shape, dtype
        self._path, self._offset = path, offset
        self._stride = math.prod(shape[1:]) * dtype.itemsize
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        element = np.empty(self.shape[1:], self.dtype)
        if os.preadv(self._file, [element.data], self._offset + index * self._stride) != self._stride:
            raise UserError(f"{self._path} was cut short while it was in use: restore it, start again")
        return element


def read_member(
    path: Path, archive: zipfile.ZipFile, name: str, *, in_place: bool
) -> np.ndarray | StoredArray:
    """The array `name` of `archive`, which is open on `path`. Its checksum is verified in one pass.

    Args:
      path: the .npz file.
      archive: opened for reading.
      name: of the array, without ".npy".
      in_place: whether to leave it in the file, if it lies there uncompressed.

    Raises:
      Exception: of whatever kind `zipfile` and `numpy.lib.format` raise for a damaged file.
    """
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as stream:
        shape, dtype = _header(stream)
        start, size = stream.tell(), math.prod(shape) * dtype.itemsize
        if start + size != info.file_size:
            raise ValueError(f"{name} is not as long as its header says")
        if in_place and info.compress_type == zipfile.ZIP_STORED:
            _read_to_the_end(stream)
            return StoredArray(path, _data_offset(path, info) + start, shape, dtype)
        array = np.empty(size, np.uint8)
        _fill(stream, array.data)
        _read_to_the_end(stream)
    return array.view(dtype).reshape(shape)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    shape, fortran_order, dtype = _HEADER_READERS[version](stream)
    if dtype.hasobject or fortran_order or min(shape, default=0) < 0:
        raise ValueError("an array of objects, or in Fortran order")
    return shape, dtype


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
