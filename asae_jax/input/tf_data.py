"""The tf.data driver of `feed.py`: one stream of positions per class, chosen in turns, then read in parallel.

TensorFlow is loaded when the driver is called, not when this module is imported.
"""

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.cache import Prepared
from asae_jax.input.sampler import Sampler

PositionsAndImages = tuple[np.ndarray, np.ndarray]
"""Positions in the training set, int64 `[n]`, and their images, uint8 `[n, size, size, 3]`."""

_ENDLESS = 2**62


def load_tensorflow() -> ModuleType:
    """Imports TensorFlow, without its messages and without the accelerators, which belong to JAX."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # unused here, and it prints a message
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    for kind in ("GPU", "TPU"):
        with contextlib.suppress(
            RuntimeError
        ):  # already initialised by the caller, with devices of its choice
            tf.config.set_visible_devices([], kind)
    return tf


def images_in_order(
    prepared: Prepared,
    indices: np.ndarray,
    sampler: Sampler,
    *,
    start_step: int,
    part: slice,
    prefetch: int,
    workers: int,
) -> Generator[PositionsAndImages, None, None]:
    """Endless batches from step `start_step` on.

    Positions are shuffled and batched before anything is read, so that starting at step N costs the
    shuffling of one pass, not N batches.

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

    Raises:
      BadImage, UserError: what reading an image raised; other failures of tf.data as UserError.
    """
    tf = load_tensorflow()
    failures: list[Exception] = []
    positions = _positions(tf, sampler, start_step).batch(sampler.batch_size, drop_remainder=True)
    positions = positions.map(lambda batch: batch[part])
    read = _recording(failures, lambda batch: prepared.read_batch(indices[batch]))
    if prepared.store is None:
        dataset = _decoded(tf, positions, read, len(range(sampler.batch_size)[part]), workers)
    else:
        dataset = positions.map(lambda batch: (batch, tf.numpy_function(read, [batch], tf.uint8)))
    dataset = dataset.prefetch(prefetch).with_options(_options(tf, workers))
    with _as_raised(tf, failures):
        yield from dataset.as_numpy_iterator()


def _positions(tf: ModuleType, sampler: Sampler, start_step: int) -> Any:
    """The sampler's positions one by one, from the beginning of step `start_step`."""
    start = start_step * sampler.per_stream
    streams = [_stream(tf, sampler, number, start) for number in range(len(sampler.streams))]
    turns = tf.data.Dataset.range(len(streams)).repeat()
    return tf.data.Dataset.choose_from_datasets(streams, turns)


def _stream(tf: ModuleType, sampler: Sampler, number: int, start: int) -> Any:
    """The passes of one stream one after another, from its element `start` on."""
    first_pass, offset = divmod(start, len(sampler.streams[number]))

    def one_pass(pass_number: Any) -> Any:
        positions = tf.numpy_function(lambda n: sampler.one_pass(number, int(n)), [pass_number], tf.int64)
        positions.set_shape([None])
        return tf.data.Dataset.from_tensor_slices(positions)

    return tf.data.Dataset.range(first_pass, _ENDLESS).flat_map(one_pass).skip(offset)


def _decoded(tf: ModuleType, batches: Any, read: Callable, size: int, workers: int) -> Any:
    """Without a cache images are decoded one by one, so that one batch keeps all workers busy."""

    def one(position: Any) -> Any:
        image = tf.numpy_function(lambda p: read(np.array([p]))[0], [position], tf.uint8)
        image.set_shape([None, None, 3])
        return position, image

    decoded = batches.unbatch().map(one, num_parallel_calls=workers)
    return decoded.batch(size, drop_remainder=True)


def _options(tf: ModuleType, workers: int) -> Any:
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # the parallelism is fixed; searching for it would only cost memory
    options.threading.private_threadpool_size = workers
    return options


def _recording(failures: list[Exception], function: Callable) -> Callable:
    """`function`, appending what it raises to `failures`: TensorFlow keeps only the text of exceptions."""

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
