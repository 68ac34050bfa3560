"""Images that are there more than once: with the same pixels, or turned, mirrored, re-encoded, rescaled."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from asae_jax.audit.candidates import best_correlation, similar_pairs
from asae_jax.audit.facts import Facts, grey_square
from asae_jax.input.table import Table
from asae_jax.input.workers import bounded, default_workers, thread_pool

FLAT = 3.0
"""Standard deviation of a thumbnail, levels of 255, below which an image shows nothing to compare."""
CONFIRMED = 0.95
"""Correlation at 64 x 64 pixels, read anew, at which two similar images count as the same."""

_CONFIRM_SIDE = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Rows of the table that show the same image.

    Attributes:
      rows: int64 `[n]`, ascending.
      exact: whether all have the same pixels.
      similarity: lowest correlation that joins them, 1 where exact.
      across_split: whether they are in more than one part of the split.
      labels_differ: whether they have more than one label.
    """

    rows: np.ndarray
    exact: bool
    similarity: float
    across_split: bool
    labels_differ: bool


def find_duplicates(
    table: Table, facts: Facts, splits: np.ndarray, *, workers: int | None = None
) -> list[Group]:
    """All groups of duplicates: first those across the split, then those under different labels.

    Args:
      table: the examples; similar ones are read again to be sure.
      facts: of all examples.
      splits: str `[N]`.
      workers: threads; by default one per processor.
    """
    readable = np.flatnonzero(facts.readable)
    _, first, same = np.unique(facts.digest[readable], axis=0, return_index=True, return_inverse=True)
    representative = readable[first]
    clear = representative[facts.contrast[representative] >= FLAT]
    pairs, correlation = similar_pairs(facts.thumbnail[clear])
    edges, similarity = _confirmed(table, clear[pairs], correlation, workers or default_workers())
    original = np.arange(len(table))
    original[readable] = representative[same]
    root = _components(len(table), edges)[original]
    lowest = np.ones(len(table))
    np.minimum.at(lowest, root[edges[:, 0]], similarity)
    groups = [_group(rows, table, facts, splits, lowest) for rows in _shared(root, readable)]
    return sorted(groups, key=lambda g: (-g.across_split - g.labels_differ, -g.across_split, -len(g.rows)))


def _group(rows: np.ndarray, table: Table, facts: Facts, splits: np.ndarray, lowest: np.ndarray) -> Group:
    return Group(
        rows=rows,
        exact=len(np.unique(facts.digest[rows], axis=0)) == 1,
        similarity=float(lowest[rows].min()),
        across_split=len(np.unique(splits[rows])) > 1,
        labels_differ=len(np.unique(table.labels[rows])) > 1,
    )


def _shared(root: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """The `rows` that share a root with another, by root."""
    order = rows[np.argsort(root[rows], kind="stable")]
    parts = np.split(order, np.flatnonzero(np.diff(root[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _confirmed(
    table: Table, pairs: np.ndarray, correlation: np.ndarray, workers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that join all images found to be the same, int64 `[n, 2]`, and their correlation.

    Of many versions of one image only as many pairs are read again as it takes to join them: the most
    similar first, another where one turns out to be different.
    """
    alive = np.ones(len(pairs), bool)
    measured = np.full(len(pairs), np.nan)
    while True:
        forest = np.flatnonzero(alive)[_spanning(len(table), pairs[alive])]
        unknown = forest[np.isnan(measured[forest])]
        if not len(unknown):
            return pairs[forest], np.minimum(measured[forest], correlation[forest])
        measured[unknown] = _compare(table, pairs[unknown], workers)
        alive[unknown] = measured[unknown] >= CONFIRMED


def _compare(table: Table, pairs: np.ndarray, workers: int) -> np.ndarray:
    """Correlation of the images of each pair at 64 x 64 pixels, float64 `[n]`."""

    def one(pair: np.ndarray) -> float:
        left, right = (grey_square(table.read(int(row)), _CONFIRM_SIDE)[None] for row in pair)
        return float(best_correlation(left, right)[0])

    with thread_pool(workers) as pool:
        return np.array(
            [task.result() for task in bounded(lambda p: pool.submit(one, p), pairs, 8 * workers)]
        )


def _spanning(count: int, pairs: np.ndarray) -> list[int]:
    """Positions of the first pairs that each join two parts not yet joined (Kruskal)."""
    parent = list(range(count))
    return [position for position, pair in enumerate(pairs.tolist()) if _join(parent, *pair)]


def _components(count: int, edges: Iterable) -> np.ndarray:
    """int64 `[count]`: the lowest row of the part that each row belongs to."""
    parent = list(range(count))
    for left, right in np.asarray(edges).tolist():
        _join(parent, left, right)
    return np.array([_find(parent, row) for row in range(count)], np.int64)


def _join(parent: list[int], left: int, right: int) -> bool:
    left, right = _find(parent, left), _find(parent, right)
    parent[max(left, right)] = min(left, right)
    return left != right


def _find(parent: list[int], row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row
