"""Gradient accumulation: the mean over a batch, computed part by part in the memory of one."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.types import Array, ExampleNumbers, Index

PartFunction = Callable[[Any, ExampleNumbers], tuple[Any, Any]]
"""`(some examples, their numbers) -> (means over them, results for each of them)`."""


def mean_over_parts(
    function: PartFunction, examples: Any, parts: int, first: Index = 0, classes: int = 1
) -> tuple[Any, Any]:
    """`function` of all examples, computed in equal parts one after the other.

    The means of the parts are averaged: gradients of a mean loss become those of the whole batch. What is
    equal in all parts, such as statistics of frozen layers, stays as it is bit for bit. See `members` for
    which examples are a part.

    Args:
      function: sees a part of `examples` at a time.
      examples: tree of arrays `[batch, ...]`; scalars in it are the same for all parts.
      parts: how many; a divisor of the batch. 1: `function(examples, first)` itself.
      first: number of the first example within the global batch; a multiple of `parts`.
      classes: see `members`.
    """
    if parts == 1:
        return function(examples, first)
    batch = next(len(leaf) for leaf in jax.tree.leaves(examples) if jnp.ndim(leaf))

    def compute(part: Index) -> tuple[Any, tuple[Any, Any]]:
        places = members(part, batch, parts, first=first, classes=classes)
        taken = jax.tree.map(lambda x: jnp.take(x, places, axis=0) if jnp.ndim(x) else x, examples)
        mean, each = function(taken, first + places)
        return mean, (places, each)

    def add(mean: Any, part: Index) -> tuple[Any, Any]:
        new, each = compute(part)
        return jax.tree.map(lambda m, x: m + (x - m) / (part + 1), mean, new), each

    mean = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(compute, jnp.int32(0))[0])
    mean, (places, each) = lax.scan(add, mean, jnp.arange(parts, dtype=jnp.int32))
    order = jnp.argsort(places.reshape(batch))
    return mean, jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:])[order], each)


def members(part: Index, batch: int, parts: int, *, first: Index = 0, classes: int = 1) -> Array:
    """Which of `batch` examples a part holds: places, int32 `[batch / parts]`, rising.

    Of the global batch a part holds the same examples however many devices share it: in every run of `parts`
    neighbours each part has one, so that shares of whole runs have as many of each. And where element j is
    of class j mod `classes`, as in a balanced batch, parts are as balanced as their size allows: each
    takes every `parts`-th, and where that meets some classes only, others from the next common multiple on.

    Args:
      part: 0 to `parts` - 1.
      batch: examples of this share, a multiple of `parts`.
      parts: how many.
      first: number of the first example within the global batch; a multiple of `parts`.
      classes: of the balanced batch.
    """
    runs = jnp.arange(0, batch, parts, dtype=jnp.int32)
    turns = (first + runs) // math.lcm(parts, classes)
    return runs + (part - turns) % parts
