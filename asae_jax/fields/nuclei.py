"""Nuclei of a Giemsa-stained field: colour deconvolution, a threshold, and a watershed (scikit-image).

An estimate, made to be looked at: which nuclei belong to one cell is decided by size and distance alone.
"""

import dataclasses
import importlib
from typing import Any

import cv2
import numpy as np

from asae_jax.errors import UserError
from asae_jax.types import HostImage

STAINS = np.array([[1.15, 1.95, 0.52], [1.15, 0.95, 0.22], [0.18, 0.70, 0.45]])
"""Absorbance of red, green and blue light, a row each, of nuclei (azure B with eosin Y on DNA), of basophilic
cytoplasm (azure B on RNA), and of red cells and eosinophilic granules; read off public May-Grünwald-Giemsa images
(the drawn cells have them from there). scikit-image's own matrices are of other stains: `hed` is of haematoxylin,
and `bex`, called Giemsa, of methyl blue and eosin, of which the purple of nuclei is a mixture of both."""

LIGHT = 98
"""Percentile of each colour that is taken for the empty background."""
LEAST_DENSITY = 0.5
"""Amount of the nuclear stain (natural logarithm) below which nothing is a nucleus. Nuclei have 1 to 2.5."""
SMALLEST, LARGEST = 0.5, 1.6
"""Of the usual diameter: a smaller thing is a platelet, a granule or dirt; a larger may be several nuclei."""
LOBES = 0.35
"""Of the usual diameter: parts of a nucleus closer than that belong together."""

_WORKING = 36  # pixels of a nucleus' diameter at which is looked for nuclei
_FIRST_SIDE = 1600  # pixels of the longer side at which the diameter is estimated
_LEAST_PIXELS = 30  # of something whose diameter counts in that estimate


@dataclasses.dataclass(frozen=True, eq=False)
class Nucleus:
    """One nucleus, with all its lobes; in pixels of the field from its upper left corner.

    Attributes:
      x: of the middle of its area.
      y: of the same.
      diameter: of a disc of the same area.
      several: whether it may be several nuclei that could not be separated.
      outlines: closed curves, each `[points, 2]` of x and y.
    """

    x: float
    y: float
    diameter: float
    several: bool
    outlines: tuple[np.ndarray, ...]
