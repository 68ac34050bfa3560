"""Batch statistics of another laboratory's images (AdaBN), with a guard against another mixture of classes.

Batch normalisation subtracts the training images' mean of each channel and divides by their deviation. In
another stain, light or magnification these are others: they are estimated again on the new images, without
labels (Li et al. 2016, arXiv:1603.04779), and drawn to the old ones where images are few (Schneider et al.
2020, arXiv:2006.16971). Nothing is minimised, so nothing can collapse.

A mean over images depends on how many of them are eosinophils, too. Where the mixture of classes is not the
training's, that part of the difference is taken for one of appearance, and the network becomes worse.
`drawn_rows` can draw images so that the classes that the network sees in them come as in training; the
distance of both mixtures is reported.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asae_jax.config import copy_with
from asae_jax.run import build, parallel
from asae_jax.run.devices import STATISTICS, within_memory
from asae_jax.run.run import Run

MOST_WEIGHT = 5.0
"""No image is drawn more than this many times as often as by chance: predictions are often wrong here."""


def drawn_rows(
    count: int, batch_size: int, *, wanted: np.ndarray | None, predicted: np.ndarray, seed: int
) -> list[np.ndarray]:
    """Rows of images of each batch, int `[batch_size]` each; together they hold every image at least once.

    With `wanted` they are drawn with replacement instead, so that predicted classes come in these shares.

    Args:
      count: number of images, 1 or more.
      batch_size: images of a batch.
      wanted: `[K]`, shares of classes; None: every image counts the same.
      predicted: int `[count]`, most probable class of each.
      seed: of the order.
    """
    rng = np.random.default_rng(seed)
    batches = -(-count // batch_size)
    if wanted is None:
        order = np.resize(rng.permutation(count), batches * batch_size)
    else:
        found = np.bincount(predicted, minlength=len(wanted)) / count
        weights = np.minimum(wanted[predicted] / found[predicted], MOST_WEIGHT)
        weights = weights if weights.sum() else np.ones(count)
        order = rng.choice(count, batches * batch_size, p=weights / weights.sum())
    return np.split(order, batches)


@within_memory(STATISTICS)
def estimated_statistics(
    run: Run, variables: Mapping[str, Any], images: np.ndarray, batches: Sequence[np.ndarray]
) -> Any:
    """Statistics of the images as the network sees them at test, in the tree of `batch_stats`.

    Mean and variance over all batches: the variance of the batches' means is part of the variance. Behind the
    first normalisation a batch is normalised by its own statistics, so they should be large.

    Args:
      run: whose settings make the network; stages that were frozen in training are adapted too.
      variables: `params` and `batch_stats`.
      images: uint8 `[N, stored, stored, 3]`.
      batches: rows of each batch, a multiple of the devices.
    """
    config = copy_with(run.config, {"init.freeze": "", "init.views": 0})
    measure = build.compiled_statistics_step(config, run.num_classes, augmented=False)
    means, squares = None, None
    for number, rows in enumerate(batches):
        found = measure(variables, parallel.split({"image": images[rows]}), jnp.int32(number))
        found = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) / len(batches), found)
        # One batch at a time: virtual CPU devices share the threads in which a collective waits.
        square = _of_variances(found, lambda var, mean: var + mean**2 * len(batches))
        means = found if means is None else jax.tree.map(np.add, means, found)
        squares = square if squares is None else jax.tree.map(np.add, squares, square)
    variances = _of_variances(squares, lambda square, mean: np.maximum(square - mean**2, 0), means)
    return jax.tree_util.tree_map_with_path(
        lambda path, mean, other: other if _is_variance(path) else mean, means, variances
    )


def between(old: Any, new: Any, share: float) -> Any:
    """(1 - share) of the old statistics and `share` of the new, leaf by leaf; `share` 0..1."""
    return jax.tree.map(lambda a, b: jnp.asarray((1 - share) * a + share * b, jnp.float32), old, new)


def share_of_new(images: int, worth: float) -> float:
    """How much the new statistics count, 0..1: images / (images + worth) (Schneider et al. 2020)."""
    return images / (images + worth)


def _of_variances(tree: Any, change: Callable[..., Any], means: Any = None) -> Any:
    """`tree` with `change(variance, mean)` for every variance; means are those of `means` or its own."""
    others = tree if means is None else means

    def changed(path: Sequence[Any], leaf: Any) -> Any:
        if not _is_variance(path):
            return leaf
        beside = others
        for step in path[:-1]:
            beside = beside[step.key]
        return change(leaf, beside["mean"])

    return jax.tree_util.tree_map_with_path(changed, tree)


def _is_variance(path: Sequence[Any]) -> bool:
    return path[-1].key == "var"
