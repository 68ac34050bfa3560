"""Random keys as a pure function of (seed, stream, step, example).

No key lives in the training state: a resumed run, or one on another number of devices, draws the
same randomness because it asks for the same four coordinates.
"""

import zlib

import jax
import jax.numpy as jnp

from asae_jax.types import ExampleKeys, ExampleNumbers, Index, Key


def stream_key(seed: int, stream: str) -> Key:
    """Key of a named stream ("init", "augment", "asae", ...), the same on every machine.

    The name enters by its CRC-32, which, unlike Python's `hash`, does not change between processes.
    """
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(stream.encode()))


def step_key(key: Key, step: Index) -> Key:
    """Key of one training step within a stream."""
    return jax.random.fold_in(key, step)


def example_keys(key: Key, count: int, first: ExampleNumbers = 0) -> ExampleKeys:
    """One key per example: `[count]` keys for the examples `first .. first + count - 1` of a global batch.

    `first` may also be the numbers of all of them, int `[count]`.

    On device `d` of a data-parallel step `first` is `d * count`, so that example `i` of the global
    batch has the same key on any number of devices.
    """
    numbers = first if jnp.ndim(first) else first + jnp.arange(count)
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers)


def first_of_share(axis_name: str | None, count: int, given: ExampleNumbers | None = None) -> ExampleNumbers:
    """Number of the first of `count` examples within the global batch; or of each, as `given`.

    Args:
      axis_name: device axis over which the batch is spread in equal shares; None: it is not spread.
      count: examples of this device.
      given: the number, or int `[count]` those of all, where the caller knows: a share may be computed in
        parts.
    """
    if given is not None:
        return given
    return 0 if axis_name is None else jax.lax.axis_index(axis_name) * count


def view_keys(key: Key, views: jax.Array, examples: jax.Array) -> ExampleKeys:
    """The keys of view `views[i]` of example `examples[i]`, both int `[batch]`: `[batch]` keys of a stream.

    An example is a row of the data-set index, so that its views are the same in whatever batch it comes.
    """
    return jax.vmap(lambda view, example: jax.random.fold_in(step_key(key, view), example))(views, examples)
