"""One pass over all images: what is measured of each, and which of them are odd or unreadable.

It is the only time that every image is read. A few numbers of fixed size are kept of each, never the image.
"""

import dataclasses
import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from asae_jax.input.border import BORDER_FEATURES, BORDER_SIDE, border_colours
from asae_jax.input.decode import BadImage
from asae_jax.input.hue import MIN_SATURATION
from asae_jax.input.implausible_images import (
    FLAT,
    GREY_TOLERANCE,
    THUMBNAIL,
    TINY,
    colourfulness,
    grey_square,
)
from asae_jax.input.index import DataIndex, Skipped
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.terminal import Bar
from asae_jax.types import HostImage

SIZE_FACTOR = 3
"""Tiny: shorter side below a third of the median, or below `TINY`; huge: longer side above three times it."""

_SIDE = BORDER_SIDE  # pixels; all but digest and size are measured at this size
_GREEN = 60  # where the circle of hues is cut open, as no stain of blood cells is green
_HUES = 180  # OpenCV's hues are degrees / 2
_TURN = np.exp(2j * np.pi * np.arange(_HUES) / _HUES)
_CHUNK = 16  # images that a thread measures at a time: handing out each alone cost 0.1 ms


@dataclasses.dataclass(frozen=True, eq=False)
class Facts:
    """Row `i` is example `i` of the data set; rows of unreadable images are zero. 338 bytes an image.

    Attributes:
      readable: bool `[N]`.
      digest: uint64 `[N]`, see `content_digest`.
      size: int32 `[N, 2]`, height and width in pixels.
      colour: float32 `[N, 3]`: mean hue of the stained pixels in OpenCV's units (60..240: beyond 179 it
        goes on from 0, so that purple 140, pink 165 and red 185 are neighbours; NaN without a stained
        pixel), mean saturation and mean brightness, 0..255.
      contrast: float32 `[N]`, standard deviation of the thumbnail, levels of 255.
      grey: bool `[N]`, whether the image has no colour.
      border: float32 `[N, 12]`, see `BORDER_FEATURES`.
      thumbnail: uint8 `[N, 16, 16]`, grey.
    """

    readable: np.ndarray
    digest: np.ndarray
    size: np.ndarray
    colour: np.ndarray
    contrast: np.ndarray
    grey: np.ndarray
    border: np.ndarray
    thumbnail: np.ndarray

    def put(self, row: int, image: HostImage) -> None:
        """Measures `image` into row `row`. Thread-safe for different rows."""
        small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        self.digest[row] = content_digest(image)
        self.size[row] = image.shape[:2]
        self.colour[row] = mean_colour(small)
        self.grey[row] = colourfulness(small) <= GREY_TOLERANCE
        self.border[row] = border_colours(small)
        self.thumbnail[row] = grey_square(small, THUMBNAIL)
        self.contrast[row] = self.thumbnail[row].std()
        self.readable[row] = True

    def first(self, count: int) -> "Facts":
        """Those of the first `count` examples."""
        return Facts(**{field.name: getattr(self, field.name)[:count] for field in dataclasses.fields(self)})


def empty_facts(count: int) -> Facts:
    """Facts of `count` images, none of them measured yet."""
    return Facts(
        readable=np.zeros(count, bool),
        digest=np.zeros(count, np.uint64),
        size=np.zeros((count, 2), np.int32),
        colour=np.zeros((count, 3), np.float32),
        contrast=np.zeros(count, np.float32),
        grey=np.zeros(count, bool),
        border=np.zeros((count, BORDER_FEATURES), np.float32),
        thumbnail=np.zeros((count, THUMBNAIL, THUMBNAIL), np.uint8),
    )


@dataclasses.dataclass(frozen=True)
class Scan:
    """What was measured, and (name, reason) of the images that cannot be read."""

    facts: Facts
    unreadable: Skipped


def scan(table: DataIndex, *, workers: int | None = None, progress: bool = True) -> Scan:
    """Reads every example of `table` once. One image per worker is in memory at a time.

    Args:
      table: the examples.
      workers: threads; by default one per processor.
      progress: whether to show a bar.
    """
    facts = empty_facts(len(table))
    unreadable: list[tuple[str, str]] = []
    workers = workers or default_workers()
    chunks = [range(start, min(start + _CHUNK, len(table))) for start in range(0, len(table), _CHUNK)]
    bar = Bar("auditing images" if progress else "", len(table), "image")
    with bar, thread_pool(workers) as pool:
        tasks = bounded(lambda rows: pool.submit(_measure, table, facts, rows), chunks, 8 * workers)
        for rows, task in zip(chunks, tasks, strict=True):
            unreadable += task.result()
            bar.update(len(rows))
    return Scan(facts, tuple(unreadable))


def _measure(table: DataIndex, facts: Facts, rows: Sequence[int]) -> list[tuple[str, str]]:
    """Measures `rows`; returns (name, reason) of those that cannot be read."""
    unreadable = []
    for row in rows:
        try:
            facts.put(row, table.read(row))
        except BadImage as error:
            unreadable.append((str(table.names[row]), error.reason))
    return unreadable


def find_odd(facts: Facts) -> dict[str, np.ndarray]:
    """Rows of readable images by what is odd about them: "tiny", "huge", "greyscale" and "blank".

    A kind is listed even where most images are of it: that all are grey is worth knowing before hue is
    adjusted.
    """
    size, readable = facts.size, facts.readable
    if not readable.any():
        return {kind: np.zeros(0, np.int64) for kind in ("tiny", "huge", "greyscale", "blank")}
    shorter, longer = size.min(axis=1), size.max(axis=1)
    tiny = (shorter < np.median(shorter[readable]) / SIZE_FACTOR) | (shorter < TINY)
    found = {
        "tiny": tiny,
        "huge": longer > np.median(longer[readable]) * SIZE_FACTOR,
        "greyscale": facts.grey & (facts.contrast >= FLAT),
        "blank": facts.contrast < FLAT,
    }
    return {kind: np.flatnonzero(chosen & readable) for kind, chosen in found.items()}


def content_digest(image: HostImage) -> np.uint64:
    """The same for images of the same size and pixels, whatever their files.

    CRC-32 of the upper and of the lower half, a fifth of the time of a cryptographic digest (20 us instead of
    110 for 192 x 192 pixels). It tells apart what differs in one byte or in 32 bits in a row for certain,
    images that differ in both halves but for one in 2^64, and others but for one in 2^32.
    """
    pixels = np.ascontiguousarray(image)
    size = np.array(pixels.shape, "<i8").tobytes()
    middle = len(pixels) // 2
    upper, lower = (zlib.crc32(half.data, zlib.crc32(size)) for half in (pixels[:middle], pixels[middle:]))
    return np.uint64(upper << 32 | lower)


def mean_colour(small: HostImage) -> tuple[float, float, float]:
    """Hue, saturation and brightness as `Facts.colour` has them."""
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    stained = cv2.inRange(hsv, (0, MIN_SATURATION, 0), (255, 255, 255))
    counts = cv2.calcHist([hsv], [0], stained, [_HUES], [0, _HUES]).reshape(-1)
    mean_hue = np.nan
    if counts.any():
        angle = np.angle(counts @ _TURN) * _HUES / (2 * np.pi)
        mean_hue = (angle - _GREEN) % _HUES + _GREEN
    _, saturation, brightness, _ = cv2.mean(hsv)
    return mean_hue, saturation, brightness
