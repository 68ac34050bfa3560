"""The cache of prepared images; filling it also finds the examples that cannot be used."""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.files import disk_errors, user_path
from asae_jax.input.decode import BadImage
from asae_jax.input.index import DataIndex
from asae_jax.input.preparation import Preparation
from asae_jax.input.store import MARK_EVERY, DamagedRecord, RecordStore, check_room
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.json_files import write_json
from asae_jax.terminal import Bar
from asae_jax.types import HostImage

Bad = tuple[tuple[int, str], ...]
"""(row, reason) of examples that cannot be used, by row."""

_REPAIRS_SAID = 5
_AT_ONCE = 16
"""Images of one task of a thread: handing over one at a time takes 50 us, a sixth of a small one's time."""
_REMEDY = "choose another place (--config.data.cache_dir=DIR) or do without (--config.data.cache=False)"


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
    store: RecordStore | None

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
                place[...] = _prepare(self.index, self.preparation, int(row))
            else:
                self._read_stored(self.store, int(row), place)
        return out

    def _read_stored(self, store: RecordStore, row: int, place: np.ndarray) -> None:
        """From the cache; an image that is damaged there is prepared again."""
        try:
            store.read(row, place)
        except DamagedRecord:
            place[...] = _prepare(self.index, self.preparation, row)
            said = f"{self.index.names[row]} is damaged in the cache {store.directory} and was prepared again"
            try:
                store.write(row, place)
                store.mark([row])
            except OSError as error:  # the image is whole, wherever it is kept
                said += f", but not written there ({error.strerror or error})"
            if (number := next(store.repairs)) <= _REPAIRS_SAID:
                print(said + ("; further ones are not listed" if number == _REPAIRS_SAID else ""))

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

    The cache is a folder below `cache_dir`, named after what the images are read from
    (`DataIndex.cache_key`) and the preparation: a cache of other images or settings is never used. A fill
    that was interrupted continues where it stopped, and bad images are tried again. Several processes may
    fill the cache at once. Memory does not grow with the number of examples.

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
        decode = functools.partial(index.read_reduced, reduction=preparation.reduction)
        bad = _examine(range(len(index)), decode, _forget, workers, progress)
        return _prepared(index, preparation, bad, None)
    directory = user_path(cache_dir) / f"{index.cache_key()[:16]}-{preparation.fingerprint()[:16]}"
    with disk_errors(f"write the cache {directory}", remedy=_REMEDY):
        store = RecordStore(directory, len(index), preparation.stored_size**2 * 3, name="images.u8")
        missing = np.flatnonzero(~store.filled())
        if len(missing):
            check_room(directory, len(missing) * store.record_bytes)
            _describe(directory, index, preparation)
        fill = functools.partial(_fill, index, preparation, store)
        bad = _examine(missing, fill, store.mark, workers, progress)
    return _prepared(index, preparation, bad, store)


def _fill(index: DataIndex, preparation: Preparation, store: RecordStore, row: int) -> None:
    store.write(row, _prepare(index, preparation, row))


def _prepare(index: DataIndex, preparation: Preparation, row: int) -> HostImage:
    return preparation(index.read_reduced(row, preparation.reduction))


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
    chunks = (rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE))
    bar = Bar("checking images" if progress else "", len(rows), "image")
    with bar, thread_pool(workers) as pool:
        for task in bounded(lambda chunk: pool.submit(_faults, examine, chunk), chunks, 2 * workers):
            for row, reason in task.result():
                if reason is None:
                    well.append(row)
                else:
                    bad.append((row, reason))
                bar.update()
            if len(well) >= MARK_EVERY:
                keep(well)
                well = []
        keep(well)
    return tuple(bad)


def _faults(
    examine: Callable[[int], object], rows: Sequence[int] | np.ndarray
) -> list[tuple[int, str | None]]:
    """(row, why it cannot be used or None) of each of `rows`."""
    found: list[tuple[int, str | None]] = []
    for row in map(int, rows):
        try:
            examine(row)
            found.append((row, None))
        except BadImage as error:
            found.append((row, error.reason))
    return found


def _prepared(index: DataIndex, preparation: Preparation, bad: Bad, store: RecordStore | None) -> Prepared:
    good = np.setdiff1d(np.arange(len(index)), [row for row, _ in bad])
    if len(good) == 0:
        first = f", the first because: {bad[0][1]}" if bad else ""
        raise UserError(f"none of the {len(index)} images of the data source can be used{first}")
    return Prepared(index, preparation, bad, good, store)


def _describe(directory: Path, index: DataIndex, preparation: Preparation) -> None:
    """Writes what the folder is, for whoever finds it."""
    about = {
        "what": "prepared images of asae_jax; may be deleted",
        "source": index.source,
        "examples": len(index),
        "preparation": dataclasses.asdict(preparation),
    }
    write_json(directory / "about.json", about)
