"""Thread pools that work ahead of a consumer by a bounded number of items."""

import collections
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Started = TypeVar("Started")


def default_workers() -> int:
    """The number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def thread_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A thread pool; leaving the block cancels tasks that have not begun and waits for the others."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="asae-input")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def bounded(start: Callable[[Item], Started], items: Iterable[Item], ahead: int) -> Iterator[Started]:
    """Yields `start(item)` of each item in turn, at most `ahead` of them started in advance."""
    waiting: collections.deque[Started] = collections.deque()
    for item in items:
        waiting.append(start(item))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting
