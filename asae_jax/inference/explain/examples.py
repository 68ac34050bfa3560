"""The images to explain: the run's own or given ones, and which of them are chosen."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.inference.inputs import read_input
from asae_jax.inference.labels import input_groups, input_labels
from asae_jax.inference.output_files import Source
from asae_jax.inference.reading import read_batches
from asae_jax.run.data import Data
from asae_jax.run.run import Run

UNKNOWN = -1
"""The label of an image whose true class is not known."""


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Some of the images, prepared.

    Attributes:
      rows: int `[n]`, which images.
      images: uint8 `[batch, stored, stored, 3]`, black from `n` on.
      errors: why an image could not be read, or empty, for each of the `n`.
    """

    rows: np.ndarray
    images: np.ndarray
    errors: Sequence[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Images with names and, where known, classes.

    Attributes:
      names: as the user knows each image.
      labels: int32 `[N]`, true classes or `UNKNOWN`.
      groups: str `[N]`, slide or patient, or None.
      source: what they are, to be told from others.
      batches: (rows, batch size) -> the images of these rows, in this order, in batches of one shape.
    """

    names: Sequence[str]
    labels: np.ndarray
    groups: np.ndarray | None
    source: Source
    batches: Callable[[np.ndarray, int], Iterator[Batch]]


def own_examples(run: Run) -> Examples:
    """The part `eval.split` of the run's own data.

    Raises:
      UserError: the data are not those of the run, or that part is empty.
    """
    data, split = run.data, run.config.eval.split
    indices = data.indices(split)
    if not len(indices):
        raise UserError(
            f"the {split} part of {run.workdir} is empty: choose another --config.eval.split, or "
            "give images by --input=DIR."
        )
    groups = None if data.index.groups is None else data.index.groups[indices]
    names = [str(name) for name in data.index.names[indices]]
    source = Source(f"the {split} part of the run's own data")
    return Examples(names, data.labels(indices), groups, source, _own_batches(run.config, data, indices))


def given_examples(run: Run) -> Examples:
    """The images of `explain.input`; see `inputs.read_input` for what it may be.

    The true class is the column `label` of a CSV file, or the subfolder of a given folder where these are
    classes (`inputs.class_folders`).

    Raises:
      UserError: no images, or a label that the run does not know.
    """
    config, text = run.config, run.config.explain.input
    items = read_input(text)
    named = input_labels(text, items, run.class_names)
    labels = _numbers(text, named, run.class_names)
    groups = np.array(input_groups(text, items, named))

    def batches(rows: np.ndarray, batch_size: int) -> Iterator[Batch]:
        chosen = [items[row] for row in rows]
        workers = config.data.workers or None
        first = 0
        for read in read_batches(chosen, [run.preparation], batch_size, thumbnails=False, workers=workers):
            yield Batch(rows[first : first + len(read.items)], read.images[0], read.errors)
            first += len(read.items)

    return Examples(
        [item.path for item in items],
        labels,
        groups if groups.astype(bool).all() else None,
        Source.of(text, [item.file for item in items]),
        batches,
    )


def spread_over_classes(rows: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """`count` of `rows`, spread evenly over the classes and evenly spaced within each; sorted.

    Args:
      rows: int `[n]`.
      labels: int `[n]`, class of each row.
      count: at most so many are chosen.
    """
    classes, available = np.unique(labels, return_counts=True)
    quotas = np.zeros_like(available)
    while quotas.sum() < min(count, len(rows)):
        unspent = np.flatnonzero(quotas < available)
        quotas[unspent[: count - quotas.sum()]] += 1
    parts = [evenly_spaced(rows[labels == c], quota) for c, quota in zip(classes, quotas, strict=True)]
    return np.sort(np.concatenate(parts))


def evenly_spaced(rows: np.ndarray, count: int) -> np.ndarray:
    """The middle rows of `count` equal stretches of `rows`; all rows where there are no more than `count`."""
    count = min(count, len(rows))
    return rows[((np.arange(count) + 0.5) * len(rows) / max(count, 1)).astype(int)]


def _own_batches(
    config: ConfigDict, data: Data, indices: np.ndarray
) -> Callable[[np.ndarray, int], Iterator[Batch]]:
    def batches(rows: np.ndarray, batch_size: int) -> Iterator[Batch]:
        first = 0
        for batch in data.batches(config, indices[rows], batch_size):
            count = int(batch["mask"].sum())
            yield Batch(rows[first : first + count], batch["image"], [""] * count)
            first += count

    return batches


def _numbers(text: str, labels: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    unknown = sorted(set(labels) - {*class_names, ""})
    if unknown:
        raise UserError(
            f"{text}: the run does not know class {', '.join(unknown)}; its classes are "
            f"{', '.join(class_names)}; leave the label empty where the true class is none of them."
        )
    numbers = {name: number for number, name in enumerate(class_names)}
    return np.array([numbers.get(label, UNKNOWN) for label in labels], np.int32)
