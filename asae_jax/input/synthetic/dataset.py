"""The built-in data set: which class and slide each index has, its picture, and the table of all.

An index means the same cell whatever the number of examples: a smaller set is the first part of a
larger one.
"""

from dataclasses import dataclass
from functools import cache, lru_cache, partial

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.synthetic.classes import CLASS_COUNTS, CLASS_NAMES, PLACE
from asae_jax.input.synthetic.scene import Scene, draw_scene, masks, photograph
from asae_jax.input.synthetic.shapes import SEGMENTED
from asae_jax.input.synthetic.stain import Slide, draw_slide
from asae_jax.input.table import Table
from asae_jax.types import HostImage

FULL_SIZE = sum(CLASS_COUNTS.values())
"""Number of examples of the full set: 15,252."""

NUM_SLIDES = 48
_VERSION = 2  # raise it when the pictures change, so that no cache serves the old ones
_FIRST_ROUNDS = 5  # the first 5 x 14 examples are 5 of every class: none is missing from a small set
_SCENES, _SLIDES, _SHUFFLE = range(3)  # streams of randomness
_SMALLEST, _LARGEST = 8, 2048


def synthetic_table(*, num_examples: int = FULL_SIZE, seed: int = 0, size: int = 224) -> Table:
    """The built-in set as a table: 14 classes in the paper's order, imbalanced, grouped by slide.

    Args:
      num_examples: how many; the classes keep their shares, but have at least five each from 70 on.
      seed: another seed is another set of cells and slides.
      size: side of the images in pixels. The same cells are shown at any size.

    Raises:
      UserError: fewer examples than classes, a negative seed, or a size outside of 8..2048.
    """
    _check(num_examples, seed, size)
    indices = range(num_examples)
    return Table(
        source="synthetic",
        class_names=CLASS_NAMES,
        names=np.array([f"synthetic/{index:06d}" for index in indices]),
        labels=np.resize(_label_cycle(), num_examples),
        read=partial(render, seed, size=size),
        groups=np.array([slide_name(slide_of(seed, index)) for index in indices]),
        settings=f"version={_VERSION} seed={seed} size={size}",
    )


def render(seed: int, index: int, *, size: int = 224) -> HostImage:
    """Renders one cell: uint8 RGB `[size, size, 3]`, a pure function of (seed, index) at each size."""
    return photograph(_scene(seed, index), _slide(seed, slide_of(seed, index)), size)


@dataclass(frozen=True)
class Description:
    """What was drawn for one index."""

    class_name: str
    slide: str
    lineage: str
    maturity: float  # place in the lineage, see classes.PLACE
    diameter: float  # micrometres
    nuclear_fraction: float  # area of the nucleus / area of the cell, as intended
    lobes: int  # parts of the nucleus, 1 unless segmented
    nucleoli: int
    view: float  # side of the crop, micrometres


def describe(seed: int, index: int) -> Description:
    """What `render(seed, index)` shows."""
    scene = _scene(seed, index)
    cell = scene.cell
    return Description(
        class_name=cell.class_name,
        slide=slide_name(slide_of(seed, index)),
        lineage=PLACE[cell.class_name][0],
        maturity=cell.maturity,
        diameter=2 * cell.radius,
        nuclear_fraction=cell.morphology.nuclear_fraction,
        lobes=(len(cell.nucleus.segments) + 1) // 2 if cell.morphology.pinch > SEGMENTED else 1,
        nucleoli=len(cell.nucleoli.places),
        view=scene.view,
    )


def cell_masks(seed: int, index: int, *, size: int = 224) -> tuple[np.ndarray, np.ndarray]:
    """Where the cell and its nucleus are in the picture of that size: two bool arrays `[size, size]`."""
    return masks(_scene(seed, index), size)


def label_of(index: int) -> int:
    """Class number of an index, the same for every seed."""
    return int(_label_cycle()[index % FULL_SIZE])


def slide_of(seed: int, index: int) -> int:
    """Slide number 0..NUM_SLIDES-1 of an index, independent of its class."""
    return int(_slide_cycle(seed)[index % FULL_SIZE])


def slide_name(slide: int) -> str:
    """Name of a slide, the group of its examples."""
    return f"slide-{slide:03d}"


def _check(num_examples: int, seed: int, size: int) -> None:
    if num_examples < len(CLASS_NAMES):
        raise UserError(
            f"The synthetic set needs {len(CLASS_NAMES)} examples or more, one per class; got {num_examples}."
        )
    if not 0 <= seed < 2**63:
        raise UserError(f"The synthetic set's seed must lie in 0..2**63-1; got {seed}.")
    if not _SMALLEST <= size <= _LARGEST:
        raise UserError(
            f"The synthetic set's image size must lie in {_SMALLEST}..{_LARGEST} pixels; got {size}."
        )


@cache
def _label_cycle() -> np.ndarray:
    """Labels int32 `[FULL_SIZE]` in an order whose every beginning has the classes' shares."""
    counts = np.array([CLASS_COUNTS[name] for name in CLASS_NAMES])
    label = np.repeat(np.arange(len(counts)), counts)
    turn = np.concatenate([np.arange(count) for count in counts])
    time = np.where(turn < _FIRST_ROUNDS, turn - _FIRST_ROUNDS, (turn + 0.5) / counts[label])
    return label[np.lexsort((label, time))].astype(np.int32)


@lru_cache(maxsize=8)
def _slide_cycle(seed: int) -> np.ndarray:
    """Slides `[FULL_SIZE]`, drawn evenly."""
    return _rng(seed, _SHUFFLE, 0).integers(0, NUM_SLIDES, FULL_SIZE)


def _rng(seed: int, stream: int, number: int) -> np.random.Generator:
    """A generator of its own for each (seed, stream, number)."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, 4 * number + stream], dtype=np.uint64)))


@lru_cache(maxsize=4 * NUM_SLIDES)
def _slide(seed: int, slide: int) -> Slide:
    return draw_slide(_rng(seed, _SLIDES, slide))


def _scene(seed: int, index: int) -> Scene:
    slide = _slide(seed, slide_of(seed, index))
    return draw_scene(_rng(seed, _SCENES, index), CLASS_NAMES[label_of(index)], slide)
