"""Drawing one cell: its place in the lineage, its measures, and where everything lies in it."""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from asae_jax.input.synthetic.classes import (
    EOSINOPHIL_SHARE,
    LINEAGES,
    MATURITY_SPREAD,
    PLACE,
    SPREAD,
    TYPICAL,
    Morphology,
)
from asae_jax.input.synthetic.shapes import Chain, bent_chain
from asae_jax.input.synthetic.texture import Placement, places

_FIELDS = tuple(field.name for field in fields(Morphology))


def _values(morphology: Morphology) -> np.ndarray:
    return np.array([getattr(morphology, name) for name in _FIELDS])


_TYPICAL = {name: _values(morphology) for name, morphology in TYPICAL.items()}
_SPREAD = _values(SPREAD)


@dataclass(frozen=True)
class Spots:
    """Small round things: rows of `(x, y, radius)` in micrometres from the cell's middle."""

    places: np.ndarray  # [count, 3]


@dataclass(frozen=True)
class Cell:
    """Everything that decides how a cell looks, free of any resolution."""

    class_name: str
    maturity: float  # place in the lineage
    morphology: Morphology
    radius: float  # micrometres
    stretch: float  # of the outline
    angle: float
    nucleus: Chain  # about the cell's middle
    nucleoli: Spots
    vacuoles: Spots
    pale_zone: tuple[float, float, float]  # x, y, radius of the Golgi zone
    textures: tuple[Placement, ...]


TEXTURES = 6
"""Independent placements of noise that a cell carries."""


def draw_cell(rng: np.random.Generator, class_name: str) -> Cell:
    """Draws a cell of a class."""
    lineage, middle = PLACE[class_name]
    maturity = float(middle + MATURITY_SPREAD * rng.standard_normal())
    morphology = _draw_morphology(rng, class_name, lineage, maturity)
    radius = morphology.diameter / 2
    nucleus, direction = _draw_nucleus(rng, morphology, radius)
    return Cell(
        class_name=class_name,
        maturity=maturity,
        morphology=morphology,
        radius=radius,
        stretch=float(np.exp(np.abs(rng.normal(0, 0.05 + 0.1 * morphology.cell_irregularity)))),
        angle=direction + rng.normal(0, 0.4),
        nucleus=nucleus,
        nucleoli=_draw_nucleoli(rng, morphology, nucleus),
        vacuoles=_draw_vacuoles(rng, morphology, radius),
        pale_zone=_pale_zone(nucleus, radius, direction),
        textures=places(rng, TEXTURES),
    )


def _typical_at(lineage: str, maturity: float) -> Morphology:
    """The typical cell of a lineage at a maturity: a straight line between its neighbours."""
    chain = LINEAGES[lineage]
    place_ = float(np.clip(maturity, 0, len(chain) - 1))
    low = min(int(place_), len(chain) - 2)
    share = place_ - low
    return Morphology(*((1 - share) * _TYPICAL[chain[low]] + share * _TYPICAL[chain[low + 1]]))


def _draw_morphology(rng: np.random.Generator, class_name: str, lineage: str, maturity: float) -> Morphology:
    typical = _typical_at(lineage, maturity)
    if class_name == "OTHG":
        typical = _with_other_granules(rng, typical)
    noise = np.exp(_SPREAD * rng.standard_normal(len(_FIELDS)).clip(-2.5, 2.5))
    drawn = Morphology(*(_values(typical) * noise))
    return replace(
        drawn,
        nuclear_fraction=min(drawn.nuclear_fraction, 0.88),
        eccentricity=min(drawn.eccentricity, 1.0),
        thickness=min(drawn.thickness, 1.0),
        pinch=min(drawn.pinch, 1.0),
        clumping=min(drawn.clumping, 1.0),
    )


def _with_other_granules(rng: np.random.Generator, typical: Morphology) -> Morphology:
    """Eosinophils are most often bilobed; a basophil's granules hide a blurred nucleus."""
    if rng.random() < EOSINOPHIL_SHARE:
        return replace(typical, neutrophil=0.0, azurophil=0.0, acidophil=1.0, lobes=2.2, diameter=14.0)
    return replace(typical, neutrophil=0.0, azurophil=0.0, basophil=1.0, lobes=2.4, contrast=0.15)


def _draw_nucleus(rng: np.random.Generator, morphology: Morphology, radius: float) -> tuple[Chain, float]:
    """The nucleus inside the cell, and the direction in which it lies off the middle."""
    equal_disc = radius * np.sqrt(morphology.nuclear_fraction)
    chain = bent_chain(
        rng,
        radius=equal_disc,
        thickness=morphology.thickness,
        bend=morphology.bend,
        pinch=morphology.pinch,
        lobes=int(np.clip(round(morphology.lobes), 2, 5)),
    )
    chain = chain.scaled(min(1.0, 0.95 * radius / chain.reach))
    direction = rng.uniform(0, 2 * np.pi)
    offset = morphology.eccentricity * max(0.0, 0.97 * radius - chain.reach)
    return chain.moved(offset * np.cos(direction), offset * np.sin(direction)), float(direction)


def _draw_nucleoli(rng: np.random.Generator, morphology: Morphology, nucleus: Chain) -> Spots:
    count = min(rng.poisson(morphology.nucleoli), 5)
    x, y = nucleus.middle
    distance, turn = 0.68 * nucleus.half_width * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    size = rng.uniform(0.6, 1.15, count)
    return Spots(np.column_stack([x + distance * np.cos(turn), y + distance * np.sin(turn), size]))


def _draw_vacuoles(rng: np.random.Generator, morphology: Morphology, radius: float) -> Spots:
    count = min(rng.poisson(morphology.vacuoles), 10)
    distance, turn = radius * np.sqrt(rng.uniform(0.3, 0.85, count)), rng.uniform(0, 2 * np.pi, count)
    size = rng.uniform(0.35, 1.1, count)
    return Spots(np.column_stack([distance * np.cos(turn), distance * np.sin(turn), size]))


def _pale_zone(nucleus: Chain, radius: float, direction: float) -> tuple[float, float, float]:
    """Beside the nucleus, on the side of the cell's middle."""
    x, y = nucleus.middle
    reach = 0.9 * nucleus.half_width
    return x - reach * math.cos(direction), y - reach * math.sin(direction), 0.36 * radius
