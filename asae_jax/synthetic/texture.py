"""Tiles of noise, made once, from which chromatin, granules and wavy outlines are cut.

A tile is periodic and has a pyramid of halved copies, so that a picture of any size samples the same
pattern without aliasing. Cutting (a shifted, turned, scaled window) is one OpenCV call.
"""

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

_SIDE = 512
_FEATURE = 8.0  # texels of one feature (a clump, a granule) in every tile
_LEVELS = 5
_COUNT = np.arange(8192, dtype=np.float32)
_SEED = 20230917  # of the tiles: fixed, so that (seed, index) alone decide a picture


@dataclass(frozen=True)
class Placement:
    """Where a window is cut: shift in tiles 0..1, angle in radians. Free of any resolution."""

    shift_x: float
    shift_y: float
    angle: float


def places(rng: np.random.Generator, count: int) -> tuple[Placement, ...]:
    """Random placements."""
    return tuple(Placement(x, y, 2 * math.pi * turn) for x, y, turn in rng.random((count, 3)).tolist())


def place(rng: np.random.Generator) -> Placement:
    """One random placement."""
    return places(rng, 1)[0]


def sample(kind: str, placement: Placement, feature: float, window: "Window") -> np.ndarray:
    """Cuts a window from a tile.

    Args:
      kind: "smooth", "fine", "clumps", "lace" (zero mean, unit variance), "grains" or "sparse_grains" (0..1).
      placement: where on the tile.
      feature: size of one feature in micrometres.
      window: the pixels to fill.

    Returns:
      float32 `[window.height, window.width]`.
    """
    texels = _FEATURE * window.pixel / feature  # per pixel
    level = min(max(round(math.log2(texels)), 0), _LEVELS - 1)
    texels /= 2**level
    tile = _pyramid(kind)[level]
    c, s = texels * math.cos(placement.angle), texels * math.sin(placement.angle)
    # The anchor is the cell's middle, not a corner of the window, so that it stays put when the size changes.
    shift_x = placement.shift_x * tile.shape[1] - 0.5
    shift_y = placement.shift_y * tile.shape[0] - 0.5
    x0, y0 = window.left, window.top
    matrix = np.array([[c, -s, shift_x + c * x0 - s * y0], [s, c, shift_y + s * x0 + c * y0]])
    cut = cv2.warpAffine(
        tile,
        matrix,
        (window.width, window.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )
    low, high = _RANGES[kind]
    values = np.multiply(cut, np.float32((high - low) / 255), dtype=np.float32)
    if low:
        values += np.float32(low)
    return values


def white_noise(placement: Placement, shape: tuple[int, ...]) -> np.ndarray:
    """Independent standard normal values, float32 of the given shape, repeating only after 262,144."""
    tile = _white_tile()
    count = int(np.prod(shape))
    start = int(placement.shift_x * _SIDE**2)
    return np.resize(tile[start : start + count] if start + count <= tile.size else tile, count).reshape(
        shape
    )


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels around an anchor point.

    `left` and `top` are the position of the first pixel's centre relative to the anchor, in pixels;
    `pixel` is a pixel's side in micrometres.
    """

    left: float
    top: float
    width: int
    height: int
    pixel: float

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates `x` `[1, width]` and `y` `[height, 1]` in micrometres from the anchor, float32."""
        x = (_COUNT[: self.width] + np.float32(self.left)) * np.float32(self.pixel)
        y = (_COUNT[: self.height] + np.float32(self.top)) * np.float32(self.pixel)
        return x[None, :], y[:, None]


@cache
def _white_tile() -> np.ndarray:
    """Twice the tile's size, so that a picture's noise is one slice wherever it starts."""
    return np.tile(_rng(0).standard_normal(_SIDE**2).astype(np.float32), 2)


@cache
def _pyramid(kind: str) -> tuple[np.ndarray, ...]:
    """A tile and its halved copies, uint8 over the kind's range: OpenCV turns bytes 3x as fast as floats."""
    low, high = _RANGES[kind]
    tile = np.clip((_TILES[kind]() - low) * (255 / (high - low)), 0, 255)
    level = np.asarray(np.round(tile).astype(np.uint8))
    levels = [level]
    for _ in range(_LEVELS - 1):
        level = np.asarray(cv2.resize(level, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        levels.append(level)
    return tuple(levels)


def _rng(stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([_SEED, stream], dtype=np.uint64)))


def _noise(stream: int, *, low: float, high: float) -> np.ndarray:
    """Periodic Gaussian noise with wave lengths between about `low` and `high` texels, unit variance."""
    spectrum = np.fft.rfft2(_rng(stream).standard_normal((_SIDE, _SIDE)))
    frequency = np.hypot(np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)[None, :])
    band = np.exp(-((frequency * low) ** 2)) * (1 - np.exp(-((frequency * high) ** 2)))
    noise = np.fft.irfft2(spectrum * band, s=(_SIDE, _SIDE))
    return _standard(noise)


def _standard(field: np.ndarray) -> np.ndarray:
    return (field - field.mean()) / field.std()


def _clumps(stream: int) -> np.ndarray:
    """Blocks of chromatin with small light gaps (parachromatin) among them."""
    blocks = np.tanh(1.6 * _noise(stream, low=9, high=24))
    gaps = np.maximum(_noise(stream + 10, low=5, high=14) - 0.5, 0)
    return _standard(0.6 * blocks - 0.8 * gaps)


def _grains(stream: int, share: float) -> np.ndarray:
    """Round grains one feature wide, centres uniform; they cover about `share` of the tile."""
    rng = _rng(stream)
    count = int(share * _SIDE**2 / (np.pi * (_FEATURE / 2) ** 2))
    points = np.zeros((_SIDE, _SIDE))
    np.maximum.at(points, tuple(rng.integers(0, _SIDE, (2, count))), rng.uniform(0.45, 1.0, count))
    offset = np.arange(-6, 7)
    disc = np.clip(0.5 * (_FEATURE / 2 + 1 - np.hypot(offset[:, None], offset[None, :])), 0, 1)
    tile = np.zeros_like(points)
    for row, column in zip(*np.nonzero(disc), strict=True):
        moved = np.roll(points, (offset[row], offset[column]), (0, 1))
        tile = np.maximum(tile, disc[row, column] * moved)
    return tile


_TILES = {
    "smooth": lambda: _noise(1, low=16, high=64),
    "fine": lambda: _noise(2, low=5, high=20),
    "clumps": lambda: _clumps(3),
    "lace": lambda: _standard(-np.tanh(1.2 * np.abs(_noise(4, low=8, high=32)))),
    "grains": lambda: _grains(5, 0.9),
    "sparse_grains": lambda: _grains(6, 0.28),
}

_RANGES = {
    "smooth": (-3.5, 3.5),
    "fine": (-3.5, 3.5),
    "clumps": (-3.5, 3.5),
    "lace": (-3.5, 3.5),
    "grains": (0.0, 1.0),
    "sparse_grains": (0.0, 1.0),
}
