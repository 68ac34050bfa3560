"""Batches by a thread pool: the driver that needs no TensorFlow."""

import itertools
from collections.abc import Generator, Iterable

import numpy as np

from asae_jax.input.cache import Prepared
from asae_jax.input.order import Order
from asae_jax.input.workers import bounded, thread_pool

PositionsAndImages = tuple[np.ndarray, np.ndarray]
"""Positions in the training set int64 `[n]` and their images uint8 `[n, size, size, 3]`."""


def read_batches(
    prepared: Prepared,
    indices: np.ndarray,
    batches: Iterable[np.ndarray],
    *,
    prefetch: int,
    workers: int,
) -> Generator[PositionsAndImages, None, None]:
    """Reads batches of positions in `indices`, in order.

    Every batch is shared out among the workers; `prefetch` batches are read ahead. Closing the
    generator ends the threads.
    """
    with thread_pool(workers) as pool:

        def start(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, list]:
            images = prepared.empty(len(positions))
            rows, parts = np.array_split(indices[positions], workers), np.array_split(images, workers)
            return positions, images, [*map(pool.submit, itertools.repeat(prepared.read_batch), rows, parts)]

        for positions, images, tasks in bounded(start, batches, prefetch):
            for task in tasks:
                task.result()
            yield positions, images


def images_in_order(
    prepared: Prepared,
    indices: np.ndarray,
    order: Order,
    *,
    start_step: int,
    part: slice,
    prefetch: int,
    workers: int,
) -> Generator[PositionsAndImages, None, None]:
    """Endless batches from step `start_step` on.

    Args:
      prepared: the examples.
      indices: int64 `[n]`, table row of each of the order's positions.
      order: which positions each batch holds.
      start_step: the first step, 0, 1, ...
      part: of each batch, the elements that this process reads.
      prefetch: batches to read ahead.
      workers: threads.

    Returns:
      (positions int64 `[b]`, images uint8 `[b, size, size, 3]`).
    """
    batches = (order.batch(step)[part] for step in itertools.count(start_step))
    return read_batches(prepared, indices, batches, prefetch=prefetch, workers=workers)
