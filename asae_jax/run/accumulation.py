"""Gradient accumulation: the mean over a batch, computed part by part in the memory of one."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.types import Index

PartFunction = Callable[[Any, Index], tuple[Any, Any]]
"""`(some examples, number of the first of them) -> (means over them, results for each of them)`."""


def mean_over_parts(function: PartFunction, examples: Any, parts: int) -> tuple[Any, Any]:
    """`function` of all examples, computed in equal parts one after the other.

    The means of the parts are averaged: gradients of a mean loss become those of the whole batch. What is
    equal in all parts, such as statistics of frozen layers, stays as it is bit for bit.

    Args:
      function: sees a part of `examples` at a time.
      examples: tree of arrays `[batch, ...]`; scalars in it are the same for all parts.
      parts: how many; a divisor of the batch. 1: `function(examples, 0)` itself.
    """
    if parts == 1:
        return function(examples, 0)
    batch = next(len(leaf) for leaf in jax.tree.leaves(examples) if jnp.ndim(leaf))
    size = batch // parts

    def compute(number: Index) -> tuple[Any, Any]:
        first = number * size
        part = jax.tree.map(
            lambda x: lax.dynamic_slice_in_dim(x, first, size) if jnp.ndim(x) else x, examples
        )
        return function(part, first)

    def add(mean: Any, number: Index) -> tuple[Any, Any]:
        new, each = compute(number)
        return jax.tree.map(lambda m, x: m + (x - m) / (number + 1), mean, new), each

    mean = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(compute, jnp.int32(0))[0])
    mean, each = lax.scan(add, mean, jnp.arange(parts, dtype=jnp.int32))
    return mean, jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), each)
