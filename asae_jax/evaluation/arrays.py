"""Arrays that an evaluation keeps in `.npz` files, with a digest that is recorded elsewhere."""

import hashlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asae_jax.files import check_bounded, sha256, write_bytes
from asae_jax.input.npz import read_arrays


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], compressed: bool = False) -> str:
    """Writes `arrays` as `.npz`, atomically (see `atomic_text`); returns the SHA-256 of the file."""
    with io.BytesIO() as content:
        (np.savez_compressed if compressed else np.savez)(content, **arrays)  # type: ignore[arg-type]
        data = content.getvalue()
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def read_checked_arrays(path: Path, digest: str) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` file, see `input.npz.read_arrays`.

    Args:
      path: of the file.
      digest: its SHA-256; empty where it is not known.

    Raises:
      ValueError: the file has changed, or as `read_arrays`.
      OSError: it cannot be read.
    """
    check_bounded(path, most=sys.maxsize)
    if digest and sha256(path) != digest:
        raise ValueError(f"{path.name} has changed since it was written")
    return read_arrays(path)
