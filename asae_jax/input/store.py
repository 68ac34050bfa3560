"""A file of prepared images that several processes may fill and read at once."""

import os
import weakref
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.types import HostImage


class ImageStore:
    """`count` images uint8 `[size, size, 3]` one after another in one file, and a byte for each in another.

    The byte is set after the image has reached the disk, so that neither a crash nor a second process
    that fills the same store (with the same bytes) leaves an image marked that is not there.

    Images are read and written by position (`preadv`, `pwrite`) instead of through a memory map: as
    fast (5 us per image of 64 x 64), the pages do not count as this process's memory, the interpreter
    is free meanwhile, and a full disk or a shortened file is an error that can be reported, where a
    map ends the process by a signal.
    """

    def __init__(self, directory: Path, count: int, size: int):
        """Opens the store in `directory`, which is made if missing; one of another length starts anew."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.image_bytes = size * size * 3
        self._count = count
        self._images = self._open("images.u8")
        self._flags = self._open("filled.u8")
        lengths = os.fstat(self._images).st_size, os.fstat(self._flags).st_size
        if lengths != (count * self.image_bytes, count):
            os.ftruncate(self._flags, 0)  # forget what was marked before anything else
            os.ftruncate(self._images, count * self.image_bytes)
            os.ftruncate(self._flags, count)

    def _open(self, name: str) -> int:
        descriptor = os.open(self.directory / name, os.O_RDWR | os.O_CREAT, 0o666)
        weakref.finalize(self, os.close, descriptor)
        return descriptor

    def filled(self) -> np.ndarray:
        """bool `[count]`: which images are there."""
        return np.frombuffer(os.pread(self._flags, self._count, 0), np.uint8) == 1

    def write(self, index: int, image: HostImage) -> None:
        """Puts an image in its place, not yet marked. Thread-safe."""
        data = np.ascontiguousarray(image).data.cast("B")
        start = index * self.image_bytes
        while data:
            written = os.pwrite(self._images, data, start)
            data, start = data[written:], start + written

    def mark(self, indices: list[int]) -> None:
        """Waits until what was written is on the disk, then marks `indices` as filled."""
        os.fsync(self._images)
        for index in indices:
            os.pwrite(self._flags, b"\1", index)

    def read(self, index: int, out: HostImage) -> None:
        """Reads an image into `out`, uint8 `[size, size, 3]`, contiguous. Thread-safe.

        Raises:
          UserError: the file has become shorter.
        """
        if os.preadv(self._images, [out.data], index * self.image_bytes) != self.image_bytes:
            raise UserError(f"cache {self.directory} was cut short by something else: delete it, start again")
