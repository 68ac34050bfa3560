"""Fields of drawn cells at known places, composed from the parts of which the built-in crops are drawn."""

import math
from typing import NamedTuple

import numpy as np

from asae_jax.synthetic.cells import Spots, draw_cell
from asae_jax.synthetic.classes import CLASS_NAMES
from asae_jax.synthetic.scene import Canvas, _cell_shape, _paint_cell, _paint_platelets, _paint_red_cell
from asae_jax.synthetic.slide import add_noise, develop, draw_exposure, draw_slide

PIXEL = 0.15
"""Micrometres: a field camera behind a 60x to 100x objective."""


class Drawn(NamedTuple):
    """One nucleated cell of a field; all in pixels."""

    class_name: str
    x: float  # of the nucleus' middle
    y: float
    nucleus: float  # diameter of a disc of the nucleus' area
    cell: float  # diameter
    touching: bool


class Field(NamedTuple):
    image: np.ndarray  # uint8 [size, size, 3]
    cells: list[Drawn]


def draw_field(seed, *, size=1000, singles=12, pairs=0, red_cells=1.0, platelets=12, pixel=PIXEL):
    """`singles` cells that stand alone and `pairs` of touching ones, of random classes and stain."""
    rng = np.random.default_rng(seed)
    slide, exposure = draw_slide(rng), draw_exposure(rng)
    groups = [[_any_cell(rng)] for _ in range(singles)] + [
        [_any_cell(rng) for _ in "ab"] for _ in range(pairs)
    ]
    placed = _placed(rng, groups, size * pixel)
    canvas = Canvas(size, pixel)
    _paint_red_cells(rng, canvas, placed, slide, red_cells)
    half = size * pixel / 2
    spots = np.column_stack([rng.uniform(-half, half, (platelets, 2)), rng.uniform(0.7, 1.4, platelets)])
    _paint_platelets(canvas, Spots(spots))
    cells = []
    for cell, x, y, touching in placed:
        _paint_cell(canvas, cell, x, y)
        cells.append(_truth(canvas, cell, x, y, touching))
    for plane, amount in zip(canvas.dyes, slide.red_cell, strict=True):
        plane += np.float32(amount) * (canvas.red_cells + np.float32(slide.haze))
    return Field(add_noise(develop(canvas.dyes, slide, exposure, pixel=pixel), slide, exposure), cells)


def _any_cell(rng):
    return draw_cell(rng, CLASS_NAMES[rng.integers(len(CLASS_NAMES))])


def _placed(rng, groups, side):
    """(cell, x, y, touching), in micrometres from the middle: groups at least 3 micrometres apart."""
    placed, middles = [], []
    for group in sorted(groups, key=len, reverse=True):
        radii = [cell.radius * cell.stretch for cell in group]
        reach = sum(radii)
        for _ in range(5000):
            x, y = rng.uniform(-side / 2 + reach + 6, side / 2 - reach - 6, 2)
            if all(math.hypot(x - a, y - b) > reach + r + 3 for a, b, r in middles):
                break
        else:
            raise ValueError("no room for so many cells")
        middles.append((x, y, reach))
        turn = rng.uniform(0, 2 * math.pi)
        offsets = [0.0] if len(group) == 1 else [-radii[1], radii[0]]
        for cell, offset in zip(group, offsets, strict=True):
            placed.append((cell, x + offset * math.cos(turn), y + offset * math.sin(turn), len(group) > 1))
    return placed


def _paint_red_cells(rng, canvas, placed, slide, crowding):
    side = canvas.size * canvas.pixel
    for _ in range(rng.poisson(crowding * slide.crowding * side**2 / 100)):
        x, y = rng.uniform(-side / 2, side / 2, 2)
        radius = 3.6 * np.exp(rng.normal(0, 0.06))
        if all(math.hypot(x - cx, y - cy) > cell.radius + 0.85 * radius for cell, cx, cy, _ in placed):
            pallor = np.clip(slide.pallor + rng.normal(0, 0.12), 0, 0.9)
            stretch = np.exp(abs(rng.normal(0, 0.07)))
            _paint_red_cell(canvas, x, y, radius, stretch, rng.uniform(0, np.pi), pallor)


def _truth(canvas, cell, x, y, touching):
    window, (rows, columns) = canvas.window(x, y, 1.25 * cell.radius * cell.stretch + 0.5)
    nucleus = _cell_shape(cell, window).nucleus > 0.5
    down, right = np.nonzero(nucleus)
    return Drawn(
        cell.class_name,
        right.mean() + columns.start,
        down.mean() + rows.start,
        math.sqrt(4 * nucleus.sum() / math.pi),
        2 * cell.radius / canvas.pixel,
        touching,
    )
