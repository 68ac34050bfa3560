"""What images and files hold, in a few characters: names, places and times tell nothing of it.

Archives and object stores give files fixed times, crops of one camera have equal sizes, and laboratories
number their cells alike.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from asae_jax.input.decode import BadImage, read_image
from asae_jax.input.positioned import open_binary, read_at
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.terminal import Bar
from asae_jax.types import HostImage

CONTENT_TYPE = np.dtype("S32")
"""Of arrays of contents: hexadecimal digits, or nothing where it is not known."""

_BYTES = 16
_SAMPLE = 4096  # bytes, at the beginning, in the middle and at the end
_CHUNK = 256  # files that one thread samples at a time
_AHEAD = 256  # images decoded in advance
_MOST_THREADS = 8  # on two cores no faster than one, but a network drive answers several at once


def image_content(image: HostImage) -> str:
    """32 hexadecimal digits of a decoded image, uint8 `[height, width, 3]`: equal for equal pixels only."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=_BYTES)
    digest.update(image.tobytes())
    return digest.hexdigest()


def is_image_content(text: str) -> bool:
    """Whether it may be of `image_content`; a list may have a column `content` of its own."""
    return re.fullmatch(f"[0-9a-f]{{{2 * _BYTES}}}", text) is not None


def read_contents(paths: Sequence[str], doing: str) -> list[tuple[str, str]]:
    """`image_content` of each image file, and why it cannot be read; one of the two is empty.

    Args:
      paths: of the files.
      doing: what a progress bar is to say.
    """
    contents: list[tuple[str, str]] = []
    with thread_pool(default_workers()) as pool, Bar(doing, len(paths), "image") as bar:
        for task in bounded(lambda path: pool.submit(_of_image, path), paths, _AHEAD):
            contents.append(task.result())
            bar.update()
    return contents


def _of_image(path: str) -> tuple[str, str]:
    try:
        return image_content(read_image(path)), ""
    except BadImage as error:
        return "", error.reason


def file_contents(paths: Iterable[str | os.PathLike]) -> np.ndarray:
    """What each file holds, `CONTENT_TYPE` `[N]`: a digest of its size and of 12 KiB.

    The bytes are those at the beginning, in the middle and at the end, so that smaller files are read whole.
    Files of compressed images that differ, differ there; of uncompressed ones the middle shows the cell.
    171,000 files take 5 seconds when the system has them in memory. Empty for a file that cannot be read.
    """
    contents, remaining = [], iter(paths)
    chunks = iter(lambda: list(itertools.islice(remaining, _CHUNK)), [])
    workers = min(_MOST_THREADS, 2 * default_workers())
    with thread_pool(workers) as pool:
        for task in bounded(lambda chunk: pool.submit(_of_files, chunk), chunks, 2 * workers):
            contents.extend(task.result())
    return np.array(contents, CONTENT_TYPE)


def bytes_content(data: bytes | memoryview) -> str:
    """What `file_contents` gives for a file that holds `data`."""
    digest = hashlib.blake2b(f"{len(data)}:".encode(), digest_size=_BYTES)
    for start in _starts(len(data)):
        digest.update(data[start : start + _SAMPLE])
    return digest.hexdigest()


def _starts(size: int) -> list[int]:
    return sorted({0, max(0, (size - _SAMPLE) // 2), max(0, size - _SAMPLE)})


def _of_files(paths: Sequence[str | os.PathLike]) -> list[str]:
    return [_of_file(Path(path)) for path in paths]


def _of_file(path: Path) -> str:
    try:
        file = open_binary(path, os.O_RDONLY)
        try:
            size = os.fstat(file).st_size
            digest = hashlib.blake2b(f"{size}:".encode(), digest_size=_BYTES)
            for start in _starts(size):
                digest.update(read_at(file, _SAMPLE, start))
        finally:
            os.close(file)
    except (OSError, ValueError):  # ValueError: a null character in its name
        return ""
    return digest.hexdigest()
