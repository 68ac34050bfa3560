"""One pass over all examples: which can be used, and what they look like prepared."""

import contextlib
import dataclasses
import errno
import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from asae_jax.errors import UserError
from asae_jax.input.decode import BadImage
from asae_jax.input.prepare import Preparation
from asae_jax.input.store import ImageStore
from asae_jax.input.table import Table
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.types import HostImage

Bad = tuple[tuple[int, str], ...]
"""(row, reason) of examples that cannot be used, by row."""

_MARK_EVERY = 1024  # images; what an interruption can cost, and how often the disk is waited for


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """The examples of a table as they are trained on, from the cache or made anew each time.

    Attributes:
      table: where the examples come from.
      preparation: what is done to each.
      bad: (row, reason) of the examples that cannot be used, by row.
      good: int64 `[n]`, the other rows.
      store: the cache, or None.
    """

    table: Table
    preparation: Preparation
    bad: Bad
    good: np.ndarray
    store: ImageStore | None

    def read(self, index: int) -> HostImage:
        """Row `index` of the table, prepared: uint8 `[size, size, 3]`. Thread-safe.

        Raises:
          BadImage: an example of `bad`, or one that was damaged or removed since.
        """
        return self.read_batch(np.array([index]))[0]

    def read_batch(self, indices: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Rows `indices` (int `[n]`, 0..N-1), prepared: uint8 `[n, size, size, 3]`. Thread-safe.

        Args:
          indices: rows of the table.
          out: filled and returned if given.

        Raises:
          BadImage: see `read`.
        """
        self._refuse_bad(indices)
        if out is None:
            out = self.empty(len(indices))
        for place, index in zip(out, indices, strict=True):
            if self.store is None:
                place[...] = self.preparation(self.table.read(int(index)))
            else:
                self.store.read(int(index), place)
        return out

    def empty(self, count: int) -> np.ndarray:
        """An array for `count` images, not filled."""
        side = self.preparation.stored_size
        return np.empty((count, side, side, 3), np.uint8)

    def _refuse_bad(self, indices: np.ndarray) -> None:
        """The cache has zeros where a bad image should be: they must not pass for one."""
        found = np.searchsorted(self.good, indices)
        for index in indices[self.good[np.minimum(found, len(self.good) - 1)] != indices]:
            raise BadImage(str(self.table.names[index]), dict(self.bad)[int(index)])


def prepare_examples(
    table: Table,
    preparation: Preparation,
    *,
    cache_dir: str | os.PathLike | None,
    workers: int | None = None,
    progress: bool = True,
) -> Prepared:
    """Decodes every example once, to find those that cannot be used and, with a cache, to fill it.

    The cache is a folder of its own below `cache_dir`, named by the fingerprints of table and
    preparation: one that does not fit is never found. A fill that was interrupted goes on where it
    stopped, and bad images are tried again. Several processes may fill at once. Memory does not grow
    with the number of examples.

    Args:
      table: the examples.
      preparation: what to do to each.
      cache_dir: where caches live; None decodes again whenever an example is read.
      workers: threads; by default one per processor.
      progress: whether to show a bar.

    Raises:
      UserError: no room for the cache, or it cannot be written, or not one example can be used.
    """
    if cache_dir is None:
        bad = _examine(range(len(table)), table.read, _forget, workers, progress)
        return _prepared(table, preparation, bad, None)
    directory = Path(cache_dir).expanduser() / f"{table.fingerprint()[:16]}-{preparation.fingerprint()[:16]}"
    with _explained_disk_errors(directory):
        store = ImageStore(directory, len(table), preparation.stored_size)
        missing = np.flatnonzero(~store.filled())
        if len(missing):
            _check_room(store, len(missing))
            _describe(directory, table, preparation)
        fill = functools.partial(_fill, table, preparation, store)
        bad = _examine(missing, fill, store.mark, workers, progress)
    return _prepared(table, preparation, bad, store)


def _fill(table: Table, preparation: Preparation, store: ImageStore, row: int) -> None:
    store.write(row, preparation(table.read(row)))


def _forget(rows: list[int]) -> None:
    """Without a cache nothing is kept of the examples that were examined."""


def _examine(
    rows: Sequence[int] | np.ndarray,
    examine: Callable[[int], object],
    keep: Callable[[list[int]], None],
    workers: int | None,
    progress: bool,
) -> Bad:
    """Calls `examine` on each row in threads, `keep` on the rows that went well, and returns the others."""
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


def _prepared(table: Table, preparation: Preparation, bad: Bad, store: ImageStore | None) -> Prepared:
    good = np.setdiff1d(np.arange(len(table)), [row for row, _ in bad])
    if len(good) == 0:
        first = f", the first because: {bad[0][1]}" if bad else ""
        raise UserError(f"none of the {len(table)} images of the data source can be used{first}")
    return Prepared(table, preparation, bad, good, store)


def _check_room(store: ImageStore, missing: int) -> None:
    needed, free = missing * store.image_bytes, shutil.disk_usage(store.directory).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes needed, {free:,} free")


@contextlib.contextmanager
def _explained_disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write the cache {directory} ({error.strerror}): choose another place "
            "(--config.data.cache_dir=DIR) or do without (--config.data.cache=False)"
        ) from error


def _describe(directory: Path, table: Table, preparation: Preparation) -> None:
    """For a person who finds the folder and asks what it is."""
    about = {
        "what": "prepared images of asae_jax; may be deleted",
        "source": table.source,
        "examples": len(table),
        "preparation": dataclasses.asdict(preparation),
    }
    (directory / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
