"""Images to compare an export on, and the example that travels with it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from asae_jax.errors import UserError
from asae_jax.inference.trained import Trained
from asae_jax.input.configured import configured_table
from asae_jax.input.split_record import SPLITS_FILE, read_splits
from asae_jax.input.synthetic import render
from asae_jax.types import HostImage

COUNT = 8
"""Images that every export is compared on."""


class Sample(NamedTuple):
    """Prepared images."""

    images: np.ndarray
    """uint8 `[COUNT, stored, stored, 3]`"""
    origin: str
    """What they are, in words."""


def sample_images(trained: Trained) -> Sample:
    """A few test images of the run, spread evenly; cells drawn by this package where its data are gone."""
    try:
        table = configured_table(trained.config.data)
        splits = read_splits(trained.workdir / SPLITS_FILE, table)
        rows = np.flatnonzero(splits == "test")
        rows = rows[np.linspace(0, len(rows) - 1, COUNT).round().astype(int)] if len(rows) else []
        return Sample(_prepared(trained, table.read, rows), f"{COUNT} test images of the run")
    except (UserError, ValueError) as error:
        drawn = Sample(_prepared(trained, _drawn_cell, range(COUNT)), f"{COUNT} drawn cells")
        print(f"the run's test images cannot be read, drawn cells take their place: {error}")
        return drawn


def example_image() -> HostImage:
    """A drawn cell, higher than wide, to compare another preparation with: no patient's image travels."""
    return _drawn_cell(0)


def _drawn_cell(number: int) -> HostImage:
    return render(0, number, size=300)[:, 20:280]


def _prepared(trained: Trained, read: Callable[[int], HostImage], rows: np.ndarray | range) -> np.ndarray:
    return np.stack([trained.preparation(read(int(row))) for row in rows])
