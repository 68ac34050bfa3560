"""How large cells lie in the frame: what a network learns at one scale it does not know at another.

Nuclei stand for cells, as they are found by a plain threshold (`appearance`). Their size depends on the
classes too: in a set of blood cells the medians of erythroblasts and promyelocytes are 0.7 and 1.2 of that of
all.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from asae_jax.input.appearance import appearance, nucleus_sizes
from asae_jax.types import HostImage

MEASURED = 200
"""Images that are measured of a set: their median is then known to about 3 %."""
LEAST = 20
"""Nuclei below which nothing is said."""
ANOTHER_SCALE = 1.5
"""Ratio of the medians of two sets from which on the mixture of classes does not explain it."""
CUT = 0.75
"""Diameter of a nucleus, as a share of the frame, from which on the rest of its cell often lies beyond."""


@dataclasses.dataclass(frozen=True)
class NucleusSizes:
    """Diameters of the nuclei of a set, percent of the side of the prepared image.

    Attributes:
      count: nuclei measured.
      low: quartile.
      median: of all.
      high: quartile.
    """

    count: int
    low: float
    median: float
    high: float


def measure_nuclei(images: Iterable[HostImage]) -> NucleusSizes | None:
    """The sizes of nuclei in crops uint8 RGB `[side, side, 3]`; None with fewer than `LEAST` nuclei."""
    measures = [appearance(image) for image in images]
    sizes = nucleus_sizes(np.stack(measures)) if measures else np.zeros(0)
    if len(sizes) < LEAST:
        return None
    return NucleusSizes(len(sizes), *(round(float(q), 1) for q in np.percentile(sizes, (25, 50, 75))))


def another_scale(own: NucleusSizes, other: NucleusSizes) -> float | None:
    """By what the nuclei of `other` are larger, where that is not explained by other classes; else None."""
    ratio = other.median / own.median
    return ratio if max(ratio, 1 / ratio) >= ANOTHER_SCALE else None
