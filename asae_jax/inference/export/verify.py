"""Whether an exported file computes what the network computes, and on which images that is compared."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from asae_jax.errors import UserError
from asae_jax.inference.export.program import drawn_cell
from asae_jax.input.reduced import Reduced
from asae_jax.input.run_split import SPLITS_FILE, read_splits
from asae_jax.input.sources import configured_index
from asae_jax.run.model_folder import holds_model
from asae_jax.run.run import Run
from asae_jax.types import HostImage

NUM_IMAGES = 8
"""Images that every export is compared on."""

TOLERANCE = 1e-4
"""Largest difference between logits, relative to the largest logit where that is above 1. Float32 sums in
another order differ by about a tenth of it; a wrong padding or layout by thousands of times as much."""

Scores = Mapping[str, np.ndarray]
"""`logits` and `probabilities`, `[batch, classes]`."""


class Sample(NamedTuple):
    """Prepared images."""

    images: np.ndarray
    """uint8 `[NUM_IMAGES, stored, stored, 3]`"""
    origin: str
    """What they are, in words."""


def sample_images(run: Run) -> Sample:
    """Test images of the run, evenly spaced; drawn cells where there are none or they cannot be read.

    Where there are fewer than `NUM_IMAGES`, some are there several times.
    """
    if holds_model(run.workdir):
        print("a model travels without images: it is compared on drawn cells")
        return _drawn(run)
    try:
        table = configured_index(run.config.data)
        splits = read_splits(run.workdir / SPLITS_FILE, table)
        rows = np.flatnonzero(splits == "test")
        if len(rows):
            rows = rows[np.linspace(0, len(rows) - 1, NUM_IMAGES).round().astype(int)]
            decode = functools.partial(table.read_reduced, reduction=run.preparation.reduction)
            count = len(np.unique(rows))
            origin = f"{count} test image{'s' * (count > 1)} of the run"
            return Sample(_prepared(run, decode, rows), origin)
        print("the run has no test images, drawn cells take their place")
    except (UserError, ValueError) as error:
        print(f"the run's test images cannot be read, drawn cells take their place: {error}")
    return _drawn(run)


def _drawn(run: Run) -> Sample:
    return Sample(_prepared(run, drawn_cell, range(NUM_IMAGES)), f"{NUM_IMAGES} drawn cells")


def _prepared(run: Run, read: Callable[[int], HostImage | Reduced], rows: np.ndarray | range) -> np.ndarray:
    return np.stack([run.preparation(read(int(row))) for row in rows])


ROUNDING = 0.01
"""The same for weights in half precision: 11 bits change logits by about a thousandth of the largest."""


class Difference(NamedTuple):
    """Largest absolute differences over all images and classes."""

    logits: float
    probabilities: float
    allowed: float
    """Of the logits."""
    allowed_probabilities: float = TOLERANCE

    @property
    def is_small(self) -> bool:
        """Whether the export may be used; False if a score is NaN."""
        return not self.too_large

    @property
    def too_large(self) -> str:
        """Which scores differ too much, or are NaN, in words; empty for none."""
        kinds = (
            ("logits", self.logits, self.allowed),
            ("probabilities", self.probabilities, self.allowed_probabilities),
        )
        return ", ".join(
            f"{kind} differ by {found:.1e} where {allowed:.1e} is allowed"
            for kind, found, allowed in kinds
            if not found <= allowed
        )


def compare(
    run: Callable[[np.ndarray], Scores],
    images: np.ndarray,
    expected: Scores,
    tolerance: float = TOLERANCE,
) -> Difference:
    """The difference between the scores that `run` gives for `images` and the `expected` ones.

    Args:
      run: from images to `logits` and `probabilities`, `[N, classes]` each.
      images: `[N, ...]`, two or more, as `run` takes them.
      expected: the same scores of the run itself.
      tolerance: largest difference allowed, as a share of the largest logit where that is above 1.
    """
    got = in_two_batches(run, images)
    logits, probabilities = (
        float(np.abs(got[name] - expected[name]).max()) for name in ("logits", "probabilities")
    )
    allowed = tolerance * max(1.0, float(np.abs(expected["logits"]).max()))
    return Difference(logits, probabilities, allowed, tolerance)


def in_two_batches(run: Callable[[np.ndarray], Scores], images: np.ndarray) -> Scores:
    """Scores of `images`, in one batch of one image and one of the rest: any batch size must work."""
    parts = [run(images[:1]), run(images[1:])]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
