"""Reading ahead with a thread pool: the driver that needs no TensorFlow, and what it is made of."""

import collections
import contextlib
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from asae_jax.input.order import Order

if TYPE_CHECKING:  # cache.py uses the pool below
    from asae_jax.input.cache import Prepared

PositionsAndImages = tuple[np.ndarray, np.ndarray]
"""Positions in the training set int64 `[n]` and their images uint8 `[n, size, size, 3]`."""

Item = TypeVar("Item")
Started = TypeVar("Started")


def default_workers() -> int:
    """The number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def thread_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that, when left early, drops what has not begun and waits for what has."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="asae-input")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def bounded(start: Callable[[Item], Started], items: Iterable[Item], ahead: int) -> Iterator[Started]:
    """`start(item)` of each item in turn, at most `ahead` of them started beyond the one handed out."""
    waiting: collections.deque[Started] = collections.deque()
    for item in items:
        waiting.append(start(item))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def read_batches(
    prepared: "Prepared",
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
    prepared: "Prepared",
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
