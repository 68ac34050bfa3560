"""One image and what the network looks at in it: what its pictures are drawn from."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from asae_jax.inference.alignment import Grid


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """One image.

    Attributes:
      name: as the user knows it.
      image: uint8 `[size, size, 3]`, prepared and cropped: what the network saw.
      label: the true class; -1 where it is not known.
      probabilities: float `[classes]`.
      attention: float `[height, width]`.
      enhancement: float `[height, width]`.
      peaks: int `[peaks, 2]`, row and column, best first.
      regions: bool `[peaks, height, width]`, what each would hide.
      grad_cams: stage -> float `[2, h, w]`, of the predicted and of the true class, before the ReLU.
      grids: stage -> where its cells lie; the first is that of the other maps.
    """

    name: str
    image: np.ndarray
    label: int
    probabilities: np.ndarray
    attention: np.ndarray
    enhancement: np.ndarray
    peaks: np.ndarray
    regions: np.ndarray
    grad_cams: Mapping[str, np.ndarray]
    grids: Mapping[str, Grid]

    @property
    def grid(self) -> Grid:
        """Where the cells of all maps but Grad-CAM's lie."""
        return next(iter(self.grids.values()))

    @property
    def predicted(self) -> int:
        """The most probable class."""
        return int(self.probabilities.argmax())

    @property
    def known(self) -> bool:
        """Whether the true class is."""
        return self.label >= 0
