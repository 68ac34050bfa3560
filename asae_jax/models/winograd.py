"""Convolution with 3 x 3 kernels by Winograd's algorithm: 16 multiplications for four results instead of 36.

F(2 x 2, 3 x 3) of Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016: tiles of
4 x 4 values, each two further than the last, give 2 x 2 results, `y = A' [(G k G') * (B' d B)] A`. The
products in the middle are matrix products over the channels, one for each of the 16 places of a tile; the
rest is additions. `convolution.py` decides where it is used.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax

from asae_jax.types import Array

Line = Sequence[Array]
"""What belongs to the places of a tile, a kernel or a result along one axis."""
Grid = Sequence[Line]
"""The same along both axes."""


def convolve_3x3(x: Array, kernel: Array) -> Array:
    """Cross-correlation with stride 1 and one zero on every side; equal to a direct one to rounding.

    Args:
      x: `[batch, height, width, channels]`.
      kernel: `[3, 3, channels, features]`.

    Returns:
      `[batch, height, width, features]`.
    """
    return _summed(x, _both_ways(_places_of_kernel, kernel), over=0)


def map_gradient(kernel: Array, gradient: Array) -> Array:
    """The gradient of `sum(convolve_3x3(x, kernel) * gradient)` with respect to `x`.

    It is `gradient` convolved with the kernel turned by 180 degrees. Of the places of its tile that exchanges
    the outer ones; the kernel itself is not moved, as the copy would take longer than the rest.

    Args:
      kernel: `[3, 3, channels, features]`.
      gradient: `[batch, height, width, features]`.

    Returns:
      `[batch, height, width, channels]`.
    """
    kernels = _both_ways(_places_of_kernel, kernel)
    turned = (3, 1, 2, 0)
    return _summed(gradient, [[kernels[i][j] for j in turned] for i in turned], over=1)


def _summed(x: Array, kernels: Grid, *, over: int) -> Array:
    """The results of all tiles; `over` is the axis of the kernels that belongs to the channels of `x`."""
    batch, height, width, _ = x.shape
    rows, cols = -(-height // 2), -(-width // 2)
    channels = (((1,), (over,)), ((), ()))
    products = [
        [lax.dot_general(flat, matrix, channels) for flat, matrix in zip(*lines, strict=True)]
        for lines in zip(_of_maps(x), kernels, strict=True)
    ]
    results = [
        jnp.stack([y.reshape(batch, rows, cols, -1) for y in line], axis=3)
        for line in _both_ways(_results_of_places, products)
    ]
    y = jnp.stack(results, axis=2).reshape(batch, 2 * rows, 2 * cols, -1)
    return y[:, :height, :width]


def kernel_gradient(x: Array, gradient: Array) -> Array:
    """The gradient of `sum(convolve_3x3(x, kernel) * gradient)` with respect to `kernel`.

    Args:
      x: `[batch, height, width, channels]`.
      gradient: `[batch, height, width, features]`.

    Returns:
      `[3, 3, channels, features]`.
    """
    height, width = x.shape[1:3]
    gradient = jnp.pad(gradient, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    results = [[gradient[:, i::2, j::2] for j in range(2)] for i in range(2)]
    over_tiles = (((0,), (0,)), ((), ()))
    products = [
        [lax.dot_general(flat, _flat(y), over_tiles) for flat, y in zip(*rows, strict=True)]
        for rows in zip(_of_maps(x), _both_ways(_places_of_results, results), strict=True)
    ]
    return jnp.stack([jnp.stack(line) for line in _both_ways(_kernel_of_places, products)])


def _of_maps(x: Array) -> Grid:
    """`B' d B` of all tiles: `[tiles, channels]` for each place."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1 + height % 2), (1, 1 + width % 2), (0, 0)))
    rows, cols = (length - 3 for length in padded.shape[1:3])
    places = [[padded[:, i : i + rows : 2, j : j + cols : 2] for j in range(4)] for i in range(4)]
    return [[_flat(place) for place in line] for line in _both_ways(_places_of_map, places)]


def _flat(maps: Array) -> Array:
    return maps.reshape(-1, maps.shape[-1])


def _both_ways(transform: Callable[[Line], Line], grid: Grid | Array) -> Grid:
    """`transform` along the first axis, then along the second."""
    columns = [transform(column) for column in zip(*grid, strict=True)]
    return [transform(row) for row in zip(*columns, strict=True)]


def _places_of_map(d: Line) -> Line:
    """`B' d`."""
    return d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]


def _places_of_kernel(k: Line) -> Line:
    """`G k`."""
    outer = k[0] + k[2]
    return k[0], 0.5 * (outer + k[1]), 0.5 * (outer - k[1]), k[2]


def _results_of_places(m: Line) -> Line:
    """`A' m`."""
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]


def _places_of_results(y: Line) -> Line:
    """`A y`."""
    return y[0], y[0] + y[1], y[0] - y[1], -y[1]


def _kernel_of_places(m: Line) -> Line:
    """`G' m`."""
    inner = 0.5 * (m[1] + m[2])
    return m[0] + inner, 0.5 * (m[1] - m[2]), inner + m[3]
