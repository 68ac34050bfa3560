"""Maps drawn on the image, each position where it lies (`models.displacement`)."""

import dataclasses

import cv2
import numpy as np

from asae_jax.models.backbones.base import Backbone
from asae_jax.models.displacement import displacement


@dataclasses.dataclass(frozen=True)
class Alignment:
    """How a square feature map lies on a square image.

    Attributes:
      positions: along each side of the map.
      size: side of the image in pixels.
      displacement: pixels by which the positions lie below and to the right of their tiles.
    """

    positions: int
    size: int
    displacement: float = 0.0

    @property
    def centres(self) -> np.ndarray:
        """Centres of the positions along a side, in pixels from the image's edge: float `[positions]`."""
        return (np.arange(self.positions) + 0.5) * (self.size / self.positions) + self.displacement

    @property
    def image_centre(self) -> float:
        """The image's centre in units of positions, counted from the edge of the first position."""
        return (self.size / 2 - self.displacement) * (self.positions / self.size)

    def nearest(self, count: int) -> np.ndarray:
        """The position nearest to each of `count` equal parts of a side: int `[count]`."""
        coordinates = self._coordinates((np.arange(count) + 0.5) * (self.size / count))
        return np.clip(np.floor(coordinates + 0.5), 0, self.positions - 1).astype(int)

    def on_image(self, values: np.ndarray, side: int, *, smooth: bool = False) -> np.ndarray:
        """A map drawn at the size of an image.

        Args:
          values: `[positions, positions]`.
          side: of the result in pixels.
          smooth: interpolate (float32) rather than repeat the nearest value.

        Returns:
          `[side, side]`.
        """
        if smooth:
            return self._interpolated(values, (np.arange(side) + 0.5) * (self.size / side))
        nearest = self.nearest(side)
        return values[nearest][:, nearest]

    def resampled(self, values: np.ndarray, other: "Alignment") -> np.ndarray:
        """A map `[positions, positions]` interpolated at the centres of another map's positions: float32."""
        return self._interpolated(values, other.centres)

    def _coordinates(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels along a side in units of positions; whole numbers are the positions' centres."""
        return (pixels - self.displacement) * (self.positions / self.size) - 0.5

    def _interpolated(self, values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        columns, rows = np.meshgrid(*2 * [self._coordinates(pixels).astype(np.float32)])
        values = np.ascontiguousarray(values, np.float32)
        return cv2.remap(values, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def alignment_of(backbone: Backbone, positions: int, size: int) -> Alignment:
    """How a stage's map of `positions` x `positions` lies on images of `size` pixels.

    Positions at the border are taken to reach the border.
    """
    return Alignment(positions, size, displacement(backbone, positions, size))
