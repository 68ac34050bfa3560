"""Where the positions of a feature map lie on the image.

Taking positions as equal tiles of the image is right for stages that pool or cut patches without overlap, if
the sides divide. A convolution or max-pool of odd size, stride 2 and equal padding centres position i on
pixel 2i, half a pixel up and left of its tile (with TensorFlow's padding below and right of it, where the
side is even); at stride 16 that has grown to 7.5 pixels, half a position. Where a side does not divide by the
stride, the positions reach beyond the image or do not reach its end: images of 144 pixels have 5 positions at
stride 32 after layer4 of a ResNet, not at 144 / 5 = 28.8.

A picture displaced by that shows the wrong part of a nucleus, a crop cuts beside the cell, and a test that
occludes the wrong pixels is unfair to the map: on 100 blood cells with maps of 8 x 8 (ResNet-18) occluding
the top peak cost the true class 0.23 of its probability with tiles and 0.29 with these places.
"""

import math
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple


class Window(NamedTuple):
    """A convolution or pool that shrinks the map.

    One that does not stride and pads equally leaves positions where they are.
    """

    size: int
    """Side of the kernel."""
    strides: int
    """In both directions."""
    padding: int | Literal["same"] = 0
    """On every side; or TensorFlow's, see `asae_jax.models.layers.Conv`."""

    def zeros(self, length: int) -> tuple[int, int]:
        """How many zeros stand in front of and behind `length` rows or columns."""
        if self.padding != "same":
            return self.padding, self.padding
        total = max((math.ceil(length / self.strides) - 1) * self.strides + self.size - length, 0)
        return total // 2, total - total // 2


GLOBAL_MEAN: Final = "global mean"
"""In the place of a `Window`: the mean over the map, one position."""
Shrinking = Window | Literal["global mean"]


class Placement(NamedTuple):
    """How the positions along a side of a map lie on that side of the image."""

    positions: int
    """Their number; 0 or less where nothing is left of the image."""
    stride: float
    """Pixels from the centre of one position to the next."""
    first: float
    """Centre of the first position in pixels from the image's edge; the first pixel's centre is 0.5."""


def placement(shrinking: Iterable[Shrinking], size: int) -> Placement:
    """Where positions lie behind a chain of operations.

    Args:
      shrinking: what shrinks the map, in its order.
      size: side of the image in pixels.
    """
    place = Placement(size, 1.0, 0.5)
    for operation in shrinking:
        count, stride, first = place
        if isinstance(operation, Window):
            before, behind = operation.zeros(count)
            left = (count + before + behind - operation.size) // operation.strides + 1
            centre = (operation.size - 1) / 2 - before
            place = Placement(left, stride * operation.strides, first + centre * stride)
        else:
            place = Placement(1, stride * count, first + (count - 1) / 2 * stride)
    return place
