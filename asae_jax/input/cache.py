"""The cache of prepared images; filling it also finds the examples that cannot be used."""

import dataclasses
import errno
import functools
import os
import shutil
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from asae_jax.errors import UserError
from asae_jax.files import disk_errors, user_path, write_json
from asae_jax.input.decode import BadImage
from asae_jax.input.index import DataIndex
from asae_jax.input.preparation import Preparation
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.types import HostImage

Bad = tuple[tuple[int, str], ...]
"""(row, reason) of examples that cannot be used, by row."""

_MARK_EVERY = 1024  # images between waits for the disk; an interruption costs at most these
_REMEDY = "choose another place (--config.data.cache_dir=DIR) or do without (--config.data.cache=False)"


class ImageStore:
    """`count` images uint8 `[size, size, 3]` one after another in one file, and a byte for each in another.

    The byte is set after the image has reached the disk, so that neither a crash nor a second process
    that fills the same store (with the same bytes) leaves an image marked that is not there.

    Images are read and written by position (`preadv`, `pwrite`) instead of through a memory map. That is
    as fast (5 us per image of 64 x 64), the pages do not count as this process's memory, the interpreter
    lock is released, and a full disk or a shortened file raises an error that can be reported, where a
    memory map ends the process by a signal.
    """

    def __init__(self, directory: Path, count: int, size: int):
        """Opens the store in `directory`, which is made if missing; a store of another length is emptied."""
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
        """Which images are stored: bool `[count]`."""
        return np.frombuffer(os.pread(self._flags, self._count, 0), np.uint8) == 1

    def write(self, index: int, image: HostImage) -> None:
        """Writes an image, uint8 `[size, size, 3]`, without marking it. Thread-safe."""
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


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """The examples as the network is trained on them, read from the cache or prepared again at each read.

    Attributes:
      index: where the examples come from.
      preparation: what is done to each image.
      bad: (row, reason) of the examples that cannot be used, by row.
      good: int64 `[n]`, the other rows.
      store: the cache, or None.
    """

    index: DataIndex
    preparation: Preparation
    bad: Bad
    good: np.ndarray
    store: ImageStore | None

    def read(self, row: int) -> HostImage:
        """Example `row`, prepared: uint8 `[size, size, 3]`. Thread-safe.

        Raises:
          BadImage: an example of `bad`, or one that was damaged or removed since.
        """
        return self.read_batch(np.array([row]))[0]

    def read_batch(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Examples `rows` (int `[n]`, 0..N-1), prepared: uint8 `[n, size, size, 3]`. Thread-safe.

        Args:
          rows: of the index.
          out: uint8 `[n, size, size, 3]`, filled and returned if given.

        Raises:
          BadImage: see `read`.
        """
        self._refuse_bad(rows)
        if out is None:
            out = self.empty(len(rows))
        for place, row in zip(out, rows, strict=True):
            if self.store is None:
                place[...] = self.preparation(self.index.read(int(row)))
            else:
                self.store.read(int(row), place)
        return out

    def empty(self, count: int) -> np.ndarray:
        """An array for `count` images, not filled."""
        side = self.preparation.stored_size
        return np.empty((count, side, side, 3), np.uint8)

    def _refuse_bad(self, rows: np.ndarray) -> None:
        """The cache has zeros in place of a bad image: they must not be taken for one."""
        found = np.searchsorted(self.good, rows)
        for row in rows[self.good[np.minimum(found, len(self.good) - 1)] != rows]:
            raise BadImage(str(self.index.names[row]), dict(self.bad)[int(row)])


def prepare_examples(
    index: DataIndex,
    preparation: Preparation,
    *,
    cache_dir: str | os.PathLike | None,
    workers: int | None = None,
    progress: bool = True,
) -> Prepared:
    """Decodes every example once, to find those that cannot be used and, with a cache, to fill it.

    The cache is a folder below `cache_dir`, named after the index, what its files hold, and the preparation:
    a cache of other data or settings is never used. A fill that was interrupted continues where it stopped,
    and bad images are tried again. Several processes may fill the cache at once. Memory does not grow with
    the number of examples.

    Args:
      index: the examples.
      preparation: what to do to each image.
      cache_dir: folder of all caches; None to decode again whenever an example is read.
      workers: number of threads; by default one per processor.
      progress: whether to show a progress bar.

    Raises:
      UserError: no room for the cache, the cache cannot be written, or no example can be used.
    """
    if cache_dir is None:
        bad = _examine(range(len(index)), index.read, _forget, workers, progress)
        return _prepared(index, preparation, bad, None)
    directory = user_path(cache_dir) / f"{index.cache_key()[:16]}-{preparation.fingerprint()[:16]}"
    with disk_errors(f"write the cache {directory}", remedy=_REMEDY):
        store = ImageStore(directory, len(index), preparation.stored_size)
        missing = np.flatnonzero(~store.filled())
        if len(missing):
            _check_room(store, len(missing))
            _describe(directory, index, preparation)
        fill = functools.partial(_fill, index, preparation, store)
        bad = _examine(missing, fill, store.mark, workers, progress)
    return _prepared(index, preparation, bad, store)


def _fill(index: DataIndex, preparation: Preparation, store: ImageStore, row: int) -> None:
    store.write(row, preparation(index.read(row)))


def _forget(rows: list[int]) -> None:
    """Without a cache nothing is stored of the examples that were examined."""


def _examine(
    rows: Sequence[int] | np.ndarray,
    examine: Callable[[int], object],
    keep: Callable[[list[int]], None],
    workers: int | None,
    progress: bool,
) -> Bad:
    """Calls `examine` on each row in threads and `keep` on the good rows; returns the bad ones."""
    bad, well = [], []
    workers = workers or default_workers()
    bar = tqdm(total=len(rows), desc="checking images", unit="image", disable=not progress or not len(rows))
    with bar, thread_pool(workers) as pool:
        tasks = bounded(lambda row: (int(row), pool.submit(examine, int(row))), rows, 8 * workers)
        for row, task in tasks:
            try:
                task.result()
                well.append(row)
            except BadImage as error:
                bad.append((row, error.reason))
            if len(well) == _MARK_EVERY:
                keep(well)
                well = []
            bar.update()
        keep(well)
    return tuple(bad)


def _prepared(index: DataIndex, preparation: Preparation, bad: Bad, store: ImageStore | None) -> Prepared:
    good = np.setdiff1d(np.arange(len(index)), [row for row, _ in bad])
    if len(good) == 0:
        first = f", the first because: {bad[0][1]}" if bad else ""
        raise UserError(f"none of the {len(index)} images of the data source can be used{first}")
    return Prepared(index, preparation, bad, good, store)


def _check_room(store: ImageStore, missing: int) -> None:
    needed, free = missing * store.image_bytes, shutil.disk_usage(store.directory).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes needed, {free:,} free")


def _describe(directory: Path, index: DataIndex, preparation: Preparation) -> None:
    """Writes what the folder is, for whoever finds it."""
    about = {
        "what": "prepared images of asae_jax; may be deleted",
        "source": index.source,
        "examples": len(index),
        "preparation": dataclasses.asdict(preparation),
    }
    write_json(directory / "about.json", about)
