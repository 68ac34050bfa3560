"""The whole crop: the cell in the middle, what lies around it, and the picture painted of it.

A scene is in micrometres from the crop's middle. Painting turns it into amounts of dye on a canvas of any
size, and `slide.py` turns those into a picture.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from asae_jax.synthetic.cells import Cell, Spots, chain_distance, coverage, draw_cell, ellipse_distance
from asae_jax.synthetic.classes import CLASS_COUNTS, CLASS_NAMES
from asae_jax.synthetic.slide import Exposure, Slide, add_noise, develop, draw_exposure
from asae_jax.synthetic.texture import Placement, Window, place, sample

_UP_TO = np.cumsum([CLASS_COUNTS[name] for name in CLASS_NAMES]) / sum(CLASS_COUNTS.values())
_EDGE = 0.22  # micrometres over which an outline fades: the resolution of a light microscope


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


@dataclass
class Canvas:
    """Dye amounts of a square picture, in the order of `slide.DYES`, and the layer of red cells."""

    size: int
    pixel: float  # micrometres
    dyes: list[np.ndarray] = field(init=False)
    red_cells: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.dyes = [np.zeros((self.size, self.size), np.float32) for _ in range(4)]
        self.red_cells = np.zeros((self.size, self.size), np.float32)

    def window(self, x: float, y: float, reach: float) -> tuple[Window, tuple[slice, slice]] | None:
        """The pixels within `reach` of a point, all in micrometres from the picture's middle."""
        column, row = x / self.pixel + (self.size - 1) / 2, y / self.pixel + (self.size - 1) / 2
        half = reach / self.pixel
        left, right = max(0, math.floor(column - half)), min(self.size, math.ceil(column + half) + 1)
        top, bottom = max(0, math.floor(row - half)), min(self.size, math.ceil(row + half) + 1)
        if left >= right or top >= bottom:
            return None
        window = Window(left - column, top - row, right - left, bottom - top, self.pixel)
        return window, (slice(top, bottom), slice(left, right))


@dataclass(frozen=True)
class Shape:
    """A cell's outlines on a window: distances in micrometres, and shares of each pixel covered."""

    x: np.ndarray  # [1, width], micrometres from the cell's middle
    y: np.ndarray  # [height, 1]
    pixel: float  # micrometres
    outline: np.ndarray
    nucleus_outline: np.ndarray
    cell: np.ndarray
    nucleus: np.ndarray


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
        _paint_red_cell(canvas, *red_cell)
    _paint_platelets(canvas, scene.platelets)
    for other, x, y in scene.neighbours:
        _paint_cell(canvas, other, x, y)
    _paint_cell(canvas, scene.cell, *scene.position)
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
    shape = _cell_shape(scene.cell, found[0])
    return shape.cell > 0.5, shape.nucleus > 0.5


def _cell_shape(cell: Cell, window: Window) -> Shape:
    """Outlines of cell and nucleus, bent by smooth noise so that no two are alike."""
    x, y = window.grid()
    bend = sample("smooth", cell.textures[0], 0.55 * cell.radius, window)
    bend_too = sample("smooth", cell.textures[1], 0.55 * cell.radius, window)
    edge = max(_EDGE, window.pixel)
    loose = np.float32(0.42 * cell.morphology.cell_irregularity)
    outline = ellipse_distance(x + loose * bend, y + loose * bend_too, cell.radius, cell.stretch, cell.angle)
    loose = np.float32(0.7 * cell.morphology.nucleus_irregularity)
    nucleus = chain_distance(x - loose * bend_too, y + loose * bend, cell.nucleus)
    nucleus = np.maximum(nucleus, outline + np.float32(0.15))
    return Shape(x, y, window.pixel, outline, nucleus, coverage(outline, edge), coverage(nucleus, edge))


def _paint_cell(canvas: Canvas, cell: Cell, x: float, y: float) -> None:
    """Adds a nucleated cell with its middle at `(x, y)`; it hides what lies under it."""
    found = canvas.window(x, y, 1.25 * cell.radius * cell.stretch + 0.5)
    if found is None:
        return
    window, where = found
    shape = _cell_shape(cell, window)
    layers = _cytoplasm(cell, window, shape)
    for layer, chromatin in zip(layers, _nucleus(cell, window, shape), strict=True):
        layer += shape.nucleus * (chromatin - layer)
    _granules(cell, window, shape, layers)
    uncovered = 1 - shape.cell
    canvas.red_cells[where] *= uncovered
    for plane, layer in zip(canvas.dyes, layers, strict=True):
        part = plane[where]
        part *= uncovered
        part += shape.cell * layer


def _cytoplasm(cell: Cell, window: Window, shape: Shape) -> list[np.ndarray]:
    m = cell.morphology
    mottle = 1 + np.float32(0.09) * sample("fine", cell.textures[2], 0.5, window)
    body = mottle * (1 - _pale(cell, shape))
    blue = body * (1 + np.float32(m.rim) * np.exp(np.minimum(shape.outline, 0) * np.float32(1.1)))
    for vx, vy, radius in cell.vacuoles.places:
        hole = 1 - np.float32(0.85) * _spot(shape, vx, vy, radius, 0.35)
        blue, body = blue * hole, body * hole
    return [
        np.float32(0.1 * m.basophilia) * blue,
        np.float32(m.basophilia) * blue,
        np.float32(m.eosin) * body,
        np.float32(m.haemoglobin) * body,
    ]


def _pale(cell: Cell, shape: Shape) -> np.ndarray:
    """Share of colour missing beside the nucleus: the Golgi zone, and a thin line around the membrane."""
    px, py, radius = cell.pale_zone
    square = (shape.x - np.float32(px)) ** 2 + (shape.y - np.float32(py)) ** 2
    zone = np.exp(square * np.float32(-1 / radius**2))
    line = np.exp(np.maximum(shape.nucleus_outline, 0) * np.float32(-2.5))
    return np.float32(min(0.9, cell.morphology.halo)) * zone + np.float32(0.12) * line


def _spot(shape: Shape, x: float, y: float, radius: float, softness: float) -> np.ndarray:
    """Share of each pixel in a round spot whose edge fades over `softness` micrometres."""
    distance = ellipse_distance(shape.x - np.float32(x), shape.y - np.float32(y), radius, 1.0, 0.0)
    return coverage(distance, max(softness, shape.pixel))


def _nucleus(cell: Cell, window: Window, shape: Shape) -> list[np.ndarray]:
    m = cell.morphology
    amount = 1 + _chromatin(cell, window, shape)
    membrane = np.float32(0.16) * np.exp(-np.abs(shape.nucleus_outline + np.float32(0.25)) * np.float32(3.5))
    amount += membrane
    azure = np.full_like(amount, 0.12)
    for nx, ny, radius in cell.nucleoli.places:
        spot = _spot(shape, nx, ny, radius, 0.8)
        amount *= 1 - np.float32(0.42) * spot
        azure += np.float32(0.32) * spot
    amount *= np.float32(m.chromatin)
    return [amount, azure, np.float32(0.05) * amount, np.zeros_like(amount)]


def _chromatin(cell: Cell, window: Window, shape: Shape) -> np.ndarray:
    """Relative variation of chromatin: from an even network to clumps, or a clock face."""
    m = cell.morphology
    lace = sample("lace", cell.textures[3], 0.75 * m.clump_size, window)
    clumps = sample("clumps", cell.textures[4], m.clump_size, window)
    varied = np.float32(m.contrast * (1 - m.clumping) * 0.6) * lace
    varied += np.float32(m.contrast * m.clumping * 0.75) * clumps
    if m.clock_face > 0.05:
        varied += np.float32(m.clock_face) * _clock_face(cell, shape)
    return np.maximum(varied, np.float32(-0.75))


def _clock_face(cell: Cell, shape: Shape) -> np.ndarray:
    """Clumps in a ring under the membrane, like the numbers of a clock."""
    (nx, ny), radius = cell.nucleus.middle, cell.nucleus.half_width
    around = np.arctan2(shape.y - np.float32(ny), shape.x - np.float32(nx))
    ring = np.exp(-((shape.nucleus_outline + np.float32(0.24 * radius)) ** 2) * np.float32(14 / radius**2))
    uneven = np.sin(2 * around + np.float32(cell.angle))
    return np.float32(0.5) * ring * np.cos(8 * around + np.float32(1.1) * uneven)


def _granules(cell: Cell, window: Window, shape: Shape, layers: list[np.ndarray]) -> None:
    """Adds granules to the layers, thinly over the nucleus, as those above it are seen too."""
    m = cell.morphology
    purple, _, eosin, orange = layers
    above = 1 - np.float32(0.75) * shape.nucleus
    if m.azurophil > 0.03:
        grains = above * sample("sparse_grains", cell.textures[5], 0.42, window)
        purple += np.float32(min(1.0, m.azurophil)) * grains
    if m.neutrophil > 0.05:
        grains = (1 - shape.nucleus) * sample("grains", cell.textures[5], 0.34, window)
        eosin += np.float32(0.35 * m.neutrophil) * grains
        purple += np.float32(0.14 * m.neutrophil) * grains
    if m.acidophil > 0.05:
        grains = (1 - np.float32(0.9) * shape.nucleus) * sample("grains", cell.textures[5], 0.62, window)
        orange += np.float32(m.acidophil) * (np.float32(0.3) * (1 - shape.nucleus) + np.float32(0.5) * grains)
        eosin += np.float32(0.25 * m.acidophil) * grains
    if m.basophil > 0.05:
        purple += np.float32(1.0 * m.basophil) * sample("sparse_grains", cell.textures[5], 0.95, window)


def _paint_red_cell(
    canvas: Canvas, x: float, y: float, radius: float, stretch: float, angle: float, pallor: float
) -> None:
    """Adds a red cell: a rim, and paler in the middle by `pallor` 0..1."""
    found = canvas.window(x, y, radius * stretch + 0.5)
    if found is None:
        return
    window, where = found
    distance = ellipse_distance(*window.grid(), radius, stretch, angle)
    middle = (distance + np.float32(radius)) * np.float32(1 / (0.62 * radius))
    middle *= middle
    thickness = 1 - np.float32(pallor) * np.exp(-middle * middle)
    layer = coverage(distance, max(0.35, window.pixel)) * thickness
    below = canvas.red_cells[where]
    # Where two overlap they give way to each other: the second adds less than its own absorbance.
    canvas.red_cells[where] = np.maximum(below, layer) + np.float32(0.35) * np.minimum(below, layer)


def _paint_platelets(canvas: Canvas, platelets: Spots) -> None:
    """Adds platelets: small purple bodies with a pale blue edge."""
    for x, y, radius in platelets.places:
        found = canvas.window(x, y, 1.5 * radius)
        if found is None:
            continue
        window, where = found
        square = sum(axis**2 for axis in window.grid()) * np.float32(1 / radius**2)
        body = np.exp(-square * square)
        canvas.dyes[0][where] += np.float32(0.45) * body * body
        canvas.dyes[1][where] += np.float32(0.2) * body
