"""The same batches by tf.data: one stream of indices per class, chosen in turns, then read in parallel.

The only file of the input side that loads TensorFlow, and only when it is called.
"""

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.cache import Prepared
from asae_jax.input.order import Order
from asae_jax.input.threads import PositionsAndImages

_ENDLESS = 2**62


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

    Indices are shuffled and batched before anything is read, so that starting at step N costs the index
    arithmetic of one pass, not N batches.

    Args:
      prepared: the examples.
      indices: int64 `[n]`, table row of each of the order's positions.
      order: which positions each batch holds.
      start_step: the first step, 0, 1, ...
      part: of each batch, the elements that this process reads.
      prefetch: batches to read ahead.
      workers: threads.

    Yields:
      (positions int64 `[b]`, images uint8 `[b, size, size, 3]`).

    Raises:
      BadImage, UserError: what reading raised, as itself and not as TensorFlow's copy of it.
    """
    tf = _tensorflow()
    failures: list[Exception] = []
    positions = _positions(tf, order, start_step).batch(order.batch_size, drop_remainder=True)
    positions = positions.map(lambda batch: batch[part])
    read = _recording(failures, lambda batch: prepared.read_batch(indices[batch]))
    if prepared.store is None:
        dataset = _decoded(tf, positions, read, len(range(order.batch_size)[part]), workers)
    else:
        dataset = positions.map(lambda batch: (batch, tf.numpy_function(read, [batch], tf.uint8)))
    dataset = dataset.prefetch(prefetch).with_options(_options(tf, workers))
    with _as_raised(tf, failures):
        yield from dataset.as_numpy_iterator()


def _positions(tf: ModuleType, order: Order, start_step: int) -> Any:
    """The order's positions one by one, from the beginning of step `start_step`."""
    start = start_step * order.per_stream
    streams = [_stream(tf, order, number, start) for number in range(len(order.streams))]
    turns = tf.data.Dataset.range(len(streams)).repeat()
    return tf.data.Dataset.choose_from_datasets(streams, turns)


def _stream(tf: ModuleType, order: Order, number: int, start: int) -> Any:
    """One stream's passes laid end to end, from its element `start` on."""
    first_pass, offset = divmod(start, len(order.streams[number]))

    def one_pass(pass_number: Any) -> Any:
        positions = tf.numpy_function(lambda n: order.one_pass(number, int(n)), [pass_number], tf.int64)
        positions.set_shape([None])
        return tf.data.Dataset.from_tensor_slices(positions)

    return tf.data.Dataset.range(first_pass, _ENDLESS).flat_map(one_pass).skip(offset)


def _decoded(tf: ModuleType, batches: Any, read: Callable, size: int, workers: int) -> Any:
    """Without a cache every image is decoded by itself, so that one batch keeps all workers busy."""

    def one(position: Any) -> Any:
        image = tf.numpy_function(lambda p: read(np.array([p]))[0], [position], tf.uint8)
        image.set_shape([None, None, 3])
        return position, image

    decoded = batches.unbatch().map(one, num_parallel_calls=workers)
    return decoded.batch(size, drop_remainder=True)


def _options(tf: ModuleType, workers: int) -> Any:
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # the parallelism is given; its search would only cost memory
    options.threading.private_threadpool_size = workers
    return options


def _recording(failures: list[Exception], function: Callable) -> Callable:
    """`function`, keeping what it raises: TensorFlow hands on only the text of an exception."""

    def call(argument: np.ndarray) -> np.ndarray:
        try:
            return function(argument)
        except Exception as error:
            failures.append(error)
            raise

    return call


@contextlib.contextmanager
def _as_raised(tf: ModuleType, failures: list[Exception]) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        if failures:
            raise failures[0] from None
        raise UserError(f"tf.data failed ({error.message}): try --config.data.driver=threads") from error


def _tensorflow() -> ModuleType:
    """TensorFlow, quiet, and without the accelerators: they belong to JAX."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # unused here, and it announces itself
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    for kind in ("GPU", "TPU"):
        with contextlib.suppress(RuntimeError):  # the caller has used TensorFlow before, as it chose to
            tf.config.set_visible_devices([], kind)
    return tf
