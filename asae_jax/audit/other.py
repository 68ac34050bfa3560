"""How two sets of images differ apart from their cells, and which of the differences are large.

A difference is large where it is, measured against how the images of either set differ among themselves: a
network has seen as much as that, and no more.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.audit.scan import Facts, content_digest
from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.folders import leftover_in, walk
from asae_jax.input.appearance import (
    MEASURES,
    appearance,
    evenly,
    median_error,
    nucleus_sizes,
    scale_between,
    spread,
)
from asae_jax.input.csv_rows import listed_file, read_rows
from asae_jax.input.decode import BadImage, read_image
from asae_jax.input.index import DataIndex
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.types import HostImage

MOST = 600
"""Images of each set that are measured, evenly spaced."""
LARGE, SOME = 1.0, 0.5
"""Differences, in deviations within a set, from which on they are called large, or noticeable."""
SHOWN = 10
"""Images of each set in the picture."""

REMEDIES = {
    "nucleus_size": "adapt --scale=0, or train with a wider augment.scale_min to augment.scale_max",
    "background": "adapt --background=match, or train with augment.light",
    "nucleus": "train with augment.stain or data.stain",
    "saturation": "train with augment.stain or data.stain, or more augment.saturation",
    "sharpness": "train with augment.blur and augment.jpeg",
    "crowding": "crop both sets alike: `cut`, or adapt --scale",
}
"""Beginning of a measure's name -> what helps."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """One measure of two sets.

    Attributes:
      name: of the measure, see `appearance.MEASURES`.
      meaning: in words, with its unit.
      own: percentiles 5, 25, 50, 75 and 95 of the own set.
      other: the same of the other.
      size: difference of the medians, other less own, in deviations within a set (pooled, by quartiles).
      interval: its 95 % interval.
      verdict: "large", "noticeable" or "small", by the end of the interval that is nearer 0.
      remedy: what helps; empty where the difference is small.
    """

    name: str
    meaning: str
    own: tuple[float, ...]
    other: tuple[float, ...]
    size: float
    interval: tuple[float, float]
    verdict: str
    remedy: str


def other_files(text: str) -> list[Path]:
    """The images of a folder, at any depth, or of a CSV file with a column `path`.

    Raises:
      UserError: there is none.
    """
    place = user_path(text)
    if place.is_dir():
        found = [place / file.name for file in walk(place) if file.is_image]
    elif place.suffix.lower() == ".csv" and place.is_file():
        _, rows = read_rows(place, required=("path",))
        names = (row["path"] for _, row in rows)
        found = [Path(listed_file(place.parent, n)) for n in names if n and not leftover_in(n)]
    else:
        raise UserError(f"--other={text} is neither a folder nor a CSV file with a column path.")
    if len(found) < 2:
        raise UserError(f"--other={text}: {len(found)} images are too few to compare with.")
    return sorted(found)


def compare(
    table: DataIndex, facts: Facts, files: Sequence[Path]
) -> tuple[dict[str, Any], list[list[HostImage]]]:
    """What differs between a data set and other images, and some images of both.

    Args:
      table: the own set.
      facts: what was measured of its examples.
      files: of the other set.

    Returns:
      Content for JSON: `images` of both, `same`: how many of the other images the own set holds pixel for
      pixel, `differences` (fields of `Difference`, the largest first), `scale`:
      by what the other images must be enlarged for nuclei to be as large, with its interval; and the images.

    Raises:
      UserError: no image of the other set can be read.
    """
    rows = np.flatnonzero(facts.readable)
    own, first, _ = _measured(lambda row: table.read(int(row)), evenly(rows, MOST))
    other, second, digests = _measured(read_image, evenly(files, MOST))
    if len(other) < 2:
        raise UserError("fewer than two of the other images can be read (--other=): name others.")
    found = sorted(_differences(own, other), key=lambda one: -abs(one.size))
    scale = None
    if len(nucleus_sizes(own)) > 1 and len(nucleus_sizes(other)) > 1:
        value, low, high = scale_between(nucleus_sizes(own), nucleus_sizes(other))
        scale = {"value": value, "interval": [low, high]}
    content = {
        "images": {"own": len(own), "other": len(other)},
        "same": int(np.isin(digests, facts.digest[rows]).sum()),
        "differences": [dataclasses.asdict(one) for one in found],
        "scale": scale,
    }
    return content, [first, second]


def _measured(
    read: Callable[[Any], HostImage], images: Sequence[Any]
) -> tuple[np.ndarray, list[HostImage], np.ndarray]:
    """Measures `[n, measures]` of those that can be read, at most `SHOWN` of the images, digests of all."""
    shown = set(np.linspace(0, len(images) - 1, SHOWN).round().astype(int).tolist())

    def one(place: int) -> tuple[np.ndarray, HostImage | None, np.uint64] | None:
        try:
            image = read(images[place])
        except BadImage:
            return None
        return appearance(image), image if place in shown else None, content_digest(image)

    with thread_pool(default_workers()) as pool:
        tasks = bounded(lambda place: pool.submit(one, place), range(len(images)), 64)
        found = [result for task in tasks if (result := task.result()) is not None]
    measures = np.stack([measure for measure, _, _ in found]) if found else np.zeros((0, len(MEASURES)))
    digests = np.array([digest for _, _, digest in found], np.uint64)
    return measures, [image for _, image, _ in found if image is not None], digests


def _differences(own: np.ndarray, other: np.ndarray) -> list[Difference]:
    found = []
    for column, (name, meaning) in enumerate(MEASURES.items()):
        values = [part[np.isfinite(part[:, column]), column] for part in (own, other)]
        if min(map(len, values)) < 2:
            continue
        size, interval = _size(*values)
        nearer = 0.0 if interval[0] * interval[1] <= 0 else min(map(abs, interval))
        verdict = "large" if nearer >= LARGE else "noticeable" if nearer >= SOME else "small"
        remedy = next(text for start, text in REMEDIES.items() if name.startswith(start))
        described = [tuple(np.percentile(part, (5, 25, 50, 75, 95)).tolist()) for part in values]
        found.append(
            Difference(name, meaning, described[0], described[1], size, interval, verdict,
                       "" if verdict == "small" else remedy)
        )  # fmt: skip
    return found


def _size(own: np.ndarray, other: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Difference of the medians in deviations within a set, and its 95 % interval."""
    within = max(float(np.hypot(spread(own), spread(other))) / 2**0.5, 1e-3)
    size = float(np.median(other) - np.median(own)) / within
    width = 1.96 * float(np.hypot(median_error(own), median_error(other))) / within
    return size, (size - width, size + width)


def sentences(content: dict[str, Any]) -> list[str]:
    """What was found, in a few lines."""
    large = [one for one in content["differences"] if one["verdict"] == "large"]
    lines = [
        f"  {one['meaning']}: {one['own'][2]:.1f} here, {one['other'][2]:.1f} there ({one['size']:+.1f} "
        f"deviations); {one['remedy']}"
        for one in large
    ]
    same, looked_at = content["same"], content["images"]["other"]
    first = []
    if same:
        first = [f"{same} of {looked_at} images of the other set are also in this one, pixel for pixel"]
    if not lines:
        return [*first, "no large difference from the other set was measured"]
    return [*first, "large differences from the other set (this set is here, the other there):", *lines]
