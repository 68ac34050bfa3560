"""Maps drawn on the image, each position where it lies (`models.placement`)."""

import dataclasses

import cv2
import numpy as np

from asae_jax.models.backbones.base import Backbone


@dataclasses.dataclass(frozen=True)
class Alignment:
    """How a square feature map lies on a square image.

    Attributes:
      positions: along each side of the map.
      size: side of the image in pixels.
      stride: pixels from the centre of one position to the next.
      first: centre of the first position in pixels from the image's edge.
    """

    positions: int
    size: int
    stride: float
    first: float

    @property
    def centres(self) -> np.ndarray:
        """Centres of the positions along a side, in pixels from the image's edge: float `[positions]`."""
        return self.first + np.arange(self.positions) * self.stride

    @property
    def image_centre(self) -> float:
        """The image's centre in units of positions, counted from the edge of the first position."""
        return float(self._coordinates(np.array(self.size / 2))) + 0.5

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
        return (pixels - self.first) / self.stride

    def _interpolated(self, values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        columns, rows = np.meshgrid(*2 * [self._coordinates(pixels).astype(np.float32)])
        values = np.ascontiguousarray(values, np.float32)
        return cv2.remap(values, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def alignment_of(backbone: Backbone, stage: str, size: int) -> Alignment:
    """How the map after `stage` lies on images with a side of `size` pixels.

    Positions at the border are taken to reach the border.
    """
    positions, stride, first = backbone.placement(stage, size)
    return Alignment(positions, size, stride, first)
