"""The whole crop: the cell in the middle, what lies around it, and the picture taken of it."""

from dataclasses import dataclass

import numpy as np

from asae_jax.input.synthetic.cells import Cell, Spots, draw_cell
from asae_jax.input.synthetic.classes import CLASS_COUNTS, CLASS_NAMES
from asae_jax.input.synthetic.paint import Canvas, cell_shape, paint_cell, paint_platelets, paint_red_cell
from asae_jax.input.synthetic.stain import Exposure, Slide, add_noise, develop, draw_exposure
from asae_jax.input.synthetic.texture import Placement, place, sample

_UP_TO = np.cumsum([CLASS_COUNTS[name] for name in CLASS_NAMES]) / sum(CLASS_COUNTS.values())


@dataclass(frozen=True)
class Scene:
    """All that is in a crop, in micrometres from its middle."""

    view: float  # side of the crop
    cell: Cell
    position: tuple[float, float]
    neighbours: tuple[tuple[Cell, float, float], ...]
    red_cells: np.ndarray  # [count, 6]: x, y, radius, stretch, angle, pallor
    platelets: Spots
    plasma: Placement
    exposure: Exposure


def draw_scene(rng: np.random.Generator, class_name: str, slide: Slide) -> Scene:
    """Draws a crop of a cell of the class on a slide."""
    cell = draw_cell(rng, class_name)
    # Crops are cut to the cell, but not quite: partly by a fixed frame, and by different hands.
    view = (0.5 * 2 * cell.radius + 0.5 * 13.5) * rng.uniform(1.4, 2.1) / slide.magnification
    position = tuple((0.06 * view * rng.standard_normal(2)).clip(-0.12 * view, 0.12 * view).tolist())
    return Scene(
        view=float(view),
        cell=cell,
        position=position,
        neighbours=_draw_neighbours(rng, cell, position, slide),
        red_cells=_draw_red_cells(rng, cell, position, view, slide),
        platelets=_draw_platelets(rng, view),
        plasma=place(rng),
        exposure=draw_exposure(rng),
    )


def _draw_neighbours(
    rng: np.random.Generator, cell: Cell, position: tuple[float, float], slide: Slide
) -> tuple[tuple[Cell, float, float], ...]:
    """Nucleated cells that touch the one in the middle, of any class, as frequent as in the marrow."""
    drawn = []
    for _ in range(min(rng.poisson(slide.neighbours), 3)):
        other = draw_cell(rng, CLASS_NAMES[np.searchsorted(_UP_TO, rng.random(), side="right")])
        distance = (cell.radius * cell.stretch + other.radius) * rng.uniform(0.98, 1.25)
        turn = rng.uniform(0, 2 * np.pi)
        drawn.append((other, position[0] + distance * np.cos(turn), position[1] + distance * np.sin(turn)))
    return tuple(drawn)


def _draw_red_cells(
    rng: np.random.Generator, cell: Cell, position: tuple[float, float], view: float, slide: Slide
) -> np.ndarray:
    """Red cells anywhere but under the cell; those that come close are pushed aside."""
    side = view + 7.0
    count = rng.poisson(slide.crowding * side**2 / 100)
    x, y = rng.uniform(-side / 2, side / 2, (2, count))
    radius = 3.6 * np.exp(rng.normal(0, 0.06, count))
    away_x, away_y = x - position[0], y - position[1]
    distance = np.hypot(away_x, away_y) + 1e-6
    needed = (cell.radius + 0.85 * radius) / distance
    push = np.maximum(needed, 1.0)
    kept = needed < 2.2
    red = [
        position[0] + away_x * push, position[1] + away_y * push, radius,
        np.exp(np.abs(rng.normal(0, 0.07, count))), rng.uniform(0, np.pi, count),
        np.clip(slide.pallor + rng.normal(0, 0.12, count), 0, 0.9),
    ]  # fmt: skip
    return np.column_stack(red)[kept]


def _draw_platelets(rng: np.random.Generator, view: float) -> Spots:
    count = rng.poisson(0.6)
    x, y = rng.uniform(-view / 2, view / 2, (2, count))
    return Spots(np.column_stack([x, y, rng.uniform(0.7, 1.4, count)]))


def photograph(scene: Scene, slide: Slide, size: int) -> np.ndarray:
    """Renders a scene: uint8 RGB `[size, size, 3]`."""
    canvas = Canvas(size, scene.view / size)
    _paint(canvas, scene, slide)
    picture = develop(canvas.dyes, slide, scene.exposure, pixel=canvas.pixel)
    return add_noise(picture, slide, scene.exposure)


def _paint(canvas: Canvas, scene: Scene, slide: Slide) -> None:
    for red_cell in scene.red_cells.tolist():
        paint_red_cell(canvas, *red_cell)
    paint_platelets(canvas, scene.platelets)
    for other, x, y in scene.neighbours:
        paint_cell(canvas, other, x, y)
    paint_cell(canvas, scene.cell, *scene.position)
    found = canvas.window(0.0, 0.0, scene.view)
    assert found is not None
    haze = np.float32(slide.haze) * (1 + np.float32(0.4) * sample("smooth", scene.plasma, 3.0, found[0]))
    for plane, amount in zip(canvas.dyes, slide.red_cell, strict=True):
        if amount:
            plane += np.float32(amount) * canvas.red_cells
            plane += haze * np.float32(amount)


def masks(scene: Scene, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the cell in the middle and its nucleus are: two bool arrays `[size, size]`."""
    canvas = Canvas(size, scene.view / size)
    found = canvas.window(*scene.position, 2 * scene.view)
    assert found is not None
    shape = cell_shape(scene.cell, found[0])
    return shape.cell > 0.5, shape.nucleus > 0.5
