"""Measures whether what the layer takes for important is: hide it, and see what the true class loses.

The region around the top peak, as the layer would hide it, is hidden in the image, and so is the same region
in other places (`placement`). The loss of the true class's probability and log-probability tells how much the
network needs what was there. Grad-CAM of the true class is the yardstick: unlike the attention map it is told
the class. The middle of the image is another, as cells are usually cut out around their middle.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from asae_jax.inference.alignment import Grid
from asae_jax.inference.explain.placement import PLACES, placed_regions

Hide = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(images, bool regions `[batch, height, width]`) -> (log-probabilities `[batch, classes]`, change
`[batch]`)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What hiding did to `n` images.

    Attributes:
      rows: int `[n]`, which ones.
      labels: int `[n]`, the true classes.
      before: float64 `[n]`, log-probability of the true class.
      after: float64 `[n, 3 + draws]`, the same with the region hidden in each of `PLACES` and at random.
      change: float64 `[n, 3 + draws]`, mean absolute change of the hidden pixels, normalised.
      share: float64 `[n]`, hidden share of the image.
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
        """`change` in each of `PLACES` and, mean over the draws, at random."""
        return _by_place(self.change)


class Faithfulness:
    """Measures batch after batch."""

    def __init__(self, grid: Grid, cam_grid: Grid, *, draws: int, seed: int):
        """Takes where the cells lie, and how random places are drawn.

        Args:
          grid: of the layer's map.
          cam_grid: of the Grad-CAM maps.
          draws: random places for each image, at least 1.
          seed: of these.
        """
        self._grid, self._cam_grid = grid, cam_grid
        self._draws, self._seed = draws, seed
        self._parts: list[Measured] = []

    def add(
        self,
        hide: Hide,
        images: np.ndarray,
        rows: np.ndarray,
        labels: np.ndarray,
        log_probs: np.ndarray,
        regions: np.ndarray,
        grad_cam: np.ndarray,
    ) -> None:
        """Measures some images of a batch, which is shown to `hide` as a whole.

        Args:
          hide: the network.
          images: uint8 `[batch, stored, stored, 3]`.
          rows: int `[batch]`, which images these are; a random place depends on it alone.
          labels: int `[batch]`, true classes; where it is negative the image is not measured.
          log_probs: `[batch, classes]` of the images as they are.
          regions: bool `[batch, height, width]`, what the top peak would hide.
          grad_cam: float `[batch, h, w]` of the true class.
        """
        measured = np.flatnonzero(labels >= 0)
        placed = np.zeros((len(images), len(PLACES) + self._draws, *regions.shape[1:]), bool)
        for place in measured:
            rng = np.random.default_rng([self._seed, int(rows[place])])
            cam = self._cam_grid.on_grid(grad_cam[place], self._grid)
            middle = self._grid.middle_of_image
            placed[place] = placed_regions(regions[place], cam, rng, self._draws, middle=middle)
        results = [hide(images, placed[:, number]) for number in range(placed.shape[1])]
        true = labels[measured]
        self._parts.append(
            Measured(
                rows[measured],
                true,
                log_probs[measured, true].astype(np.float64),
                np.stack([scores[measured, true] for scores, _ in results], 1).astype(np.float64),
                np.stack([change[measured] for _, change in results], 1).astype(np.float64),
                regions[measured].mean((1, 2)),
            )
        )

    def measured(self) -> Measured | None:
        """All of it; None where nothing was measured."""
        parts = [part for part in self._parts if len(part.rows)]
        if not parts:
            return None
        fields = [field.name for field in dataclasses.fields(Measured)]
        return Measured(**{f: np.concatenate([getattr(part, f) for part in parts]) for f in fields})


def _by_place(values: np.ndarray) -> dict[str, np.ndarray]:
    first = len(PLACES)
    return dict(zip(PLACES, values[:, :first].T, strict=True)) | {"random": values[:, first:].mean(1)}
