"""Pairs of images that look alike, without comparing all pairs.

Multi-index hashing (Norouzi et al., "Fast search in Hamming space with multi-index hashing", 2012): the
63 bits are cut into seven blocks. Hashes that differ in at most five bits agree in two whole blocks, so
looking up each of the 21 pairs of blocks in a table of 2^18 places misses none of them.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from asae_jax.audit.hashes import BITS, perceptual_hashes, symmetries

SURE_DISTANCE = 5
"""Bits. Every pair up to here is looked at; re-encoded and rescaled real cells differ by at most three."""
MAX_DISTANCE = 10
"""Bits. Pairs further apart are not looked at; of 3.7 million pairs of different real cells 56 are nearer."""
MIN_CORRELATION = 0.98
"""Of the thumbnails. Different real cells reach 0.966, re-encoded and rescaled ones stay above 0.999."""

_BLOCKS = 7
_BLOCK_BITS = BITS // _BLOCKS
_PLACES = 1 << 2 * _BLOCK_BITS
_MAX_BUCKET = 256  # partners looked at per table: a thousand versions of one image are still chained together
_CHUNK = 1 << 20  # pairs compared at a time


def similar_pairs(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of thumbnails that are alike in one of the eight orientations.

    Args:
      thumbnails: uint8 `[N, 16, 16]`, none of one single grey.

    Returns:
      int64 `[pairs, 2]`, the lower number first, and the correlation of each, float32 `[pairs]`, highest
      first.
    """
    hashes = perceptual_hashes(thumbnails)
    numbers = np.zeros(0, np.int64)  # a pair as one number: lower row times N plus higher row
    for blocks in itertools.combinations(range(_BLOCKS), 2):
        numbers = np.unique(np.concatenate([numbers, *_pairs_of_one_table(hashes, blocks)]))
    pairs = np.stack(np.divmod(numbers, max(len(thumbnails), 1)), axis=1)
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
    starts = np.searchsorted(own[members], np.arange(_PLACES + 1))
    for turned in hashes:
        keys = _keys(turned, blocks)
        first, count = starts[keys], np.minimum(starts[keys + 1] - starts[keys], _MAX_BUCKET)
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
    """Consecutive rows whose counts sum to about `_CHUNK`."""
    ends = np.cumsum(count)
    cuts = np.searchsorted(ends, np.arange(_CHUNK, ends[-1] if len(ends) else 0, _CHUNK))
    return (rows for rows in np.split(np.arange(len(count)), cuts) if len(rows))


def _correlations(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    chunks = [pairs[start : start + 4096] for start in range(0, len(pairs), 4096)]
    parts = [best_correlation(thumbnails[chunk[:, 0]], thumbnails[chunk[:, 1]]) for chunk in chunks]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def _standardised(images: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1, float32 `[n, pixels]`; an image of one grey becomes zeros."""
    rows = images.reshape(len(images), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
