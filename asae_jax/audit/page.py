"""The findings as one self-contained page: no script, and no font or picture from elsewhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from asae_jax.audit.samples import TILE, Samples
from asae_jax.files import write_text
from asae_jax.input.cell_classes import CellClass, display_order
from asae_jax.input.decode import BadImage
from asae_jax.input.description import plain_reason
from asae_jax.input.index import DataIndex
from asae_jax.input.preparation import Preparation
from asae_jax.pages import environment, jpeg_uri, printable, thumbnail_uri
from asae_jax.types import HostImage

SHOWN_GROUPS = 40
"""Duplicate groups with pictures; `audit.json` has all."""
SHOWN_IMAGES = 8
"""Pictures per duplicate group."""
SHOWN_ODD = 24
"""Pictures per kind of odd image."""
SHOWN_LINES = 50
"""Lines of a list of files, and slides or patients of a table."""

_THUMBNAIL = 112  # pixels, longer side; twice what is shown, for fine displays
_JPEG_QUALITY = 82
_FRAME = Preparation(TILE, hue="none")
_TEMPLATE = "page.html"

VERDICTS = {
    "invalid": ("bad", "Scores on these data would be invalid"),
    "doubtful": ("open", "Nothing found that invalidates scores, with reservations"),
    "sound": ("good", "Nothing found that invalidates scores"),
}
"""Of each verdict its colour on the page, and what is said."""


def write_page(
    path: Path,
    found: Mapping[str, Any],
    table: DataIndex,
    samples: Samples,
    classes: Sequence[CellClass],
    sets: Sequence[Sequence[HostImage]] = (),
) -> None:
    """Writes the page to `path`.

    Args:
      path: of the page.
      found: as from `findings.collect`, with `figures`: file name beside the page -> caption.
      table: the examples; those whose pictures are shown, a bounded number, are read again.
      samples: of the classes.
      classes: of the table, in its order.
      sets: images of this set and of another one that it is compared with; empty: it is not.
    """
    rows = _shown_rows(found)
    text = _environment().get_template(_TEMPLATE).render(
        found=found,
        classes=[classes[label] for label in display_order(classes)],
        verdict=VERDICTS[found["verdict"]],
        samples={
            name: [_tile(image) for image in images]
            for name, images in zip(samples.class_names, samples.of_class, strict=True)
        },
        sets=[
            (name, [_tile(_FRAME(image)) for image in images])
            for name, images in zip(("this set", "the other set"), sets, strict=False)
        ],
        pairs=[(_tile(before), _tile(after)) for before, after in samples.pairs],
        adjustment=samples.adjustment,
        choice=samples.choice,
        thumbnails={row: example_uri(table, row) for row in rows},
        left_out=_by_reason(found["files"]["skipped"]),
        limits={"groups": SHOWN_GROUPS, "images": SHOWN_IMAGES, "odd": SHOWN_ODD, "lines": SHOWN_LINES},
        scales=_scales(found["distributions"]),
    )  # fmt: skip
    write_text(path, text)


def example_uri(table: DataIndex, row: int) -> str:
    """A small JPEG of an example as a data URI; empty where it can no longer be read."""
    try:
        return thumbnail_uri(table.read(row), side=_THUMBNAIL, quality=_JPEG_QUALITY)
    except BadImage:
        return ""


def _tile(image: HostImage) -> str:
    return jpeg_uri(image, quality=_JPEG_QUALITY)


def _shown_rows(found: Mapping[str, Any]) -> list[int]:
    """Rows of all examples with a picture on the page, each once, ascending."""
    groups = found["duplicates"]["groups"][:SHOWN_GROUPS]
    rows = {image["row"] for group in groups for image in group["images"][:SHOWN_IMAGES]}
    for kind in ("tiny", "huge", "greyscale", "blank"):
        rows |= {image["row"] for image in found["files"][kind][:SHOWN_ODD]}
    return sorted(rows)


def _by_reason(skipped: Iterable[Mapping[str, str]]) -> list[tuple[str, list[Mapping[str, str]]]]:
    """(reason, entries) of what was left out before training, the most frequent reason first."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for entry in skipped:
        found.setdefault(plain_reason(entry["reason"]), []).append(entry)
    return sorted(found.items(), key=lambda pair: -len(pair[1]))


def _environment() -> jinja2.Environment:
    filters: dict[str, Callable] = {"hue_colour": _hue_colour, "count": "{:,}".format, "share": _share}
    return environment("asae_jax.audit", filters, finalize=printable)


def _scales(distributions: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """For each quantity the ends of an axis that holds all its ranges."""
    tables = [distributions["per_class"], distributions["per_group"] or {}]
    described: Iterable[Mapping[str, Any]] = [entry for part in tables for entry in part.values()]
    scales = {}
    for quantity in distributions["all"]:
        values = np.concatenate([np.zeros(0), *[entry[quantity] for entry in described if entry[quantity]]])
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        room = 0.05 * (high - low) or 1.0
        scales[quantity] = (low - room, high + room)
    return scales


def _share(value: float, scale: tuple[float, float]) -> str:
    """Where `value` lies between the ends of a scale, as a CSS percentage."""
    low, high = scale
    return f"{100 * (value - low) / (high - low):.2f}%"


def _hue_colour(hue: float) -> str:
    """A CSS colour of a hue in OpenCV's units (degrees / 2, 180 and more go on from 0)."""
    return f"hsl({2 * hue % 360:.0f} 45% 55%)"
