"""Whether the cells are as large in their images as those that the network was trained on."""

import numpy as np

from asae_jax.input.appearance import appearance
from asae_jax.input.nucleus_sizes import MEASURED, NucleusSizes, another_scale, sizes_of
from asae_jax.types import HostImage


class ScaleCheck:
    """Measures some of the images that are predicted, evenly spaced, in the order of the input."""

    def __init__(self, own: NucleusSizes | None, count: int):
        """Nothing is measured where the run does not know its own.

        Args:
          own: of the run's training images; None: not known.
          count: images that will be predicted.
        """
        self._own, self._every = own, max(-(-count // MEASURED), 1)
        self._seen, self._measures = 0, list[np.ndarray]()

    def see(self, image: HostImage) -> None:
        """Takes the next image, uint8 `[stored, stored, 3]`, prepared as for the run."""
        if self._own is not None and self._seen % self._every == 0:
            self._measures.append(appearance(image))
        self._seen += 1

    def notes(self) -> list[str]:
        """A sentence where the cells seem to be of another scale, else none."""
        found = sizes_of(self._measures)
        if self._own is None or found is None or (ratio := another_scale(self._own, found)) is None:
            return []
        times = f"{ratio:.1f} times as large" if ratio > 1 else f"{1 / ratio:.1f} times smaller"
        return [
            f"Nuclei are {times} in these images {'as' if ratio > 1 else 'than'} in those the network was "
            f"trained on: their median is {found.median:.0f} instead of {self._own.median:.0f} % of the "
            "image's side. Unless the cells are of other kinds, the crops are of another scale, and the "
            "network does not know cells of this size: "
            f"the command adapt, with --scale={1 / ratio:.2f}, brings them to its own."
        ]
