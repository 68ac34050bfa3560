"""Cells as GeoJSON that QuPath opens, one file for each slide.

The format is that which QuPath 0.4 and later write and read ("File, Export objects as GeoJSON"): a feature
collection (RFC 7946) in pixels of the full-resolution level, from the upper left corner, whose features have
`objectType`, `classification` (name and colour: QuPath refuses it without the colour), `measurements` as one
object of numbers, and `metadata` of texts (from QuPath 0.5 on). What else stands beside `features` it passes
over.
"""

import glob
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asae_jax.errors import UserError
from asae_jax.files import atomic_text, remove, safe_names
from asae_jax.inference.positions import Position
from asae_jax.pages import NOTICE

ENDING = ".geojson"
MADE_FROM = "made_from"

_CELLS = uuid.uuid5(uuid.NAMESPACE_URL, "asae-jax:cells")


def feature(
    position: Position,
    label: str,
    colour: str,
    *,
    person: bool = False,
    name: str = "",
    numbers: Mapping[str, float] | None = None,
    notes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One cell: a rectangle where its size is known, else a point at its middle.

    A rectangle that a network labelled is a detection, one that a person labelled an annotation. Points are
    annotations always, as those of QuPath's own point tool are.

    Args:
      position: of the cell; its slide is not written.
      label: the class; empty gives an object without a class.
      colour: of the class, "#rrggbb".
      person: whether a person gave the label.
      name: of the object, such as the path of the crop.
      numbers: the measurements, finite.
      notes: the metadata.
    """
    corners = position.corners()
    kind = "annotation" if person or corners is None else "detection"
    properties: dict[str, Any] = {"objectType": kind}
    if name:
        properties["name"] = name
    if label:
        rgb = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
        properties["classification"] = {"name": label, "color": rgb}
    if numbers:
        properties["measurements"] = dict(numbers)
    if notes:
        properties["metadata"] = dict(notes)
    # The same cell has the same identifier in every file, so that QuPath notices one that is opened twice.
    identity = uuid.uuid5(_CELLS, repr((position.columns(), kind)))
    return {
        "type": "Feature", "id": str(identity), "geometry": _geometry(position), "properties": properties,
    }  # fmt: skip


def _geometry(position: Position) -> dict[str, Any]:
    corners = position.corners()
    if corners is None:
        return {"type": "Point", "coordinates": [position.x, position.y]}
    left, upper, right, lower = corners
    ring = [[left, upper], [right, upper], [right, lower], [left, lower], [left, upper]]
    return {"type": "Polygon", "coordinates": [ring]}


class SlideFiles:
    """GeoJSON files of an input: `<stem>.geojson`, or `<stem>_<slide>.geojson` of each of several slides."""

    def __init__(self, stem: Path, slides: Iterable[str], source: str, former: str = ""):
        """Writes nothing yet.

        Args:
          stem: folder and beginning of the names.
          slides: all that features will be added for, in order; repeated ones count once.
          source: what the features are made from, by which files of the same input are known.
          former: what it was called when it lay elsewhere; empty: the same.

        Raises:
          UserError: a file is in the way that was made from something else.
        """
        self._stem, self._source, self._sources = stem, source, (source, former or source)
        self._lines: dict[str, list[str]] = {slide: [] for slide in slides}
        several = [f"{stem.name}_{name}{ENDING}" for name in safe_names(self._lines)]
        names = several if len(self._lines) > 1 else [stem.name + ENDING] * len(self._lines)
        self.paths = {slide: stem.with_name(name) for slide, name in zip(self._lines, names, strict=True)}
        for path in self.paths.values():
            if os.path.lexists(path) and read_head(path).get(MADE_FROM) not in self._sources:
                raise UserError(
                    f"{path} was made from another input, by another program or an earlier version of this "
                    "one: choose another --output=FILE, or move it away"
                )

    def add(self, slide: str, one: Mapping[str, Any]) -> None:
        """Keeps a feature of one of the slides."""
        self._lines[slide].append(json.dumps(one, allow_nan=False))

    def write(self) -> list[Path]:
        """Writes a file for each slide, and removes those of slides that the same input no longer has.

        Raises:
          OSError: a file cannot be written.
        """
        for slide, lines in self._lines.items():
            head = {"type": "FeatureCollection", "notice": NOTICE, "slide": slide, **self._mark()}
            with atomic_text(self.paths[slide]) as file:
                file.write(json.dumps(head)[:-1] + _FEATURES + ",\n".join(lines) + "\n]}\n")
        written = list(self.paths.values())
        for path in self.earlier():
            if path not in written:
                remove(path)
        return written

    def earlier(self) -> list[Path]:
        """The files that were made from the same input."""
        there = self._stem.parent.glob(f"{glob.escape(self._stem.name)}*{ENDING}")
        heads = ((path, read_head(path)) for path in there)
        marks = [self._mark() | {MADE_FROM: source} for source in self._sources]
        return [path for path, head in heads if any(mark.items() <= head.items() for mark in marks)]

    def _mark(self) -> dict[str, str]:
        return {"name": self._stem.name, MADE_FROM: self._source}


def read_head(path: Path) -> dict[str, Any]:
    """What a file of `SlideFiles` says of itself; empty where it is none."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            line = file.readline()
        head = json.loads(line.removesuffix(_FEATURES) + "}") if line.endswith(_FEATURES) else {}
    except (OSError, ValueError):
        return {}
    return head if isinstance(head, dict) else {}


_FEATURES = ', "features": [\n'
