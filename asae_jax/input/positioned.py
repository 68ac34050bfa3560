"""Reading and writing at a position in an open file, by several threads at once, on every system.

Windows has no `pread`, `preadv` and `pwrite`, and changes line ends in a file that is not opened as binary.
"""

import os
import threading

_seeking = threading.Lock()  # between a seek and what it is for no other thread may move the position


def open_binary(path: str | os.PathLike, flags: int) -> int:
    """The descriptor of a file whose bytes are read and written as they are.

    Args:
      path: of the file.
      flags: of `os.open`: `os.O_RDONLY`, or `os.O_RDWR | os.O_CREAT`.

    Raises:
      OSError: it cannot be opened.
    """
    return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)


def read_at(file: int, count: int, start: int) -> bytes:
    """Up to `count` bytes of `file` from byte `start` on; fewer where the file ends. Thread-safe."""
    if hasattr(os, "pread"):
        return os.pread(file, count, start)
    with _seeking:
        os.lseek(file, start, os.SEEK_SET)
        return os.read(file, count)


def read_into(file: int, out: memoryview, start: int) -> int:
    """Fills `out`, contiguous, from byte `start` on; returns how many bytes there were. Thread-safe."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [out], start)
    data = read_at(file, out.nbytes, start)
    out.cast("B")[: len(data)] = data
    return len(data)


def write_at(file: int, data: bytes | memoryview, start: int) -> int:
    """Writes `data` at byte `start`; returns how many bytes were written, 1 or more. Thread-safe."""
    if hasattr(os, "pwrite"):
        return os.pwrite(file, data, start)
    with _seeking:
        os.lseek(file, start, os.SEEK_SET)
        return os.write(file, data)
