"""Sharing out whole groups (slides, patients), so that none is on both sides of a split.

No choice of groups gives every class its exact share, and finding the best is a hard problem. This is
greedy: groups are dealt out large ones first, each to the part where it brings the shares of the classes
nearest to what they should be; then each is taken up and dealt again until none moves. The measure
is chi-square over the classes and the whole, each class counting as much as any other:

    sum over parts p and classes c of (share of c that is in p - intended share of p)^2 / intended share of p
"""

from collections.abc import Sequence

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.shuffle import permutation

_ROUNDS = 8  # of dealing again; it settles after two to four


def take(
    labels: np.ndarray, groups: np.ndarray, fraction: float, *, every_class: bool, seed: int, stream: str
) -> np.ndarray:
    """Takes about `fraction` of each class, in whole groups.

    Every class keeps a group that is not taken.

    Args:
      labels: int `[N]`.
      groups: `[N]`, the group of each.
      fraction: 0 <= fraction < 1.
      every_class: whether to take at least one group of each class, where the rule above allows it.
      seed: of the draw.
      stream: what it is for; separates draws of one seed.

    Returns:
      bool `[N]`: what is taken.
    """
    counts, group_of = _counts(labels, groups)
    if not fraction or len(counts) < 2:
        return np.zeros(len(labels), bool)
    taken = _dealt(counts, [1 - fraction, fraction], seed, stream) == 1
    _give_back(counts, taken)
    if every_class:
        _reach_every_class(counts, taken)
    return taken[group_of]


def fold(labels: np.ndarray, groups: np.ndarray, folds: int, number: int, *, seed: int) -> np.ndarray:
    """bool `[N]`: the examples of part `number` of `folds` parts of whole groups.

    The parts are disjoint. They hold every group, but for those which hold the only image group of a class.

    Raises:
      UserError: fewer groups than folds.
    """
    counts, group_of = _counts(labels, groups)
    if len(counts) < folds:
        raise UserError(
            f"{len(counts)} groups cannot make {folds} folds: choose fewer (--config.data.folds=), or "
            "split by image (--config.data.split_by=image)"
        )
    taken = _dealt(counts, [1 / folds] * folds, seed, "folds") == number
    _give_back(counts, taken)
    return taken[group_of]


def _counts(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images int64 `[groups, classes]`, and the group's number of each example."""
    names, group_of = np.unique(groups, return_inverse=True)
    classes, class_of = np.unique(labels, return_inverse=True)
    cells = np.bincount(group_of * len(classes) + class_of, minlength=len(names) * len(classes))
    return cells.reshape(len(names), len(classes)), group_of


def _dealt(counts: np.ndarray, shares: Sequence[float], seed: int, stream: str) -> np.ndarray:
    """The part of each group, int64 `[groups]`, so that part `p` has about `shares[p]` of each class."""
    amounts = np.column_stack([counts / counts.sum(0), counts.sum(1) / counts.sum()])
    intended = np.array(shares)[:, None]
    excess = np.repeat(-intended, amounts.shape[1], axis=1)  # share of each class in each part - intended
    weights = intended.min() / intended  # 1 / intended but for a factor: the smallest share may be tiny
    parts = np.full(len(counts), -1)
    order = _large_first(amounts, seed, stream)
    for _ in range(_ROUNDS):
        before = parts.copy()
        for group in order:
            amount = amounts[group]
            if parts[group] >= 0:
                excess[parts[group]] -= amount
            growth = ((2 * excess + amount) * amount * weights).sum(1)  # of the chi-square, by part
            parts[group] = growth.argmin()
            excess[parts[group]] += amount
        if (parts == before).all():
            break
    return parts


def _large_first(amounts: np.ndarray, seed: int, stream: str) -> np.ndarray:
    """Groups by size, at random among those within a factor of two: so that a seed means something."""
    size = np.floor(np.log2((amounts**2).sum(1)) / 2)
    random = permutation(len(amounts), seed, stream)
    return random[np.argsort(-size[random], kind="stable")]


def _give_back(counts: np.ndarray, taken: np.ndarray) -> None:
    """Returns the smallest group of each class of which all are taken."""
    for column in range(counts.shape[1]):
        holders = np.flatnonzero(counts[:, column])
        if taken[holders].all():
            taken[holders[counts[holders].sum(1).argmin()]] = False


def _reach_every_class(counts: np.ndarray, taken: np.ndarray) -> None:
    """Takes the smallest group of each class of which none is, unless a class would lose its last."""
    for column in range(counts.shape[1]):
        holders = np.flatnonzero(counts[:, column])
        if taken[holders].any():
            continue
        left = counts[~taken].sum(0)
        spared = [group for group in holders if (left - counts[group] > 0)[counts[group] > 0].all()]
        if spared:
            taken[min(spared, key=lambda group: counts[group].sum())] = True
