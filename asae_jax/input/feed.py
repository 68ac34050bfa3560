"""Batches for the training step and for evaluation, whoever reads them."""

import contextlib
import importlib.util
from collections.abc import Callable, Generator

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input import pipeline, threads
from asae_jax.input.cache import Prepared
from asae_jax.input.order import Order
from asae_jax.input.threads import PositionsAndImages, read_batches
from asae_jax.input.workers import default_workers
from asae_jax.types import HostBatch

DRIVERS = ("auto", "tf.data", "threads")

HostBatches = Generator[HostBatch, None, None]
Batches = Generator[PositionsAndImages, None, None]


def train_batches(
    prepared: Prepared,
    indices: np.ndarray,
    labels: np.ndarray,
    *,
    order: Order,
    start_step: int = 0,
    driver: str = "auto",
    prefetch: int = 2,
    workers: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> HostBatches:
    """Endless batches from step `start_step` on: `image`, `label` and `index` of `HostBatch`.

    Both drivers yield the same arrays, those of `order`. Close the iterator (`contextlib.closing`) to
    end its threads.

    Args:
      prepared: the examples.
      indices: int `[n]`, the table rows to train on.
      labels: int `[n]`, the label of each.
      order: made from these `labels`; its batch size counts all processes.
      start_step: the first step, 0, 1, ...; starting late costs nothing.
      driver: "tf.data", "threads", or "auto": tf.data where TensorFlow is installed.
      prefetch: batches to read ahead.
      workers: threads; by default one per processor.
      process_index: which contiguous part of each batch is this process's.
      process_count: how many parts there are.

    Raises:
      UserError: unknown driver, or the processes do not divide the batch; while iterating, an image that
        has become unreadable.
    """
    part = _part(order.batch_size, process_index, process_count)
    indices, labels = _aligned(indices, labels)
    images_in_order = _driver(driver)
    stream = images_in_order(
        prepared,
        indices,
        order,
        start_step=start_step,
        part=part,
        prefetch=prefetch,
        workers=workers or default_workers(),
    )
    return _labelled(stream, indices, labels)


def _labelled(stream: Batches, indices: np.ndarray, labels: np.ndarray) -> HostBatches:
    with contextlib.closing(stream):
        for positions, images in stream:
            yield {
                "image": images,
                "label": labels[positions].astype(np.int32),
                "index": indices[positions].astype(np.int32),
            }


def eval_batches(
    prepared: Prepared,
    indices: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    *,
    prefetch: int = 2,
    workers: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> HostBatches:
    """Every example once, in the order given, in ceil(n / batch_size) batches of one shape.

    The last batch is filled up with black images of label 0, index -1 and mask 0; examples have mask 1.
    Each process gets its contiguous part of every batch, and all of them the same number of batches.

    Args:
      prepared: the examples.
      indices: int `[n]`, table rows.
      labels: int `[n]`, the label of each.
      batch_size: images per batch, over all processes.
      prefetch: batches to read ahead.
      workers: threads; by default one per processor.
      process_index: which part of each batch is this process's.
      process_count: how many parts there are.

    Raises:
      UserError: the processes do not divide the batch; while iterating, an image that has become
        unreadable.
    """
    part = _part(batch_size, process_index, process_count)
    indices, labels = _aligned(indices, labels)
    places = np.arange(batch_size)[part]
    batches = (first + places for first in range(0, len(indices), batch_size))
    present = (positions[positions < len(indices)] for positions in batches)
    stream = read_batches(prepared, indices, present, prefetch=prefetch, workers=workers or default_workers())
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


def _driver(name: str) -> Callable[..., Batches]:
    if name not in DRIVERS:
        raise UserError(f"unknown input driver {name!r}: choose one of {', '.join(DRIVERS)}")
    if name == "auto":
        name = "tf.data" if importlib.util.find_spec("tensorflow") else "threads"
    return pipeline.images_in_order if name == "tf.data" else threads.images_in_order
