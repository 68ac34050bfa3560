"""The faithfulness test: does the network need the region that the layer attends to?

The region around the top peak, as the layer would suppress it, is occluded in the image, and so is the same
shape in other places (`placed_regions`). What the true class loses of its probability and log-probability
tells how much the network needs the occluded pixels. Grad-CAM of the true class is the yardstick: unlike the
attention map it is told the class. The centre of the image is another, as crops are usually centred on their
cell.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from asae_jax.inference.alignment import Alignment
from asae_jax.types import Images

PLACES = ("peak", "gradcam", "centre")
"""Where the region is put on purpose; places drawn at random follow."""

Occlude = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(images, bool regions `[batch, height, width]`) -> (log-probabilities `[batch, classes]`, change
`[batch]`)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What occlusion did to `n` images.

    Attributes:
      rows: int `[n]`, which images.
      labels: int `[n]`, the true classes.
      before: float64 `[n]`, log-probability of the true class.
      after: float64 `[n, 3 + draws]`, the same with the region occluded in each of `PLACES` and at random.
      change: float64 `[n, 3 + draws]`, mean absolute change of the occluded pixels, normalised.
      share: float64 `[n, 3 + draws]`, occluded share of the image's pixels, 0..1. The same positions have
        fewer or more pixels at a border, where the map is displaced.
    """

    rows: np.ndarray
    labels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    change: np.ndarray
    share: np.ndarray

    def losses(self, *, logarithm: bool) -> dict[str, np.ndarray]:
        """What the true class lost, float64 `[n]`, in each of `PLACES` and, as mean over draws, at random."""
        before, after = self.before, self.after
        if not logarithm:
            before, after = np.exp(before), np.exp(after)
        return _by_place(before[:, None] - after)

    def changes(self) -> dict[str, np.ndarray]:
        """`change` in each of `PLACES` and, as mean over draws, at random."""
        return _by_place(self.change)

    def shares(self) -> dict[str, np.ndarray]:
        """`share` in each of `PLACES` and, as mean over draws, at random."""
        return _by_place(self.share)


class Faithfulness:
    """Measures batch after batch."""

    def __init__(self, layer: Alignment, cam: Alignment, *, draws: int, seed: int):
        """Takes how the maps lie on the image, and how random places are drawn.

        Args:
          layer: of the layer's map.
          cam: of the Grad-CAM maps.
          draws: random places for each image, at least 1.
          seed: of these places.
        """
        self._layer, self._cam = layer, cam
        self._draws, self._seed = draws, seed
        self._parts: list[Measured] = []

    def add(
        self,
        occluded: Occlude,
        images: np.ndarray,
        rows: np.ndarray,
        labels: np.ndarray,
        log_probs: np.ndarray,
        regions: np.ndarray,
        grad_cam: np.ndarray,
    ) -> None:
        """Measures the images of a batch whose class is known; the network gets the batch as a whole.

        Args:
          occluded: scores images with a region occluded.
          images: uint8 `[batch, stored, stored, 3]`.
          rows: int `[batch]`, which images these are; a random place depends on it alone.
          labels: int `[batch]`, true classes; images with a negative one are not measured.
          log_probs: `[batch, classes]` of the images as they are.
          regions: bool `[batch, height, width]`, what the top peak would suppress.
          grad_cam: float `[batch, h, w]` of the true class.
        """
        measured = np.flatnonzero(labels >= 0)
        placed = np.zeros((len(images), len(PLACES) + self._draws, *regions.shape[1:]), bool)
        for place in measured:
            rng = np.random.default_rng([self._seed, int(rows[place])])
            cam = self._cam.resampled(grad_cam[place], self._layer)
            centre = self._layer.image_centre
            placed[place] = placed_regions(regions[place], cam, rng, self._draws, centre=centre)
        results = [occluded(images, placed[:, number]) for number in range(placed.shape[1])]
        true = labels[measured]
        self._parts.append(
            Measured(
                rows[measured],
                true,
                log_probs[measured, true].astype(np.float64),
                np.stack([scores[measured, true] for scores, _ in results], 1).astype(np.float64),
                np.stack([change[measured] for _, change in results], 1).astype(np.float64),
                np.stack([self._share(placed[:, n])[measured] for n in range(placed.shape[1])], 1),
            )
        )

    def _share(self, regions: np.ndarray) -> np.ndarray:
        """Share of the pixels that belong to `regions` `[batch, height, width]`: float64 `[batch]`."""
        return np.asarray(on_pixels(jnp.asarray(regions), self._layer)).mean((1, 2))

    def measured(self) -> Measured | None:
        """All measured images; None where there are none."""
        parts = [part for part in self._parts if len(part.rows)]
        if not parts:
            return None
        fields = [field.name for field in dataclasses.fields(Measured)]
        return Measured(**{f: np.concatenate([getattr(part, f) for part in parts]) for f in fields})


def _by_place(values: np.ndarray) -> dict[str, np.ndarray]:
    first = len(PLACES)
    return dict(zip(PLACES, values[:, :first].T, strict=True)) | {"random": values[:, first:].mean(1)}


def placed_regions(
    region: np.ndarray, grad_cam: np.ndarray, rng: np.random.Generator, draws: int, *, centre: float
) -> np.ndarray:
    """The region in place, and the same shape in other places.

    Args:
      region: bool `[height, width]`, not empty.
      grad_cam: float `[height, width]`.
      rng: draws the random places.
      draws: random places, at least 1.
      centre: of the image, in positions from the map's edge, along both sides (`Alignment.image_centre`).

    Returns:
      bool `[3 + draws, height, width]`, all with the same number of positions: in place; where it covers the
      most of `grad_cam`; in the centre; and at random, every place inside the map equally likely.
    """
    shape = _cut_out(region)
    rows, cols = (outer - inner + 1 for outer, inner in zip(region.shape, shape.shape, strict=True))
    covered = np.lib.stride_tricks.sliding_window_view(grad_cam, shape.shape)[..., shape].sum(-1)
    corners = [
        np.unravel_index(covered.argmax(), covered.shape),
        (_centred(shape.shape[0], centre, rows), _centred(shape.shape[1], centre, cols)),
        *zip(rng.integers(rows, size=draws), rng.integers(cols, size=draws), strict=True),
    ]
    return np.stack([region, *(_put(shape, top, left, region.shape) for top, left in corners)])


def _centred(length: int, centre: float, places: int) -> int:
    """The place of `places` at which `length` positions have their centre nearest to `centre`."""
    return min(max(math.ceil(centre - length / 2 - 0.5), 0), places - 1)


def _cut_out(region: np.ndarray) -> np.ndarray:
    """The region's bounding box."""
    rows, cols = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    return region[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def _put(shape: np.ndarray, top: int, left: int, size: tuple[int, ...]) -> np.ndarray:
    placed = np.zeros(size, bool)
    placed[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
    return placed


def occlude(images: Images, region: jax.Array, alignment: Alignment, *, fill: str) -> Images:
    """Occludes map regions: replaces the pixels that belong to the positions of `region`.

    Args:
      images: float `[batch, size, size, 3]`, normalised.
      region: bool `[batch, positions, positions]`, True where to occlude.
      alignment: of that map.
      fill: one of `FILLS`: "border", the image's mean colour along its border (background, where crops are
        centred on a cell); "mean", its mean colour; "blur", the image blurred by a Gaussian whose standard
        deviation is a tenth of its side.
    """
    return jnp.where(on_pixels(region, alignment)[..., None], FILLS[fill](images), images)


def mean_change(images: Images, occluded: Images, region: jax.Array, alignment: Alignment) -> jax.Array:
    """Mean absolute change of the occluded pixels: float32 `[batch]`.

    Args:
      images: float `[batch, size, size, 3]`.
      occluded: same shape, what `occlude` made of them.
      region: bool `[batch, positions, positions]`, as given to `occlude`.
      alignment: of that map.
    """
    count = jnp.sum(on_pixels(region, alignment), axis=(1, 2))
    total = jnp.sum(jnp.abs(images - occluded), axis=(1, 2, 3)) / images.shape[-1]
    return total / jnp.maximum(count, 1)


def on_pixels(region: jax.Array, alignment: Alignment) -> jax.Array:
    """A region `[batch, positions, positions]` as pixels `[batch, size, size]`.

    Each pixel belongs to the position nearest to it. The receptive field of a position of a deep stage is
    larger, and centred there.
    """
    nearest = alignment.nearest(alignment.size)
    return region[:, nearest][:, :, nearest]


_RING = 16  # the border is this part of the side
_BLUR = 10  # the blur's standard deviation is this part of the side


def _border(images: Images) -> Images:
    size = images.shape[1]
    ring = max(1, size // _RING)
    inside = (jnp.arange(size) >= ring) & (jnp.arange(size) < size - ring)
    outside = ~(inside[:, None] & inside[None, :])[None, :, :, None]
    total = jnp.sum(jnp.where(outside, images, 0), axis=(1, 2), keepdims=True)
    return total / jnp.sum(outside)


def _mean(images: Images) -> Images:
    return jnp.mean(images, axis=(1, 2), keepdims=True)


def _blur(images: Images) -> Images:
    """Gaussian whose weights are normalised anew at the border, where part of it lies outside."""
    size = images.shape[1]
    places = jnp.arange(size, dtype=jnp.float32)
    distances = (places[:, None] - places[None, :]) / (size / _BLUR)
    weights = jax.nn.softmax(-0.5 * distances**2, axis=-1)
    return jnp.einsum("ri,bijc,sj->brsc", weights, images, weights)


FILLS: dict[str, Callable[[Images], Images]] = {"border": _border, "mean": _mean, "blur": _blur}
"""What occluded pixels are replaced by: images `[batch, size, size, 3]` -> what broadcasts to them."""
