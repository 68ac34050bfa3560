"""Reading an array of an `.npz` file row by row."""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from asae_jax.errors import UserError


def rows(path: Path, key: str) -> Iterator[np.ndarray]:
    """The rows of array `key`, one in memory at a time: at 224 px the whole array takes 1.8 GB.

    Raises:
      UserError: the file is no `.npz`, has no such array, or the array cannot be read by rows.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
            shape, fortran_order, dtype = _header(file)
            if fortran_order or dtype.hasobject or not shape:
                raise ValueError(f"array {key} cannot be read by rows")
            length = dtype.itemsize * math.prod(shape[1:])
            for _ in range(shape[0]):
                content = file.read(length)
                if len(content) < length:
                    raise ValueError(f"array {key} is cut short")
                yield np.frombuffer(content, dtype).reshape(shape[1:])
            if file.read(1):
                raise ValueError(f"array {key} is longer than its header says")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot read {key} from {path} ({error}): download the file again") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)
