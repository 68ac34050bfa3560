"""Average maps of each class: what the network looks at in its cells on the whole."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class ClassMaps:
    """Means over the images of one class.

    Attributes:
      count: how many images.
      image: float64 `[size, size, 3]`, 0..255.
      attention: float64 `[height, width]`.
      top_peak: float64 `[height, width]`, share of the images whose highest peak is there; sums to 1.
      grad_cam: float64 `[h, w]` of the last stage, each map divided by its maximum first, 0..1.
    """

    count: int
    image: np.ndarray
    attention: np.ndarray
    top_peak: np.ndarray
    grad_cam: np.ndarray


class Averages:
    """Sums over images, class by class."""

    def __init__(self) -> None:
        self._sums: dict[int, list[Any]] = {}

    def add(
        self,
        label: int,
        image: np.ndarray,
        attention: np.ndarray,
        peak: np.ndarray,
        grad_cam: np.ndarray,
    ) -> None:
        """Adds one image.

        Args:
          label: its class.
          image: uint8 `[size, size, 3]`.
          attention: `[height, width]`.
          peak: row and column of its highest peak.
          grad_cam: `[h, w]` of that class, before the ReLU.
        """
        top = np.zeros(attention.shape)
        top[tuple(peak)] = 1
        new = [1, image.astype(np.float64), attention.astype(np.float64), top, positive_share(grad_cam)]
        old = self._sums.get(label)
        self._sums[label] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]

    def means(self) -> Mapping[int, ClassMaps]:
        """Of every class that there is an image of, in their order."""
        return {
            label: ClassMaps(count, *(total / count for total in totals))
            for label, (count, *totals) in sorted(self._sums.items())
        }


def positive_share(grad_cam: np.ndarray) -> np.ndarray:
    """The ReLU of a map as share of its maximum, float64, 0..1; 0 where nothing is positive."""
    positive = np.maximum(grad_cam.astype(np.float64), 0)
    return positive / max(positive.max(), 1e-30)
