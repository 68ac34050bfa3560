"""A map of features in two dimensions: principal components, or t-SNE and UMAP of kept libraries."""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from asae_jax.errors import UserError

_LEAST = 5  # points below which neighbours mean nothing, and both libraries stop with an error
_PERPLEXITY = 30  # scikit-learn's default, lowered where there are fewer points
_NEIGHBOURS = 15  # umap-learn's default, likewise
_ALIKE = 1e-6
"""Differences of features, beside their largest value, that are rounding: float32 sums differ by less."""


@dataclasses.dataclass(frozen=True, eq=False)
class Projection:
    """Places of features in a plane.

    Attributes:
      method: one of `PROJECTIONS`.
      places: float32 `[N, 2]`.
      explained: share of the features' variance along each of the two axes, 0..1; None where axes have no
        meaning.
    """

    method: str
    places: np.ndarray
    explained: tuple[float, float] | None = None

    def sentence(self) -> str:
        """What the map shows and what it does not."""
        if self.explained is not None and not any(self.explained):
            return "The features of all images are the same, but for rounding: all lie in one place."
        if self.explained is not None:
            first, second = (percent(share) for share in self.explained)
            return (
                f"Principal components of the features: the first explains {first} of the variance, the "
                f"second {second}, together {percent(sum(self.explained))}. What lies in the other "
                "dimensions is not seen: cells that lie together here may be far apart."
            )
        name = _LIBRARIES[self.method].name
        return (
            f"{name} of the features: near neighbours are kept together. Distances between clusters, their "
            "sizes and the axes mean nothing, and no share of variance is explained."
        )


def percent(share: float) -> str:
    """ "34.7 %"."""
    return f"{100 * share:.1f} %"


def require_library(method: str) -> None:
    """Raises a UserError, with the command that installs it, where the library of `method` is missing."""
    library = _LIBRARIES.get(method)
    if library is not None and importlib.util.find_spec(library.module) is None:
        raise UserError(
            f"--projection={method} needs {library.package}: `pip install {library.package}`, or "
            "--projection=pca, which needs nothing."
        )


def project(features: np.ndarray, method: str, *, seed: int) -> Projection:
    """Places features in a plane.

    Args:
      features: float `[N, channels]`, finite, N at least 1.
      method: one of `PROJECTIONS`; fewer than five images, or images whose features are the same but for
        rounding, get "pca" whatever it is: t-SNE divides by the deviation of its start.
      seed: of t-SNE and UMAP.

    Raises:
      ValueError: an unknown method.
    """
    if method not in PROJECTIONS:
        raise ValueError(f"unknown projection {method!r}; known: {', '.join(PROJECTIONS)}")
    if method == "pca" or len(features) < _LEAST or _alike(features):
        return pca(features)
    return Projection(method, np.asarray(_LIBRARIES[method].places(features, seed), np.float32))


def _alike(features: np.ndarray) -> bool:
    """Whether features `[N, channels]` differ by rounding only."""
    return bool(np.ptp(features, axis=0).max() <= _ALIKE * np.abs(features).max())


def pca(features: np.ndarray) -> Projection:
    """The first two principal components of features `[N, channels]`, centred and not scaled.

    The sign of a component is arbitrary: here its largest loading by absolute value is positive, so that
    the same images give the same map. Where the features vary in less than two dimensions the others are 0;
    differences by rounding only are none.
    """
    centred = np.asarray(features, np.float64)
    centred = np.zeros_like(centred) if _alike(centred) else centred - centred.mean(axis=0)
    # The covariance has channels x channels numbers however many images there are.
    covariance = centred.T @ centred
    channels = len(covariance)
    values, vectors = linalg.eigh(covariance, subset_by_index=[max(0, channels - 2), channels - 1])
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1, 1)
    total = np.trace(covariance)
    explained = values / total if total > 0 else np.zeros_like(values)
    missing = 2 - len(values)
    places = np.pad((centred @ vectors).astype(np.float32), ((0, 0), (0, missing)))
    first, second = np.pad(explained, (0, missing)).tolist()
    return Projection("pca", places, (first, second))


def _tsne(features: np.ndarray, seed: int) -> Any:
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)


def _umap(features: np.ndarray, seed: int) -> Any:
    from umap import UMAP

    neighbours = min(_NEIGHBOURS, len(features) - 1)
    return UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(features)


class _Library(NamedTuple):
    """A projection that is not ours: its name, the module and package that it needs, and what places points.

    `places` takes features `[N, channels]` and a seed, and gives `[N, 2]`.
    """

    name: str
    module: str
    package: str
    places: Callable[[np.ndarray, int], Any]


_LIBRARIES = {
    "tsne": _Library("t-SNE", "sklearn", "scikit-learn", _tsne),
    "umap": _Library("UMAP", "umap", "umap-learn", _umap),
}

PROJECTIONS = ("pca", *_LIBRARIES)
"""Methods of `project`."""
