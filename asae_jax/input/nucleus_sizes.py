"""How large cells lie in the frame: what a network learns at one scale it does not know at another.

Nuclei stand for cells, as they are found by a plain threshold (`appearance`). Their size depends on the
classes too: of the images that the included models were trained on, the medians of lymphocytes and
promyelocytes are 0.8 and 1.2 of that of all blood cells, and 0.8 and 1.3 of that of all marrow cells.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from asae_jax.input.appearance import appearance, nucleus_sizes
from asae_jax.types import HostImage

MEASURED = 200
"""Images that are measured of a set: their median is then known to about 3 %."""
LEAST = 20
"""Nuclei below which nothing is said."""
ANOTHER_SCALE = 1.5
"""Ratio of the medians of two sets from which on it is hardly their mixtures of classes alone."""
CUT = 0.75
"""Diameter of a nucleus, as a share of what is looked at, from which on its cell often reaches beyond."""


@dataclasses.dataclass(frozen=True)
class NucleusSizes:
    """Diameters of the nuclei of a set, percent of the side of the prepared image.

    Attributes:
      count: nuclei measured.
      low: lower quartile, above 0.
      median: of all.
      high: upper quartile.
    """

    count: int
    low: float
    median: float
    high: float

    def __post_init__(self) -> None:
        if not 0.1 <= self.low <= self.median <= self.high < 1000:
            raise ValueError(f"sizes of nuclei are no quartiles: {self.low}, {self.median}, {self.high}")


def measure_nuclei(images: Iterable[HostImage]) -> NucleusSizes | None:
    """The sizes of nuclei in crops uint8 RGB `[side, side, 3]`; None with fewer than `LEAST` nuclei."""
    return sizes_of([appearance(image) for image in images])


def sizes_of(measures: Sequence[np.ndarray]) -> NucleusSizes | None:
    """The same from what `appearance` measured of each image."""
    sizes = nucleus_sizes(np.stack(measures)) if measures else np.zeros(0)
    if len(sizes) < LEAST:
        return None
    return NucleusSizes(len(sizes), *(round(float(q), 1) for q in np.percentile(sizes, (25, 50, 75))))


def another_scale(own: NucleusSizes, other: NucleusSizes) -> float | None:
    """By what the nuclei of `other` are larger, where that is not explained by other classes; else None."""
    ratio = other.median / own.median
    return ratio if max(ratio, 1 / ratio) >= ANOTHER_SCALE else None
