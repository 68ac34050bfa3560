"""Small pictures and features of training images, kept with a run: which of them is a new cell like?

They are the images that outliers are told by (`uncertainty_report.sample_per_class`). They stay in the run
folder: an export holds no image.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.evaluation.arrays import read_checked_arrays, write_arrays
from asae_jax.input.decode import BadImage
from asae_jax.input.index import DataIndex
from asae_jax.input.preparation import Preparation
from asae_jax.input.workers import default_workers, thread_pool
from asae_jax.json_files import read_object
from asae_jax.pages import encode_jpeg

CELLS_SHA256 = "cells_sha256"
"""The entry of a file of uncertainty estimates by which their cells are known to belong to them."""

_ENDING = "-cells.npz"

SIZE = 64
"""Pixels of a picture's side; about two kilobytes each."""

_QUALITY = 80
_PREPARE = Preparation(SIZE, hue="none")


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingCells:
    """Some training images of a run.

    Attributes:
      features: float32 `[N, channels]`, pooled from the last stage by the network of the estimates.
      labels: int32 `[N]`, positions in the run's class names.
      pictures: JPEG of the centre square of each, `SIZE` pixels wide, in its own colours.
    """

    features: np.ndarray
    labels: np.ndarray
    pictures: Sequence[bytes]


def training_cells(
    index: DataIndex, rows: np.ndarray, features: np.ndarray, *, workers: int | None = None
) -> TrainingCells:
    """Those of the images that can still be read.

    Args:
      index: the run's data-set index.
      rows: int `[n]`, of the index.
      features: float32 `[n, channels]`, of these rows.
      workers: threads that read; None: one per processor.
    """
    with thread_pool(workers or default_workers()) as pool:
        pictures = list(pool.map(lambda row: _picture(index, int(row)), rows))
    there = np.array([picture is not None for picture in pictures], bool)
    return TrainingCells(features[there], index.labels[rows[there]], [p for p in pictures if p is not None])


def _picture(index: DataIndex, row: int) -> bytes | None:
    try:
        return encode_jpeg(_PREPARE(index.read(row)), quality=_QUALITY)
    except BadImage:
        return None


def cells_file(estimates: Path) -> Path:
    """Where the cells are that belong to a file of uncertainty estimates: beside it, `uncertainty-cells.npz`.

    Not in the folder `uncertainty`, whose files travel with a model.
    """
    return estimates.with_name(f"{estimates.stem}{_ENDING}")


def write_training_cells(cells: TrainingCells | None, estimates: Path) -> str:
    """Writes them beside `estimates`, features in half precision; None: takes away those that are there.

    Returns:
      The SHA-256 of the file, to be recorded as `CELLS_SHA256` of the estimates; empty where there is none.
    """
    path = cells_file(estimates)
    if cells is None or not len(cells.labels):
        path.unlink(missing_ok=True)
        return ""
    return write_arrays(
        path,
        {
            "features": cells.features.astype(np.float16),
            "labels": cells.labels.astype(np.int32),
            "pictures": np.frombuffer(b"".join(cells.pictures), np.uint8),
            "ends": np.cumsum([len(picture) for picture in cells.pictures]),
        },
    )


def read_training_cells(estimates: Path) -> TrainingCells | None:
    """Those that `write_training_cells` wrote beside `estimates`; None where there are none.

    Raises:
      UserError: a file that cannot be read.
    """
    path = cells_file(estimates)
    if not path.exists():
        return None
    remedy = "delete it, or write it anew by `evaluate --workdir=...`"
    recorded = read_object(estimates, remedy=remedy) if estimates.exists() else {}
    try:
        arrays = read_checked_arrays(path, recorded.get(CELLS_SHA256, ""))
        data, ends = arrays["pictures"].tobytes(), arrays["ends"].astype(np.int64).tolist()
        features, labels = arrays["features"].astype(np.float32), arrays["labels"].astype(np.int64)
        if features.ndim != 2 or not len(features) == len(labels) == len(ends):
            raise ValueError("features, labels and pictures of different numbers")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be used ({error}); {remedy}.") from error
    starts = [0, *ends[:-1]]
    return TrainingCells(features, labels, [data[start:end] for start, end in zip(starts, ends, strict=True)])
