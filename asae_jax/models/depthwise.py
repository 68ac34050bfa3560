"""Depthwise convolution on CPUs, as a sum of shifted maps: one map for every place of the kernel.

XLA's own takes 2 to 13 times as long forward. Its gradient of the kernel reads the maps once for every place
and sums one value after the other, which took 40 % of a training step of EfficientNet-Lite0.
`convolution.py` decides where this module is used; figures are in docs/speed_notes.md.
"""

import functools
import math
import operator
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.types import Array, Features, NextFeatures, at_least_float32

Zeros = tuple[tuple[int, int], tuple[int, int]]
"""How many zeros stand in front of and behind the rows, and the columns."""

_ADDED_AT_ONCE = 8
"""Images whose products are added before anything is written; more are no faster."""


def depthwise(x: Features, kernel: Array, strides: int, zeros: Zeros) -> NextFeatures:
    """Cross-correlation of each channel with its own kernel; sums are float32 at least.

    Args:
      x: `[..., height, width, channels]`.
      kernel: `[size, size, 1, channels]`.
      strides: in both directions.
      zeros: padding.

    Returns:
      `[..., height', width', channels]`, of the dtype of `x`.
    """
    images = at_least_float32(x.reshape(math.prod(x.shape[:-3]), *x.shape[-3:]))  # also an empty map
    y = _convolved(images, at_least_float32(kernel[:, :, 0]), strides, zeros)
    return y.reshape(*x.shape[:-3], *y.shape[1:]).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolved(x: Array, taps: Array, strides: int, zeros: Zeros) -> Array:
    """Of `[batch, height, width, channels]` and `[size, size, channels]`."""
    return _weighted(_padded(x, zeros), taps, strides)


def _forward(x: Array, taps: Array, strides: int, zeros: Zeros) -> tuple[Array, tuple[Array, Array]]:
    maps = lax.optimization_barrier(_padded(x, zeros))  # made once, for the gradients too
    return _weighted(maps, taps, strides), (maps, taps)


def _backward(strides: int, zeros: Zeros, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    maps, taps = saved
    of_maps = _gradient_of_maps(maps.shape[1:3], taps, gradient, strides)
    rows, cols = (
        slice(front, side - behind) for (front, behind), side in zip(zeros, maps.shape[1:3], strict=True)
    )
    return of_maps[:, rows, cols], _gradient_of_taps(maps, gradient, len(taps), strides)


_convolved.defvjp(_forward, _backward)


def _padded(x: Array, zeros: Zeros) -> Array:
    return jnp.pad(x, ((0, 0), *zeros, (0, 0)))


def _weighted(maps: Array, taps: Array, strides: int) -> Array:
    """The sum of the parts of padded maps, each with its weights."""
    parts = _parts(maps, len(taps), strides)
    products = (part * tap for part, tap in zip(parts, _rows(taps), strict=True))
    return functools.reduce(operator.add, products)


def _gradient_of_maps(sides: tuple[int, ...], taps: Array, gradient: Array, strides: int) -> Array:
    """A convolution with the kernel turned around.

    What XLA makes of `_weighted` by itself, a sum of padded maps, takes up to three times as long.
    """
    front, nothing = len(taps) - 1, jnp.zeros((), gradient.dtype)
    spread = [(length - 1) * strides + 1 for length in gradient.shape[1:3]]
    rows, cols = ((front, side - between, strides - 1) for side, between in zip(sides, spread, strict=True))
    padded = lax.pad(gradient, nothing, ((0, 0, 0), rows, cols, (0, 0, 0)))
    return _weighted(padded, taps[::-1, ::-1], 1)


def _gradient_of_taps(maps: Array, gradient: Array, size: int, strides: int) -> Array:
    """`[size, size, channels]`.

    The products of a few images are added, position by position, and the sums over positions are a matrix
    product with ones: XLA would sum products of parts of maps one value after the other.
    """
    batch, channels = len(maps), maps.shape[-1]
    at_once = _at_once(batch)
    maps, gradient = (
        jnp.pad(of_images, ((0, -batch % at_once), (0, 0), (0, 0), (0, 0))).reshape(
            -1, at_once, *of_images.shape[1:]
        )
        for of_images in (maps, gradient)
    )
    ones = jnp.ones((1, gradient.shape[2] * gradient.shape[3]), maps.dtype)

    def add(total: Array, some: tuple[Array, Array]) -> tuple[Array, None]:
        maps, gradient = some
        sums = [
            ones @ functools.reduce(operator.add, map(operator.mul, part, gradient)).reshape(-1, channels)
            for part in _parts(maps, size, strides)
        ]
        return total + jnp.concatenate(sums), None

    total, _ = lax.scan(add, jnp.zeros((size * size, channels), maps.dtype), (maps, gradient))
    return total.reshape(size, size, channels)


def _at_once(batch: int) -> int:
    """Images whose products are added at once: a divisor of the batch if one is near, to copy nothing."""
    most = min(batch, _ADDED_AT_ONCE)
    divisors = [count for count in range(most // 2 + 1, most + 1) if batch % count == 0]
    return max(divisors, default=-(-batch // -(-batch // most)))


def _parts(padded: Array, size: int, strides: int) -> Iterator[Array]:
    """What each place of the kernel meets, of maps `[batch, height, width, channels]`, row by row."""
    rows, cols = (length - size + 1 for length in padded.shape[1:3])
    for i in range(size):
        for j in range(size):
            yield padded[:, i : i + rows : strides, j : j + cols : strides]


def _rows(taps: Array) -> Iterator[Array]:
    """Each place's tap, `[1, 1, 1, channels]`, row by row."""
    for tap in taps.reshape(-1, taps.shape[-1]):
        yield tap.reshape(1, 1, 1, -1)
