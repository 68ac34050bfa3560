"""Records of one length in a file, filled in any order, by several processes if need be."""

import errno
import itertools
import os
import shutil
import weakref
import zlib
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.positioned import open_binary, read_at, read_into, write_at

MARK_EVERY = 1024
"""Records between waits for the disk; an interruption costs at most these."""


class DamagedRecord(UserError):
    """A record that is not as it was written, or not there any more."""


class RecordStore:
    """`count` records of `record_bytes` in one file; for each a checksum and a byte in two others.

    The checksum (CRC-32) tells a record whose bytes have changed since. The byte is set after the record has
    reached the disk, so that neither a crash nor a second process that fills the same store (with the same
    bytes) leaves a record marked that is not there.

    Records are read and written by position (`positioned`) instead of through a memory map. That is
    as fast (5 us per image of 64 x 64), the pages do not count as this process's memory, the interpreter
    lock is released, and a full disk or a shortened file raises an error that can be reported, where a
    memory map ends the process by a signal.
    """

    def __init__(self, directory: Path, count: int, record_bytes: int, *, name: str):
        """Opens the store in `directory`, which is made if missing; a store of another length is emptied.

        Args:
          directory: of the three files.
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
        self._checksums = self._open("crc32.u32")
        self._written: dict[int, int] = {}
        self.repairs = itertools.count(1)  # for whoever writes damaged records again
        lengths = {self._records: count * record_bytes, self._checksums: 4 * count, self._flags: count}
        if any(os.fstat(file).st_size != length for file, length in lengths.items()):
            os.ftruncate(self._flags, 0)  # forget what was marked before anything else
            for file, length in lengths.items():
                os.ftruncate(file, length)

    def _open(self, name: str) -> int:
        descriptor = open_binary(self.directory / name, os.O_RDWR | os.O_CREAT)
        weakref.finalize(self, os.close, descriptor)
        return descriptor

    def filled(self) -> np.ndarray:
        """Which records are stored: bool `[count]`; not those behind the end of a file cut short."""
        return np.frombuffer(read_at(self._flags, self._count, 0).ljust(self._count, b"\0"), np.uint8) == 1

    def write(self, index: int, record: np.ndarray) -> None:
        """Writes a record, an array of `record_bytes`, without marking it. Thread-safe."""
        data = np.ascontiguousarray(record).reshape(-1).view(np.uint8).data
        self._written[index] = zlib.crc32(data)
        start = index * self.record_bytes
        while data:
            written = write_at(self._records, data, start)
            data, start = data[written:], start + written

    def mark(self, indices: list[int]) -> None:
        """Waits until what was written is on the disk, then marks `indices` as filled."""
        for index in indices:
            checksum = self._written.pop(index, None)  # None: another thread has just marked the same record
            if checksum is not None:
                write_at(self._checksums, checksum.to_bytes(4, "little"), 4 * index)
        os.fsync(self._records)
        os.fsync(self._checksums)
        for index in indices:
            write_at(self._flags, b"\1", index)

    def forget(self, index: int) -> None:
        """Marks a record as not filled."""
        write_at(self._flags, b"\0", index)

    def read(self, index: int, out: np.ndarray) -> None:
        """Reads a record into `out`, a contiguous array of `record_bytes`. Thread-safe.

        Raises:
          DamagedRecord: it has changed since it was written, or is not there any more.
        """
        length = read_into(self._records, out.data, index * self.record_bytes)
        checksum = read_at(self._checksums, 4, 4 * index)
        if length != self.record_bytes or zlib.crc32(out.data).to_bytes(4, "little") != checksum:
            raise DamagedRecord(
                f"cache {self.directory} is damaged (record {index} is not as it was written): delete it, "
                "and start again."
            )


def check_room(directory: Path, needed: int) -> None:
    """Raises an OSError when fewer than `needed` bytes are free where `directory` is or will be."""
    place = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes needed, {free:,} free")
