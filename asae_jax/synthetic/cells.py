"""One cell, free of any resolution: its place in the lineage, its measures, its outlines.

Outlines are implicit functions: negative inside, positive outside, about the distance in micrometres.
Every nucleus, from a disc over kidney and band to lobes on filaments, is one family: a chain of thick
segments along a bent line, of which the pinch takes the width of every second one away. So maturity can
run through the shapes without a jump.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from asae_jax.synthetic.classes import (
    EOSINOPHIL_SHARE,
    LINEAGES,
    MATURITY_SPREAD,
    PLACE,
    SPREAD,
    TYPICAL,
    Morphology,
)
from asae_jax.synthetic.texture import Placement, places

SEGMENTED = 0.3
"""The pinch above which a nucleus has lobes."""

_PARTS_OF_BAND = 5
_FILAMENT = 0.16  # half width of a filament between lobes, micrometres
_FILLET = 0.12  # micrometres over which segments melt into each other
_FIELDS = tuple(field.name for field in fields(Morphology))


def _values(morphology: Morphology) -> np.ndarray:
    return np.array([getattr(morphology, name) for name in _FIELDS])


_TYPICAL = {name: _values(morphology) for name, morphology in TYPICAL.items()}
_SPREAD = _values(SPREAD)


@dataclass(frozen=True)
class Chain:
    """A union of thick line segments: rows of `(x0, y0, x1, y1, half width)` in micrometres.

    A lobe, a stretch of a band and a filament are each one segment; a disc is one of no length.
    """

    segments: np.ndarray  # [segments, 5]

    def moved(self, x: float, y: float) -> "Chain":
        """The same shape, shifted."""
        return Chain(self.segments + np.array([x, y, x, y, 0.0]))

    def scaled(self, factor: float) -> "Chain":
        """The same shape, larger or smaller about the origin."""
        return Chain(self.segments * factor)

    @property
    def half_width(self) -> float:
        """Of its widest segment."""
        return float(self.segments[:, 4].max())

    @property
    def reach(self) -> float:
        """Distance from the origin to the farthest point."""
        x0, y0, x1, y1, half_width = self.segments.T
        return float(np.max(np.maximum(np.hypot(x0, y0), np.hypot(x1, y1)) + half_width))

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of its middle segment, which lies inside."""
        x0, y0, x1, y1, _ = self.segments[len(self.segments) // 2]
        return float((x0 + x1) / 2), float((y0 + y1) / 2)


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


def bent_chain(
    rng: np.random.Generator, *, radius: float, thickness: float, bend: float, pinch: float, lobes: int
) -> Chain:
    """A nucleus with about the area of a disc of the given radius, centred on the origin.

    Args:
      rng: draws the irregularities and the orientation.
      radius: radius of the disc of equal area, micrometres.
      thickness: half width of the band over `radius`, 0.4..1; near 1 is a disc.
      bend: total turn from end to end, radians.
      pinch: 0..1, how much of the width between lobes is taken away; up to SEGMENTED nothing is.
      lobes: number of lobes when pinched.
    """
    if thickness > 0.98:
        return Chain(np.array([[0.0, 0.0, 0.0, 0.0, radius]]))
    pinched = pinch > SEGMENTED
    count = 2 * lobes - 1 if pinched else _PARTS_OF_BAND
    isthmus = (np.arange(count) % 2 == 1) & pinched
    half_width = thickness * radius
    lengths = np.full(count, np.pi * (radius**2 - half_width**2) / (2 * half_width * count))
    if pinched:
        lobe = radius / np.sqrt(lobes * (1 + 1.2 / np.pi))  # a disc drawn out by 0.6 of its half width
        half_width += (lobe - half_width) * pinch
        lengths += (lobe * np.where(isthmus, rng.uniform(1.75, 2.3, count), 0.6) - lengths) * pinch
    points = _bent_line(rng, lengths, bend, unsteady=pinch if pinched else 0.15)
    widths = half_width * (1 + (0.14 * pinch + 0.04) * rng.standard_normal(count).clip(-2, 2))
    kept = 1 - np.where(isthmus, np.clip(pinch * rng.uniform(0.85, 1.1, count), 0, 1), 0)
    widths = np.maximum(_FILAMENT, widths * kept)
    weights = widths * (widths + lengths)
    points -= weights @ ((points[:-1] + points[1:]) / 2) / weights.sum()
    return Chain(np.column_stack([points[:-1], points[1:], widths]))


def _bent_line(rng: np.random.Generator, lengths: np.ndarray, bend: float, unsteady: float) -> np.ndarray:
    """Points `[lengths + 1, 2]` along a line that turns by `bend` in all, now and then the other way."""
    turns = bend / len(lengths) * (1 + 0.4 * unsteady * rng.standard_normal(len(lengths)))
    turns *= np.where(rng.random(len(lengths)) < 0.1 * unsteady, -1, 1)
    headings = np.cumsum(turns) + rng.uniform(0, 2 * np.pi)
    moves = lengths[:, None] * np.column_stack([np.cos(headings), np.sin(headings)])
    return np.vstack([np.zeros((1, 2)), np.cumsum(moves, axis=0)])


def chain_distance(x: np.ndarray, y: np.ndarray, chain: Chain) -> np.ndarray:
    """Distance to the chain's outline at the points `x`, `y`, which broadcast to `[height, width]`."""
    x0, y0, x1, y1, half_width = chain.segments.astype(np.float32).T[:, :, None, None]
    dx, dy = x1 - x0, y1 - y0
    px, py = x - x0, y - y0
    along = _unit((px * dx + py * dy) / np.maximum(dx * dx + dy * dy, np.float32(1e-6)))
    px, py = px - along * dx, py - along * dy
    distances = np.sqrt(px * px + py * py) - half_width
    if len(distances) == 1:
        return distances[0]
    nearest = distances.min(axis=0)
    others = np.exp((nearest - distances) * np.float32(1 / _FILLET)).sum(axis=0)
    return nearest - np.float32(_FILLET) * np.log(others)


def ellipse_distance(x: np.ndarray, y: np.ndarray, radius: float, stretch: float, angle: float) -> np.ndarray:
    """Distance to an ellipse with half axes `radius * stretch` and `radius / stretch` about the origin.

    Args:
      x: micrometres, broadcasts with `y` to `[height, width]`.
      y: micrometres.
      radius: of the disc of equal area, micrometres.
      stretch: at least 1; 1 is a disc.
      angle: of the long axis, radians.

    Returns:
      float32 `[height, width]`, micrometres, negative inside.
    """
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u = (x * c + y * s) * np.float32(1 / stretch)
    v = (y * c - x * s) * np.float32(stretch)
    return np.sqrt(u * u + v * v) - np.float32(radius)


def coverage(distance: np.ndarray, width: float) -> np.ndarray:
    """Share of a pixel inside the outline, 0..1: falls over `width` micrometres around distance 0."""
    return _unit(np.float32(0.5) - distance * np.float32(1 / width))


def _unit(values: np.ndarray) -> np.ndarray:
    """Clips to 0..1, in place; a good deal faster than `np.clip` on small windows."""
    np.maximum(values, np.float32(0), out=values)
    return np.minimum(values, np.float32(1), out=values)
