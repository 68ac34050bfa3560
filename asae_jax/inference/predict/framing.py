"""Whether the cells are as large in the frame as those that the network was trained on."""

from asae_jax.input.nucleus_sizes import MEASURED, NucleusSizes, another_scale, measure_nuclei
from asae_jax.types import HostImage


class Framing:
    """Looks at some of the images that are predicted, evenly spaced, in the order of the input."""

    def __init__(self, own: NucleusSizes | None, count: int):
        """Nothing is measured where the run does not know its own.

        Args:
          own: of the run's training images; None: not known.
          count: images that will be predicted.
        """
        self._own, self._every = own, max(count // MEASURED, 1)
        self._seen, self._chosen = 0, list[HostImage]()

    def see(self, image: HostImage) -> None:
        """Takes the next image, uint8 `[stored, stored, 3]`, prepared as for the run; it is not changed."""
        if self._own is not None and self._seen % self._every == 0:
            self._chosen.append(image.copy())  # a batch is not kept for one of its images
        self._seen += 1

    def notes(self) -> list[str]:
        """A sentence where the cells seem to be of another scale, else none."""
        found = measure_nuclei(self._chosen)
        if self._own is None or found is None or (ratio := another_scale(self._own, found)) is None:
            return []
        return [
            f"Nuclei are {ratio:.1f} times as large in these images as in those the network was trained on: "
            f"their median is {found.median:.0f} instead of {self._own.median:.0f} % of the side. Unless the "
            "cells are of other kinds, the crops are of another scale, and the network does not know cells "
            "of this size: `adapt --scale` brings them to its own."
        ]
