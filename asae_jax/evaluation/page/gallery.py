"""The pictures of the page: the surest mistakes, and the labels that are suspected to be wrong."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from asae_jax.csv_cells import CsvWriter
from asae_jax.evaluation.label_errors import suspected_labels
from asae_jax.evaluation.predictions import Predictions
from asae_jax.files import atomic_text
from asae_jax.input.decode import BadImage
from asae_jax.input.index import DataIndex
from asae_jax.pages import jpeg_uri

SHOWN = 60
"""Pictures of each gallery; the files have all."""
SIDE = 256
"""Pixels, longer side of a picture."""
MOST_BYTES = 3_500_000
"""Of all pictures of a page; those after that are left out."""

_JPEG_QUALITY = 85


class Shown(NamedTuple):
    """A cell of a gallery.

    Attributes:
      name: of the image.
      label: position of the class it is labelled as.
      other: position of the class that the network says instead.
      p_label: probability of the label.
      p_other: probability of the other class.
      margin: -1..1, probability of the label less the highest of all other classes (`label_errors`): that of
        `other` may be lower where its class has a low threshold.
      part: of the data, as in its predictions.
    """

    name: str
    label: int
    other: int
    p_label: float
    p_other: float
    margin: float
    part: str


def mistakes(part: str, predictions: Predictions) -> list[Shown]:
    """All images whose predicted class is not their label, the surest first."""
    predicted, p = predictions.predicted, predictions.probabilities
    rows = np.flatnonzero(predicted != predictions.labels)
    rows = rows[np.argsort(-p[rows, predicted[rows]], kind="stable")]
    return [_shown(part, predictions, int(row), int(predicted[row])) for row in rows]


def suspected(parts: Mapping[str, Predictions]) -> list[Shown]:
    """The images whose labels are suspected (`label_errors`), the surest suspicion first.

    Args:
      parts: name -> predictions of images that were not trained on. The parts are taken together, so that
        the thresholds of the classes come from as many images as there are.
    """
    origins = [(part, row) for part, one in parts.items() for row in range(len(one.labels))]
    labels = np.concatenate([one.labels for one in parts.values()])
    found = suspected_labels(np.concatenate([one.probabilities for one in parts.values()]), labels)
    pairs = zip((origins[row] for row in found.rows), found.suggested, strict=True)
    return [_shown(part, parts[part], row, int(other)) for (part, row), other in pairs]


def _shown(part: str, predictions: Predictions, row: int, other: int) -> Shown:
    p = predictions.probabilities[row]
    label = int(predictions.labels[row])
    margin = float(p[label] - np.delete(p, label).max())
    return Shown(str(predictions.names[row]), label, other, float(p[label]), float(p[other]), margin, part)


def write_suspected(path: Path, found: Sequence[Shown], class_names: Sequence[str]) -> None:
    """Writes `path,label,suggested,p_label,p_suggested,margin,split`, in the order of `margin`: the surest
    suspicion first."""
    with atomic_text(path) as file:
        writer = CsvWriter(file)
        writer.writerow(["path", "label", "suggested", "p_label", "p_suggested", "margin", "split"])
        for one in found:
            numbers = (f"{value:.6f}" for value in (one.p_label, one.p_other, one.margin))
            writer.writerow([one.name, class_names[one.label], class_names[one.other], *numbers, one.part])


def pictures(index: DataIndex, names: Sequence[str]) -> dict[str, str]:
    """A data URI of each image that can be read, up to `MOST_BYTES` in all.

    Args:
      index: where they are; a name that it lacks has no picture.
      names: of the images, the most important first.
    """
    rows = {name: row for row, name in enumerate(index.names.tolist())}
    found: dict[str, str] = {}
    left = MOST_BYTES
    for name, uri in _read(index, [(name, rows[name]) for name in dict.fromkeys(names) if name in rows]):
        if (left := left - len(uri)) < 0:
            break
        found[name] = uri
    return found


def _read(index: DataIndex, wanted: Sequence[tuple[str, int]]) -> Iterator[tuple[str, str]]:
    for name, row in wanted:
        try:
            yield name, _small(index.read(row))
        except BadImage:  # removed or damaged since it was scored: a page is not worth stopping for
            continue


def _small(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    if factor < 1:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return jpeg_uri(image, quality=_JPEG_QUALITY)
