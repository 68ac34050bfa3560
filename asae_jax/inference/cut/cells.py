"""From the nuclei of a field to squares around them, and to a picture of the field to check them by."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from asae_jax.inference.cut.nuclei import Nucleus, background, unlit
from asae_jax.inference.positions import Position
from asae_jax.pages import NOTICE
from asae_jax.types import HostImage

_CUT, _SEVERAL, _LEFT_OUT = (0, 158, 115), (213, 94, 0), (86, 86, 86)  # RGB; the first two of Okabe and Ito
_LARGEST_PICTURE = 2000  # pixels of the longer side
_LINES = (
    (_CUT, "cut out"),
    (_SEVERAL, "cut out, may be several cells"),
    (_LEFT_OUT, "left out: at the border"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Square:
    """What is cut out around one nucleus.

    Attributes:
      nucleus: in its middle.
      left: pixel column of its left side in the field; may be below 0.
      top: pixel row of its upper side.
      side: pixels.
      whole: whether it lies in the field as a whole, and where light comes through (`unlit`).
      complete: whether the nucleus does, and touches nothing that is dark, so that more than a part of a cell
        is there.
    """

    nucleus: Nucleus
    left: int
    top: int
    side: int
    whole: bool
    complete: bool

    def position(self, slide: str) -> Position:
        """On the field, which is called `slide`."""
        return Position(slide, float(self.left), float(self.top), float(self.side), float(self.side))


def squares(field: HostImage, nuclei: Sequence[Nucleus], side: int) -> list[Square]:
    """A square of `side` pixels around each nucleus of `field`, uint8 `[height, width, 3]`."""
    dark = unlit(field)
    return [_square(nucleus, side, dark) for nucleus in nuclei]


def _square(nucleus: Nucleus, side: int, dark: np.ndarray) -> Square:
    height, width = dark.shape
    left, top = (round(place + 0.5 - side / 2) for place in (nucleus.x, nucleus.y))
    whole = min(left, top) >= 0 and left + side <= width and top + side <= height
    points = np.concatenate(nucleus.outlines)
    # Outlines run through the middles of pixels, of which a scaled field has fewer.
    margin = 1 + 0.05 * nucleus.diameter
    inside = (points >= margin) & (points <= np.array([width, height]) - 1 - margin)
    whole = whole and not dark[top : top + side, left : left + side].any()
    return Square(nucleus, left, top, side, whole, bool(inside.all()) and not _touches(points, margin, dark))


def _touches(points: np.ndarray, margin: float, dark: np.ndarray) -> bool:
    """Whether one of `points`, `[n, 2]` of x and y, lies in `dark` or up to `margin` pixels from it."""
    around = np.array([(x, y) for x in (-margin, 0, margin) for y in (-margin, 0, margin)])
    places = np.round(points[:, None] + around).astype(int).reshape(-1, 2)
    x, y = np.clip(places, 0, np.array(dark.shape[::-1]) - 1).T
    return bool(dark[y, x].any())


def crop(field: HostImage, square: Square) -> HostImage:
    """The pixels of a square, uint8 `[side, side, 3]`; beyond the lit field its own background colour."""
    height, width = field.shape[:2]
    rows, columns = (slice(max(0, start), start + square.side) for start in (square.top, square.left))
    inside = field[rows, columns]
    if square.whole:
        return inside
    dark, small = unlit(field), cv2.resize(field, (256, 256))
    colour = np.median(background(small)[~unlit(small)], axis=0)
    filled = np.empty((square.side, square.side, 3), np.uint8)
    filled[...] = np.round(np.minimum(colour, 255))
    down, right = max(0, -square.top), max(0, -square.left)
    part = filled[down : down + min(height, inside.shape[0]), right : right + min(width, inside.shape[1])]
    np.copyto(part, inside, where=~dark[rows, columns, None])
    return filled


def outlined(field: HostImage, numbered: Sequence[tuple[str, Square]]) -> HostImage:
    """The field with the outline of every nucleus and the square around it, and a legend below.

    Args:
      field: uint8 RGB `[height, width, 3]`; not changed.
      numbered: each square with the number of its cell; empty where it was left out.
    """
    scale = min(1.0, _LARGEST_PICTURE / max(field.shape))
    size = (max(1, round(field.shape[1] * scale)), max(1, round(field.shape[0] * scale)))
    picture = cv2.resize(field, size, interpolation=cv2.INTER_AREA)
    for number, square in numbered:
        colour = _LEFT_OUT if not number else _SEVERAL if square.nucleus.several else _CUT
        curves = [np.round(curve * scale).astype(np.int32) for curve in square.nucleus.outlines]
        cv2.polylines(picture, curves, isClosed=True, color=colour, thickness=2)
        if number:
            corner = (round(square.left * scale), round(square.top * scale))
            opposite = tuple(place + round(square.side * scale) for place in corner)
            cv2.rectangle(picture, corner, opposite, colour, 1)
            _write(picture, number, (corner[0] + 4, corner[1] + 16), colour)
    return np.vstack([picture, _legend(picture.shape[1])])


def _legend(width: int) -> HostImage:
    strip = np.full((22 * (len(_LINES) + 1), width, 3), 255, np.uint8)
    for line, (colour, text) in enumerate(_LINES):
        cv2.rectangle(strip, (6, 22 * line + 6), (22, 22 * line + 16), colour, -1)
        _write(strip, text, (30, 22 * line + 16), (0, 0, 0))
    _write(strip, f"An estimate by colour and shape. {NOTICE}", (6, 22 * len(_LINES) + 16), (0, 0, 0))
    return strip


def _write(picture: HostImage, text: str, place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
