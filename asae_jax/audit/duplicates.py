"""Images that are there more than once: with the same pixels, or turned, mirrored, re-encoded, rescaled.

Exact duplicates have the same digest. For the others, pairs of similar images are looked up by perceptual
hashes of grey thumbnails, without comparing all pairs, and confirmed on the images themselves.

A hash holds the signs of the 63 lowest cosine coefficients of the thumbnail (without the mean), a variant of
pHash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010). Mirroring an image
changes the sign of its odd coefficients, transposing the image transposes them, so the hashes of all turned
and mirrored versions follow from the thumbnail alone.

Pairs are found by multi-index hashing (Norouzi et al., "Fast search in Hamming space with multi-index
hashing", 2012): the 63 bits are cut into seven blocks. Hashes that differ in at most five bits agree in two
whole blocks, so looking up each of the 21 pairs of blocks in a table of 2^18 entries finds all of them, as
long as no entry has more than `MAX_BUCKET` members: of one that has, the first are looked at.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import scipy.fft
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from asae_jax.audit.scan import Facts
from asae_jax.input.implausible_images import FLAT, grey_square
from asae_jax.input.index import DataIndex
from asae_jax.input.workers import bounded, default_workers, thread_pool

CONFIRMED = 0.95
"""Correlation at 64 x 64 pixels, from the images read again, at which two similar ones count as the same."""
MAX_DISTANCE = 10
"""Bits. Pairs further apart are not looked at; of 3.7 million pairs of different real cells 56 are nearer,
while re-encoded and rescaled real cells differ by at most three."""
MIN_CORRELATION = 0.98
"""Of the thumbnails. Different real cells reach 0.966, re-encoded and rescaled ones stay above 0.999."""
MAX_BUCKET = 256
"""Partners looked at per hash table: a thousand versions of one image are still chained together."""
BITS = 63
SYMMETRIES = 8
"""The identity first: four turns by 90 degrees, each with and without a mirror."""

_CONFIRM_SIDE = 64
_LOW = 8  # coefficients per direction
_TRANSFORM_CHUNK = 1024  # thumbnails transformed at a time
_BLOCKS = 7
_BLOCK_BITS = BITS // _BLOCKS
_ENTRIES = 1 << 2 * _BLOCK_BITS
_COMPARE_CHUNK = 1 << 17  # pairs of hashes compared at a time: what fits into a processor's cache


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Rows of the data set that show the same image.

    Attributes:
      rows: int64 `[n]`, ascending.
      exact: whether all have the same pixels.
      similarity: lowest correlation of the pairs that join them, up to 1; 1 where exact.
      across_split: whether they are in more than one part of the split.
      labels_differ: whether they have more than one label.
    """

    rows: np.ndarray
    exact: bool
    similarity: float
    across_split: bool
    labels_differ: bool


def find_duplicates(
    table: DataIndex, facts: Facts, splits: np.ndarray, *, workers: int | None = None
) -> list[Group]:
    """The groups of duplicates: first those across the split, then those under different labels.

    Args:
      table: the examples, of which similar ones are read again to confirm.
      facts: of the same examples.
      splits: str `[N]`, the part of the split of each example.
      workers: threads; by default one per processor.
    """
    readable = np.flatnonzero(facts.readable)
    _, first, same = np.unique(facts.digest[readable], return_index=True, return_inverse=True)
    representative = readable[first]
    clear = np.sort(representative[facts.contrast[representative] >= FLAT])  # by place, not by digest
    pairs, correlation = similar_pairs(facts.thumbnail, clear)
    edges, similarity = _confirmed(table, pairs, correlation, workers or default_workers())
    original = np.arange(len(table))
    original[readable] = representative[same]
    root = _components(len(table), edges)[original]
    lowest = np.ones(len(table))
    np.minimum.at(lowest, root[edges[:, 0]], similarity)
    groups = [_group(rows, table, facts, splits, lowest) for rows in _shared(root, readable)]
    return sorted(groups, key=lambda g: (-g.across_split - g.labels_differ, -g.across_split, -len(g.rows)))


def _group(rows: np.ndarray, table: DataIndex, facts: Facts, splits: np.ndarray, lowest: np.ndarray) -> Group:
    return Group(
        rows=rows,
        exact=len(np.unique(facts.digest[rows])) == 1,
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
    table: DataIndex, pairs: np.ndarray, correlation: np.ndarray, workers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that join all images found to be the same, int64 `[n, 2]`, and their correlation.

    Of many versions of one image only as many pairs are read again as it takes to join them: the most
    similar first, others where a pair turns out to be different.
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


def _compare(table: DataIndex, pairs: np.ndarray, workers: int) -> np.ndarray:
    """Correlation of the images of each pair at 64 x 64 pixels, float64 `[n]`."""

    def one(pair: np.ndarray) -> float:
        left, right = (grey_square(table.read(int(row)), _CONFIRM_SIDE)[None] for row in pair)
        return float(best_correlation(left, right)[0])

    with thread_pool(workers) as pool:
        return np.array(
            [task.result() for task in bounded(lambda p: pool.submit(one, p), pairs, 8 * workers)]
        )


def _spanning(count: int, pairs: np.ndarray) -> np.ndarray:
    """Positions of the pairs that each join two parts not joined by the pairs before them (Kruskal)."""
    positions = np.arange(1, len(pairs) + 1)  # the weights; 0 would be no edge
    tree = minimum_spanning_tree(_graph(count, pairs, positions))
    return np.sort(tree.data.astype(np.int64)) - 1


def _components(count: int, edges: np.ndarray) -> np.ndarray:
    """int64 `[count]`: the lowest row of the component that each row belongs to."""
    _, component = connected_components(_graph(count, edges, np.ones(len(edges))), directed=False)
    _, lowest = np.unique(component, return_index=True)
    return lowest[component]


def _graph(count: int, edges: np.ndarray, weights: np.ndarray) -> csr_array:
    return csr_array((weights, (edges[:, 0], edges[:, 1])), shape=(count, count))


def similar_pairs(thumbnails: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of thumbnails that are alike in one of the eight orientations.

    Args:
      thumbnails: uint8 `[N, 16, 16]`.
      rows: int64 `[n]`, ascending: those compared, none of them uniform; None: all.

    Returns:
      int64 `[pairs, 2]` of rows, the lower number first, and the correlation of each, float32 `[pairs]`,
      highest first.
    """
    rows = np.arange(len(thumbnails)) if rows is None else rows
    hashes = perceptual_hashes(thumbnails, rows)
    numbers = np.zeros(0, np.int64)  # a pair as one number: lower place times n plus higher place
    for blocks in itertools.combinations(range(_BLOCKS), 2):
        numbers = np.unique(np.concatenate([numbers, *_pairs_of_one_table(hashes, blocks)]))
    pairs = rows[np.stack(np.divmod(numbers, max(len(rows), 1)), axis=1)]
    correlation = _correlations(thumbnails, pairs)
    kept = np.flatnonzero(correlation >= MIN_CORRELATION)
    kept = kept[np.argsort(-correlation[kept], kind="stable")]
    return pairs[kept], correlation[kept]


def best_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Highest Pearson correlation over the eight orientations: `[n, side, side]` twice -> float32 `[n]`."""
    views = (_standardised(view) for view in symmetries(second))
    standard = _standardised(first)
    return np.max([np.einsum("np,np->n", standard, view) for view in views], axis=0)


def _pairs_of_one_table(hashes: np.ndarray, blocks: tuple[int, int]) -> Iterator[np.ndarray]:
    """Pairs within `MAX_DISTANCE`, as numbers, whose hashes (one of them turned) agree in two blocks."""
    own = _keys(hashes[0], blocks)
    members = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[members], np.arange(_ENTRIES + 1))
    for turned in hashes:
        keys = _keys(turned, blocks)
        first, count = starts[keys], np.minimum(starts[keys + 1] - starts[keys], MAX_BUCKET)
        for rows in _portions(count):
            left = np.repeat(rows, count[rows])
            place = np.arange(len(left)) - np.repeat(np.cumsum(count[rows]) - count[rows], count[rows])
            right = members[first[left] + place]
            near = (left != right) & (np.bitwise_count(turned[left] ^ hashes[0][right]) <= MAX_DISTANCE)
            low, high = np.minimum(left[near], right[near]), np.maximum(left[near], right[near])
            yield np.unique(low * hashes.shape[1] + high)


def _keys(hashes: np.ndarray, blocks: tuple[int, int]) -> np.ndarray:
    """int64: the bits of two blocks as one number."""
    mask = np.uint64((1 << _BLOCK_BITS) - 1)
    high, low = ((hashes >> np.uint64(block * _BLOCK_BITS)) & mask for block in blocks)
    return (high << np.uint64(_BLOCK_BITS) | low).astype(np.int64)


def _portions(count: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive rows whose counts sum to about `_COMPARE_CHUNK`."""
    ends = np.cumsum(count)
    cuts = np.searchsorted(ends, np.arange(_COMPARE_CHUNK, ends[-1] if len(ends) else 0, _COMPARE_CHUNK))
    return (rows for rows in np.split(np.arange(len(count)), cuts) if len(rows))


def _correlations(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    chunks = [pairs[start : start + 4096] for start in range(0, len(pairs), 4096)]
    parts = [best_correlation(thumbnails[chunk[:, 0]], thumbnails[chunk[:, 1]]) for chunk in chunks]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def _standardised(images: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1, float32 `[n, pixels]`; a uniform image becomes zeros."""
    rows = images.reshape(len(images), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def symmetries(images: np.ndarray) -> list[np.ndarray]:
    """The eight turned and mirrored views of square images `[..., side, side]`."""
    views = []
    for turns in range(4):
        turned = np.rot90(images, turns, axes=(-2, -1))
        views += [turned, turned.swapaxes(-2, -1)]
    return views


def perceptual_hashes(thumbnails: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """uint64 `[8, n]`: for each symmetry the hashes of the `rows` (all) of uint8 thumbnails `[N, 16, 16]`.

    The mean of each coefficient over the set is subtracted first, averaged over the symmetries so that these
    still only permute and flip bits. All cells are dark in the middle: without this, some bits are the same
    for 99 of 100 real cells and carry no information.
    """
    rows = np.arange(len(thumbnails)) if rows is None else rows
    starts = range(0, len(rows), _TRANSFORM_CHUNK)
    total = np.zeros((_LOW, _LOW))
    for start in starts:
        total += low_frequencies(thumbnails[rows[start : start + _TRANSFORM_CHUNK]]).sum(axis=0)
    mean = _symmetric(total / max(len(rows), 1))
    hashes = np.zeros((SYMMETRIES, len(rows)), np.uint64)
    for start in starts:
        chunk = slice(start, start + _TRANSFORM_CHUNK)
        hashes[:, chunk] = _pack(symmetries_of_coefficients(low_frequencies(thumbnails[rows[chunk]]) - mean))
    return hashes


def symmetries_of_coefficients(coefficients: np.ndarray) -> np.ndarray:
    """The coefficients `[N, 8, 8]` of the eight `symmetries` of an image from its own: `[8, N, 8, 8]`."""
    sign = np.where(np.arange(_LOW) % 2, -1.0, 1.0)
    views, turned = [], coefficients
    for _ in range(4):
        views += [turned, turned.swapaxes(-2, -1)]
        turned = turned.swapaxes(-2, -1) * sign[:, None]  # np.rot90: transpose, then flip the rows
    return np.stack(views)


def low_frequencies(thumbnails: np.ndarray) -> np.ndarray:
    """The lowest coefficients of the orthonormal DCT-II of uint8 `[n, 16, 16]`: float64 `[n, 8, 8]`."""
    return scipy.fft.dctn(thumbnails.astype(np.float64), norm="ortho", axes=(1, 2))[:, :_LOW, :_LOW]


def _symmetric(mean: np.ndarray) -> np.ndarray:
    return symmetries_of_coefficients(mean[None]).mean(axis=0)[0]


def _pack(coefficients: np.ndarray) -> np.ndarray:
    """Signs of `[8, n, 8, 8]`, without the mean of the image, as uint64 `[8, n]`."""
    bits = coefficients.reshape(*coefficients.shape[:2], -1)[..., 1:] > 0
    return (bits << np.arange(BITS, dtype=np.uint64)).sum(axis=-1, dtype=np.uint64)
