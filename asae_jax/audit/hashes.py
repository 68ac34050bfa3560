"""Perceptual hashes whose eight symmetric versions need no second look at the image.

A hash holds the signs of the 63 lowest cosine coefficients of the grey thumbnail (without the mean), a
variant of pHash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).
Mirroring an image changes the sign of its odd coefficients, turning it over the diagonal transposes
them, so the hashes of all turned and mirrored versions follow from the thumbnail alone.
"""

import numpy as np

from asae_jax.audit.facts import THUMBNAIL

BITS = 63
SYMMETRIES = 8
"""The identity first: four turns by 90 degrees, each with and without a mirror."""

_LOW = 8  # coefficients per direction
_CHUNK = 4096  # thumbnails transformed at a time


def symmetries(images: np.ndarray) -> list[np.ndarray]:
    """The eight turned and mirrored views of square images `[..., side, side]`."""
    views = []
    for turns in range(4):
        turned = np.rot90(images, turns, axes=(-2, -1))
        views += [turned, turned.swapaxes(-2, -1)]
    return views


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """uint64 `[8, N]`: for each symmetry the hashes of uint8 thumbnails `[N, 16, 16]`.

    From each coefficient its mean over the set is taken first, averaged over the symmetries so that
    these still only move bits about. All cells are dark in the middle: without it, on real cells, some
    bits are the same for 99 of 100 images and tell nothing.
    """
    chunks = [thumbnails[start : start + _CHUNK] for start in range(0, len(thumbnails), _CHUNK)]
    total = sum((_coefficients(chunk).sum(axis=0) for chunk in chunks), np.zeros((_LOW, _LOW)))
    mean = _symmetric(total / max(len(thumbnails), 1))
    hashes = [_pack(symmetries_of_coefficients(_coefficients(chunk) - mean)) for chunk in chunks]
    return np.concatenate(hashes, axis=1) if hashes else np.zeros((SYMMETRIES, 0), np.uint64)


def symmetries_of_coefficients(coefficients: np.ndarray) -> np.ndarray:
    """The coefficients `[N, 8, 8]` of the eight `symmetries` of an image from its own: `[8, N, 8, 8]`."""
    sign = np.where(np.arange(_LOW) % 2, -1.0, 1.0)
    views, turned = [], coefficients
    for _ in range(4):
        views += [turned, turned.swapaxes(-2, -1)]
        turned = turned.swapaxes(-2, -1) * sign[:, None]  # np.rot90: transpose, then flip the rows
    return np.stack(views)


def _coefficients(thumbnails: np.ndarray) -> np.ndarray:
    """The lowest coefficients of the orthonormal DCT-II of uint8 `[n, 16, 16]`: float64 `[n, 8, 8]`."""
    return _BASIS @ thumbnails.astype(np.float64) @ _BASIS.T


def _basis() -> np.ndarray:
    frequency, place = np.ogrid[:_LOW, :THUMBNAIL]
    basis = np.sqrt(2 / THUMBNAIL) * np.cos(np.pi * (2 * place + 1) * frequency / (2 * THUMBNAIL))
    basis[0] /= np.sqrt(2)
    return basis


_BASIS = _basis()


def _symmetric(mean: np.ndarray) -> np.ndarray:
    return symmetries_of_coefficients(mean[None]).mean(axis=0)[0]


def _pack(coefficients: np.ndarray) -> np.ndarray:
    """Signs of `[8, n, 8, 8]`, without the mean of the image, as uint64 `[8, n]`."""
    bits = coefficients.reshape(*coefficients.shape[:2], -1)[..., 1:] > 0
    return (bits << np.arange(BITS, dtype=np.uint64)).sum(axis=-1, dtype=np.uint64)
