"""Batches for the training step and for evaluation.

Two drivers read the same batches: `tf_data.py`, and a thread pool, which needs no TensorFlow.
"""

import contextlib
import importlib.util
import itertools
from collections.abc import Callable, Generator, Iterable
from typing import Protocol

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input import tf_data
from asae_jax.input.cache import Prepared
from asae_jax.input.sampler import Sampler
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.types import HostBatch

_PREFETCH = 2  # batches that are read ahead

HostBatches = Generator[HostBatch, None, None]
_Stream = Generator[tf_data.PositionsAndImages, None, None]


class Records(Protocol):
    """What batches are read from: prepared images, or features of them."""

    def empty(self, count: int) -> np.ndarray:
        """An array for `count` records, not filled."""

    def read_batch(self, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Records `rows` (int `[n]`) into `out`. Thread-safe."""


def train_batches(
    prepared: Prepared,
    indices: np.ndarray,
    labels: np.ndarray,
    *,
    sampler: Sampler,
    start_step: int = 0,
    driver: str,
    workers: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> HostBatches:
    """Endless batches from step `start_step` on: `image`, `label` and `index` of `HostBatch`.

    Both drivers yield the same arrays. Close the iterator (`contextlib.closing`) to end its threads.

    Args:
      prepared: the examples.
      indices: int `[n]`, the rows of the index to train on.
      labels: int `[n]`, the label of each.
      sampler: made from these `labels`; its batch size counts all processes.
      start_step: the first step, 0 or above; no earlier batch is read.
      driver: "tf.data", "threads", or "auto" for tf.data where TensorFlow is installed.
      workers: number of threads; by default one per processor.
      process_index: number of this process, 0..process_count-1, which reads that contiguous part of each
        batch.
      process_count: number of processes.

    Raises:
      UserError: unknown driver, or the processes do not divide the batch; while iterating, an image that
        has become unreadable.
    """
    part = _part(sampler.batch_size, process_index, process_count)
    indices, labels = _aligned(indices, labels)
    images_in_order = _driver(driver)
    stream = images_in_order(
        prepared,
        indices,
        sampler,
        start_step=start_step,
        part=part,
        prefetch=_PREFETCH,
        workers=workers or default_workers(),
    )
    return _labelled(stream, indices, labels)


def view_batches(
    features: Records,
    indices: np.ndarray,
    labels: np.ndarray,
    *,
    sampler: Sampler,
    views: int,
    start_step: int = 0,
    workers: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> HostBatches:
    """Endless batches of kept features from step `start_step` on: `features`, `label` and `index`.

    The examples are those of `train_batches`, read by the pool of threads. Each visit of an example brings
    its next view, in turns.

    Args:
      features: record `row * views + view` holds the features of view `view` of row `row` of the index.
      indices: int `[n]`, the rows of the index to train on.
      labels: int `[n]`, the label of each.
      sampler: made from these `labels`.
      views: number of views of each example.
      start_step: the first step, 0 or above; no earlier batch is read.
      workers: number of threads; by default one per processor.
      process_index: as in `train_batches`.
      process_count: number of processes.
    """
    part = _part(sampler.batch_size, process_index, process_count)
    indices, labels = _aligned(indices, labels)

    def positions_and_records(step: int) -> tuple[np.ndarray, np.ndarray]:
        positions = sampler.batch(step)[part]
        return positions, indices[positions] * views + sampler.visits(step)[part] % views

    stream = _read_batches(
        features,
        map(positions_and_records, itertools.count(start_step)),
        prefetch=_PREFETCH,
        workers=workers or default_workers(),
    )
    return _labelled(stream, indices, labels, name="features")


def _labelled(
    stream: _Stream, indices: np.ndarray, labels: np.ndarray, *, name: str = "image"
) -> HostBatches:
    with contextlib.closing(stream):
        for positions, records in stream:
            yield {
                name: records,
                "label": labels[positions].astype(np.int32),
                "index": indices[positions].astype(np.int32),
            }


def eval_batches(
    prepared: Prepared,
    indices: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    *,
    workers: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> HostBatches:
    """Every example once, in the order given, in ceil(n / batch_size) batches of one shape.

    The last batch is padded with black images of label 0, index -1 and mask 0; examples have mask 1.
    Each process gets its contiguous part of every batch, and all of them the same number of batches.

    Args:
      prepared: the examples.
      indices: int `[n]`, rows of the index.
      labels: int `[n]`, the label of each.
      batch_size: images per batch, over all processes.
      workers: number of threads; by default one per processor.
      process_index: number of this process, 0..process_count-1.
      process_count: number of processes.

    Raises:
      UserError: the processes do not divide the batch; while iterating, an image that has become
        unreadable.
    """
    part = _part(batch_size, process_index, process_count)
    indices, labels = _aligned(indices, labels)
    places = np.arange(batch_size)[part]
    batches = (first + places for first in range(0, len(indices), batch_size))
    present = (positions[positions < len(indices)] for positions in batches)
    rows = ((positions, indices[positions]) for positions in present)
    stream = _read_batches(prepared, rows, prefetch=_PREFETCH, workers=workers or default_workers())
    return _padded_batches(_labelled(stream, indices, labels), len(places))


def _padded_batches(batches: HostBatches, size: int) -> HostBatches:
    with contextlib.closing(batches):
        for batch in batches:
            yield _padded(batch, size)


def _padded(batch: HostBatch, size: int) -> HostBatch:
    count = len(batch["label"])
    masked = batch | {"mask": np.ones(count, np.float32)}
    if count == size:
        return masked
    fill = {"image": 0, "label": 0, "index": -1, "mask": 0}
    return {name: _lengthen(masked[name], size - count, value) for name, value in fill.items()}


def _lengthen(array: np.ndarray, count: int, value: int) -> np.ndarray:
    return np.concatenate([array, np.full((count, *array.shape[1:]), value, array.dtype)])


def _aligned(indices: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(indices) != len(labels):
        raise ValueError(f"{len(indices)} indices but {len(labels)} labels")
    return np.asarray(indices), np.asarray(labels)


def _part(batch_size: int, process_index: int, process_count: int) -> slice:
    if batch_size % process_count:
        raise UserError(
            f"batch size {batch_size} cannot be shared by {process_count} processes: choose a multiple of "
            f"{process_count} (--config.train.batch_size=)"
        )
    size = batch_size // process_count
    return slice(process_index * size, (process_index + 1) * size)


def _driver(name: str) -> Callable[..., _Stream]:
    if name not in DRIVERS:
        raise UserError(f"unknown input driver {name!r}: choose one of {', '.join(DRIVERS)}")
    if name == "auto":
        name = "tf.data" if importlib.util.find_spec("tensorflow") else "threads"
    return STREAMS[name]


def images_in_order(
    prepared: Prepared,
    indices: np.ndarray,
    sampler: Sampler,
    *,
    start_step: int,
    part: slice,
    prefetch: int,
    workers: int,
) -> _Stream:
    """Endless batches from step `start_step` on, by a thread pool.

    Args:
      prepared: the examples.
      indices: int64 `[n]`, row of the index of each of the sampler's positions.
      sampler: which positions each batch holds.
      start_step: the first step, 0 or above.
      part: the elements of each batch that this process reads.
      prefetch: number of batches to read ahead.
      workers: number of threads.

    Yields:
      (positions int64 `[b]`, images uint8 `[b, size, size, 3]`).
    """
    batches = (sampler.batch(step)[part] for step in itertools.count(start_step))
    rows = ((positions, indices[positions]) for positions in batches)
    return _read_batches(prepared, rows, prefetch=prefetch, workers=workers)


def _read_batches(
    source: Records,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    prefetch: int,
    workers: int,
) -> _Stream:
    """Reads batches of (positions, rows of `source`), in order; closing the generator ends the threads.

    It yields the positions with what the rows hold. Each batch is divided among the workers; `prefetch`
    batches are read ahead.
    """
    with thread_pool(workers) as pool:

        def start(batch: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, list]:
            positions, rows = batch
            records = source.empty(len(rows))
            parts = np.array_split(rows, workers), np.array_split(records, workers)
            return positions, records, [*map(pool.submit, itertools.repeat(source.read_batch), *parts)]

        for positions, records, tasks in bounded(start, batches, prefetch):
            for task in tasks:
                task.result()
            yield positions, records


STREAMS: dict[str, Callable[..., _Stream]] = {
    "tf.data": tf_data.images_in_order,
    "threads": images_in_order,
}
"""Name -> endless batches of prepared images, see `images_in_order`."""

DRIVERS = ("auto", *STREAMS)
"""What reads training batches."""
