"""Records of one length in a file, filled in any order, by several processes if need be."""

import errno
import os
import shutil
import weakref
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError

MARK_EVERY = 1024
"""Records between waits for the disk; an interruption costs at most these."""


class RecordStore:
    """`count` records of `record_bytes` one after another in one file, and a byte for each in another.

    The byte is set after the record has reached the disk, so that neither a crash nor a second process
    that fills the same store (with the same bytes) leaves a record marked that is not there.

    Records are read and written by position (`preadv`, `pwrite`) instead of through a memory map. That is
    as fast (5 us per image of 64 x 64), the pages do not count as this process's memory, the interpreter
    lock is released, and a full disk or a shortened file raises an error that can be reported, where a
    memory map ends the process by a signal.
    """

    def __init__(self, directory: Path, count: int, record_bytes: int, *, name: str):
        """Opens the store in `directory`, which is made if missing; a store of another length is emptied.

        Args:
          directory: of the two files.
          count: number of records.
          record_bytes: length of each.
          name: of the file that holds them.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.record_bytes = record_bytes
        self._count = count
        self._records = self._open(name)
        self._flags = self._open("filled.u8")
        lengths = os.fstat(self._records).st_size, os.fstat(self._flags).st_size
        if lengths != (count * record_bytes, count):
            os.ftruncate(self._flags, 0)  # forget what was marked before anything else
            os.ftruncate(self._records, count * record_bytes)
            os.ftruncate(self._flags, count)

    def _open(self, name: str) -> int:
        descriptor = os.open(self.directory / name, os.O_RDWR | os.O_CREAT, 0o666)
        weakref.finalize(self, os.close, descriptor)
        return descriptor

    def filled(self) -> np.ndarray:
        """Which records are stored: bool `[count]`."""
        return np.frombuffer(os.pread(self._flags, self._count, 0), np.uint8) == 1

    def write(self, index: int, record: np.ndarray) -> None:
        """Writes a record, an array of `record_bytes`, without marking it. Thread-safe."""
        data = np.ascontiguousarray(record).reshape(-1).view(np.uint8).data
        start = index * self.record_bytes
        while data:
            written = os.pwrite(self._records, data, start)
            data, start = data[written:], start + written

    def mark(self, indices: list[int]) -> None:
        """Waits until what was written is on the disk, then marks `indices` as filled."""
        os.fsync(self._records)
        for index in indices:
            os.pwrite(self._flags, b"\1", index)

    def read(self, index: int, out: np.ndarray) -> None:
        """Reads a record into `out`, a contiguous array of `record_bytes`. Thread-safe.

        Raises:
          UserError: the file has become shorter.
        """
        if os.preadv(self._records, [out.data], index * self.record_bytes) != self.record_bytes:
            raise UserError(f"cache {self.directory} was cut short by something else: delete it, start again")


def check_room(directory: Path, needed: int) -> None:
    """Raises an OSError when fewer than `needed` bytes are free where `directory` is or will be."""
    place = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes needed, {free:,} free")
