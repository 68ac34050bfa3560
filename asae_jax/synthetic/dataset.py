"""The built-in data set: which class and slide each example has, and its picture.

An example's number means the same cell whatever the number of examples: a smaller set is the first part
of a larger one.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from asae_jax.errors import UserError
from asae_jax.synthetic.cells import SEGMENTED
from asae_jax.synthetic.classes import CLASS_COUNTS, CLASS_NAMES, PLACE
from asae_jax.synthetic.scene import Scene, draw_scene, masks, photograph
from asae_jax.synthetic.slide import Slide, draw_slide
from asae_jax.types import HostImage

FULL_SIZE = sum(CLASS_COUNTS.values())
"""Number of examples of the full set: 15,252."""

NUM_SLIDES = 48
"""Slides of a set, each with its own stain and camera."""

VERSION = 2
"""Of the pictures; raise it when they change, so that no cache serves the old ones."""

_FIRST_ROUNDS = 5  # the first 5 x 14 examples are 5 of every class: none is missing from a small set
_SCENES, _SLIDES, _SHUFFLE = range(3)  # streams of randomness
_SMALLEST, _LARGEST = 8, 2048


def render(seed: int, index: int, *, size: int) -> HostImage:
    """Renders example `index`: uint8 RGB `[size, size, 3]`, a pure function of the arguments.

    The same cell is shown at every size.
    """
    return photograph(_scene(seed, index), _slide(seed, _slide_of(seed, index)), size)


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
        slide=_slide_name(_slide_of(seed, index)),
        lineage=PLACE[cell.class_name][0],
        maturity=cell.maturity,
        diameter=2 * cell.radius,
        nuclear_fraction=cell.morphology.nuclear_fraction,
        lobes=(len(cell.nucleus.segments) + 1) // 2 if cell.morphology.pinch > SEGMENTED else 1,
        nucleoli=len(cell.nucleoli.places),
        view=scene.view,
    )


def cell_masks(seed: int, index: int, *, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of the cell and of its nucleus in the rendered image: two bool arrays `[size, size]`."""
    return masks(_scene(seed, index), size)


def labels(num_examples: int) -> np.ndarray:
    """Class numbers of examples `0..num_examples-1`, int32; the same for every seed.

    Every beginning has about the classes' shares in `CLASS_COUNTS`, and at least five examples of each
    class from 70 examples on.
    """
    return np.resize(_label_cycle(), num_examples)


def slides(seed: int, num_examples: int) -> np.ndarray:
    """Names of the slides of examples `0..num_examples-1`, str; independent of their classes."""
    return np.array([_slide_name(number) for number in np.resize(_slide_cycle(seed), num_examples)])


def check_settings(num_examples: int, seed: int, size: int) -> None:
    """Refuses a set that cannot be drawn.

    Raises:
      UserError: fewer examples than classes, a negative seed, or a size outside of 8..2048 pixels.
    """
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


def _label_of(index: int) -> int:
    return int(_label_cycle()[index % FULL_SIZE])


def _slide_of(seed: int, index: int) -> int:
    return int(_slide_cycle(seed)[index % FULL_SIZE])


def _slide_name(slide: int) -> str:
    return f"slide-{slide:03d}"


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
    slide = _slide(seed, _slide_of(seed, index))
    return draw_scene(_rng(seed, _SCENES, index), CLASS_NAMES[_label_of(index)], slide)
