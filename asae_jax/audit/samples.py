"""Cells that stand for their classes, and what the colour adjustment does to them: for page and figures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asae_jax.input.decode import BadImage
from asae_jax.input.index import DataIndex
from asae_jax.input.preparation import Preparation
from asae_jax.input.sampler import permutation
from asae_jax.types import HostImage

TILE = 112
"""Side of a sample, pixels."""
PER_CLASS = 4
"""Samples of a class."""

SHOWN_CLASSES = 60
"""Classes with samples, the largest: a picture of a thousand took 6.5 GB of memory, and has 84 MB."""

_PAIRS = 8
"""Most samples shown before and after."""


class Samples(NamedTuple):
    """Some cells of each class, and pairs before and after; images are uint8 RGB `[TILE, TILE, 3]`."""

    class_names: tuple[str, ...]
    """Of the classes shown, `SHOWN_CLASSES` at most."""
    of_class: list[list[HostImage]]
    """Up to `PER_CLASS` images of each class, as they are."""
    pairs: list[tuple[HostImage, HostImage]]
    """The first image of some classes, before and after."""
    adjustment: str
    """What lies between before and after."""
    choice: str = ""
    """Which of the classes are shown, in a sentence; empty: all."""


def choose_samples(
    table: DataIndex, readable: np.ndarray, preparation: Preparation, order: Sequence[int]
) -> Samples:
    """Draws the samples at random, the same for the same table.

    Args:
      table: the examples.
      readable: bool `[N]`.
      preparation: its colour adjustment is shown; where it has none, the paper's.
      order: of the classes.
    """
    shown = _largest(np.bincount(table.labels[readable], minlength=table.num_classes), order)
    chosen = [_members(table, readable, label) for label in shown]
    firsts = [int(rows[0]) for rows in chosen if len(rows)]
    picked = [firsts[i] for i in np.linspace(0, len(firsts) - 1, min(len(firsts), _PAIRS)).astype(int)]
    adjusted, adjustment = _adjustment(preparation)
    as_is = Preparation(TILE, hue="none")
    return Samples(
        tuple(table.class_names[label] for label in shown),
        [[_read(table, int(row), as_is) for row in rows] for rows in chosen],
        [(_read(table, row, as_is), _read(table, row, adjusted)) for row in picked],
        adjustment,
        f"The {len(shown)} largest of {len(order):,} classes." if len(shown) < len(order) else "",
    )


def _largest(counts: np.ndarray, order: Sequence[int]) -> list[int]:
    """Those classes of `order` that are shown, in its order."""
    places = np.argsort(-counts[list(order)], kind="stable")[:SHOWN_CLASSES]
    return [order[place] for place in sorted(places)]


def _members(table: DataIndex, readable: np.ndarray, label: int) -> np.ndarray:
    members = np.flatnonzero(readable & (table.labels == label))
    return members[permutation(len(members), 0, "audit-figures", label)[:PER_CLASS]]


def _adjustment(preparation: Preparation) -> tuple[Preparation, str]:
    """The adjustment at the size of the samples, and its name."""
    p = preparation
    if p.stain != "none":
        return Preparation(TILE, hue="none", stain=p.stain), f"stain normalisation ({p.stain})"
    mode = "paper" if p.hue == "none" else p.hue
    note = ", which is switched off here" if p.hue == "none" else ""
    adjusted = Preparation(TILE, hue=mode, hue_low=p.hue_low, hue_high=p.hue_high)
    return adjusted, f"the hue adjustment ({mode}, {p.hue_low} to {p.hue_high}{note})"


def _read(table: DataIndex, row: int, preparation: Preparation) -> HostImage:
    try:
        return preparation(table.read(row))
    except BadImage:  # the scan could read it; a picture is not worth stopping for
        return np.full((TILE, TILE, 3), 255, np.uint8)
