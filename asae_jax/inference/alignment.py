"""Where the cells of a map lie on the image.

Taking cells as tiles of the image is right for stages that pool or cut patches without overlap. A
convolution or max-pool of odd size, stride 2 and equal padding puts cell i in the middle of pixel 2i, half a
pixel up and left of its tile; at stride 16 that has grown to 7.5 pixels, half a cell. A picture displaced by
that shows the wrong part of a nucleus, and a test that hides the wrong pixels is unfair to the map: on 100
blood cells with maps of 8 x 8 (ResNet-18) hiding the top peak cost the true class 0.23 of its probability
by tiles and 0.29 by these places.
"""

import dataclasses

import cv2
import numpy as np

from asae_jax.models.backbone import Backbone
from asae_jax.models.efficientnet import EfficientNet
from asae_jax.models.resnet import ResNet
from asae_jax.models.wbcnet import WBCNet

_ODD_AND_PADDED = (ResNet, EfficientNet, WBCNet)
"""Backbones in which all that strides is odd and padded equally. In VGG, ConvNeXt and the vision transformer
cells are tiles; in Cell3Net too, but for half a pixel."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """The cells of a map on a square image.

    Attributes:
      cells: along each side.
      size: side of the image in pixels.
      displacement: pixels by which the cells lie below and to the right of the tiles that they would be.
    """

    cells: int
    size: int
    displacement: float = 0.0

    @property
    def middles(self) -> np.ndarray:
        """Of the cells along a side, in pixels from the image's edge: float `[cells]`."""
        return (np.arange(self.cells) + 0.5) * (self.size / self.cells) + self.displacement

    @property
    def middle_of_image(self) -> float:
        """The image's middle in units of cells, counted from the first cell's edge."""
        return (self.size / 2 - self.displacement) * (self.cells / self.size)

    def nearest(self, count: int) -> np.ndarray:
        """The nearest cell to each of `count` equal parts of a side: int `[count]`."""
        positions = self._positions((np.arange(count) + 0.5) * (self.size / count))
        return np.clip(np.floor(positions + 0.5), 0, self.cells - 1).astype(int)

    def on_image(self, values: np.ndarray, side: int, *, smooth: bool = False) -> np.ndarray:
        """A map `[cells, cells]` as an image `[side, side]`, cell by cell, or (float32) interpolated."""
        if smooth:
            return self._interpolated(values, (np.arange(side) + 0.5) * (self.size / side))
        places = self.nearest(side)
        return values[places][:, places]

    def on_grid(self, values: np.ndarray, other: "Grid") -> np.ndarray:
        """A map `[cells, cells]` at the middles of another grid's cells, interpolated: float32."""
        return self._interpolated(values, other.middles)

    def _positions(self, pixels: np.ndarray) -> np.ndarray:
        """Places along a side in units of cells; whole numbers are the cells' middles."""
        return (pixels - self.displacement) * (self.cells / self.size) - 0.5

    def _interpolated(self, values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        columns, rows = np.meshgrid(*2 * [self._positions(pixels).astype(np.float32)])
        values = np.ascontiguousarray(values, np.float32)
        return cv2.remap(values, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def grid_of(backbone: Backbone, cells: int, size: int) -> Grid:
    """Where the `cells` x `cells` of a stage lie on images of `size` pixels.

    Cells at the border are taken to reach the border.
    """
    stride = size / cells
    return Grid(cells, size, (1 - stride) / 2 if isinstance(backbone, _ODD_AND_PADDED) else 0.0)
