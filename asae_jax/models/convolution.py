"""Convolution in the way that is fastest where it runs; all ways agree to rounding.

XLA's own convolution serves accelerators, that of images over blocks of 2 x 2 pixels (`_in_blocks`). On CPUs
its forward pass is good and its gradients are not: on one core the kernel's takes up to 4.5 times as long as
that of oneDNN, which PyTorch uses. So on CPUs

- where gradients are asked for, 3 x 3 kernels of many channels take Winograd's algorithm (`_winograd_pays`);
- the kernel's gradient of others is summed over parts of the batch whose maps fit the cache
  (`_kernel_gradient`);
- where the kernel is larger than the map, the map's gradient does not move the kernel (`_map_gradient`);
- a 1 x 1 convolution is a matrix product, and so are its gradients (`_product`);
- a depthwise convolution is a sum of shifted maps (`depthwise`).

What is computed elsewhere later, as an exported network, is traced inside `as_on_accelerators`.

Figures are in docs/speed_notes.md.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.models import depthwise, winograd
from asae_jax.models.depthwise import Zeros
from asae_jax.types import Array, Features, NextFeatures, at_least_float32

_PART_BYTES = 2**20
"""Of the larger one of a part's maps: half of a usual core's second-level cache."""
_FEW_PARTS = 3
"""Up to here the whole batch is as fast."""
_MOST_PARTS = 16
"""Each part takes XLA about 0.05 s to compile."""
_WINOGRAD_CHANNELS = 256
"""With half as many the additions around the products take what is saved, unless all fits the cache."""
_CACHED = 2**20
"""Values of a map up to which it does."""
_WINOGRAD_POSITIONS = 512
"""Of all maps together: below, the sums over the kernel take what is saved."""

_FEW_CHANNELS = 4
"""Of images."""

_ELSEWHERE = contextvars.ContextVar("computed elsewhere", default=False)


@contextlib.contextmanager
def as_on_accelerators() -> Iterator[None]:
    """Inside, convolutions are traced as XLA's own, those of images too: other runtimes have fast ones."""
    token = _ELSEWHERE.set(True)
    try:
        yield
    finally:
        _ELSEWHERE.reset(token)


def convolve(x: Features, kernel: Array, *, strides: int, zeros: Zeros, groups: int = 1) -> NextFeatures:
    """Cross-correlation of the last three axes, as in `torch.nn.functional.conv2d`.

    Args:
      x: `[..., height, width, channels]`.
      kernel: `[size, size, channels / groups, features]`, of the dtype of `x`.
      strides: in both directions.
      zeros: padding.
      groups: parts of the channels that are convolved apart.

    Returns:
      `[..., height', width', features]`, of the same dtype.
    """
    on_cpu = jax.default_backend() == "cpu" and not _ELSEWHERE.get()
    if kernel.shape[0] == 1 and zeros == ((0, 0), (0, 0)) and groups == 1:
        x = x[..., ::strides, ::strides, :]
        return _product(x, kernel[0, 0]) if on_cpu else _plain_product(x, kernel[0, 0])
    if groups == x.shape[-1] == kernel.shape[-1] and on_cpu:
        return depthwise.depthwise(x, kernel, strides, zeros)
    images = x.reshape(-1, *x.shape[-3:])
    if groups == 1 and on_cpu:
        y = _in_parts(images, kernel, strides, zeros)
    elif strides == 2 and groups == 1 and x.shape[-1] <= _FEW_CHANNELS and not _ELSEWHERE.get():
        y = _in_blocks(images, kernel, zeros)
    else:
        y = _plain(images, kernel, strides, zeros, groups)
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def _plain(x: Array, kernel: Array, strides: int, zeros: Zeros, groups: int = 1) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=zeros,
        feature_group_count=groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _in_blocks(x: Array, kernel: Array, zeros: Zeros) -> Array:
    """`_plain` at stride 2 as a convolution of stride 1 over blocks of 2 x 2 places.

    Three channels leave the matrix units of an accelerator idle, twelve less so.
    """
    size, _, channels, features = kernel.shape
    side = math.ceil(size / 2)
    edges = []
    for length, (before, behind) in zip(x.shape[1:3], zeros, strict=True):
        windows = (length + before + behind - size) // 2 + 1
        # As much as windows of whole blocks read, which may be less than there is.
        edges.append((before, 2 * (windows + side - 1) - length - before, 0))
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    height, width = (length // 2 for length in x.shape[1:3])
    x = x.reshape(-1, height, 2, width, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    kernel = jnp.pad(kernel, [(0, 2 * side - size)] * 2 + [(0, 0)] * 2)
    kernel = kernel.reshape(side, 2, side, 2, channels, features).transpose(0, 2, 1, 3, 4, 5)
    return _plain(
        x.reshape(-1, height, width, 4 * channels),
        kernel.reshape(side, side, 4 * channels, features),
        1,
        ((0, 0), (0, 0)),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _in_parts(x: Array, kernel: Array, strides: int, zeros: Zeros) -> Array:
    """`_plain` with gradients for CPUs: `[batch, height, width, channels]`."""
    return _plain(x, kernel, strides, zeros)


def _in_parts_forward(
    x: Array, kernel: Array, strides: int, zeros: Zeros
) -> tuple[Array, tuple[Array, Array]]:
    if _winograd_pays(x, kernel, strides, zeros):
        return winograd.convolve_3x3(x, kernel), (x, kernel)
    return _plain(x, kernel, strides, zeros), (x, kernel)


def _in_parts_backward(
    strides: int, zeros: Zeros, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    if _winograd_pays(x, kernel, strides, zeros):
        return winograd.map_gradient(kernel, gradient), winograd.kernel_gradient(x, gradient)
    return (
        _map_gradient(x, kernel, gradient, strides, zeros),
        _kernel_gradient(x, kernel, gradient, strides, zeros),
    )


_in_parts.defvjp(_in_parts_forward, _in_parts_backward)


def _winograd_pays(x: Array, kernel: Array, strides: int, zeros: Zeros) -> bool:
    """In training: it takes XLA a second to compile, for a layer, which a prediction would not earn back."""
    size, _, channels, features = kernel.shape
    return (
        (size, strides, zeros) == (3, 1, ((1, 1), (1, 1)))
        and min(channels, features) >= (_WINOGRAD_CHANNELS // 2 if x.size <= _CACHED else _WINOGRAD_CHANNELS)
        and x.size >= _WINOGRAD_POSITIONS * channels
        and kernel.dtype.itemsize >= 4  # the sums in front of the products need the digits
    )


def _map_gradient(x: Array, kernel: Array, gradient: Array, strides: int, zeros: Zeros) -> Array:
    """The gradient with respect to `x`.

    XLA's convolution needs the kernel turned and transposed, a slow copy; a matrix product takes it as it is,
    and what it gives, one map for every place of the kernel, is added up.
    """
    if kernel.size <= x.size:
        (result,) = jax.linear_transpose(lambda x: _plain(x, kernel, strides, zeros), x)(gradient)
        return result
    size, _, channels, features = kernel.shape
    maps = gradient.reshape(-1, features) @ kernel.reshape(-1, features).T
    maps = maps.reshape(*gradient.shape[:3], size * size, channels)
    (result,) = jax.linear_transpose(lambda x: _seen_from(x, size, strides, zeros), x)(maps)
    return result


def _seen_from(x: Array, size: int, strides: int, zeros: Zeros) -> Array:
    """What each place of the kernel meets: `[batch, height', width', size * size, channels]`."""
    padded = jnp.pad(x, ((0, 0), *zeros, (0, 0)))
    rows, cols = (length - size + 1 for length in padded.shape[1:3])
    places = [(i, j) for i in range(size) for j in range(size)]
    return jnp.stack([padded[:, i : i + rows : strides, j : j + cols : strides] for i, j in places], axis=3)


def _kernel_gradient(x: Array, kernel: Array, gradient: Array, strides: int, zeros: Zeros) -> Array:
    """The gradient with respect to `kernel`.

    XLA reads the map once for every place of the kernel, so it has to stay in the cache: 33 maps of
    32 x 32 x 64 took 90 ms at once, and 25 ms in parts of four.
    """
    batch, count = len(x), math.ceil(max(x.nbytes, gradient.nbytes) / _PART_BYTES)
    in_part = math.ceil(batch / min(count, _MOST_PARTS)) if count > _FEW_PARTS else batch

    def of_part(first: int) -> Array:
        part = slice(first, first + in_part)
        convolved = functools.partial(_plain, x[part], strides=strides, zeros=zeros)
        (result,) = jax.linear_transpose(convolved, kernel)(gradient[part])
        return at_least_float32(result)  # bfloat16 would lose what the later parts add

    parts = [of_part(first) for first in range(0, batch, in_part)]
    return sum(parts[1:], parts[0]).astype(kernel.dtype)


def _plain_product(x: Features, matrix: Array) -> NextFeatures:
    return lax.dot_general(x, matrix, (((x.ndim - 1,), (0,)), ((), ())))


@jax.custom_vjp
def _product(x: Features, matrix: Array) -> NextFeatures:
    """`x @ matrix` over the last axis, with gradients for CPUs."""
    return _plain_product(x, matrix)


def _product_forward(x: Features, matrix: Array) -> tuple[NextFeatures, tuple[Features, Array]]:
    return _plain_product(x, matrix), (x, matrix)


def _product_backward(saved: tuple[Features, Array], gradient: NextFeatures) -> tuple[Features, Array]:
    """Sums over positions are fastest with flat operands, the narrower one first."""
    x, matrix = saved
    (of_x,) = jax.linear_transpose(lambda x: _plain_product(x, matrix), x)(gradient)
    flat, flat_gradient = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    over_rows = (((0,), (0,)), ((), ()))
    if gradient.shape[-1] < x.shape[-1] < len(flat):
        # Without the barrier XLA would swap the operands back.
        swapped = lax.optimization_barrier(lax.dot_general(flat_gradient, flat, over_rows))
        return of_x, swapped.T
    return of_x, lax.dot_general(flat, flat_gradient, over_rows)


_product.defvjp(_product_forward, _product_backward)
