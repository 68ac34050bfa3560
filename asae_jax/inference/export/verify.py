"""Whether what was written computes what the network computes."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-4
"""Largest difference between logits, relative to the largest logit where that is above 1. Float32 sums in
another order differ by about a tenth of it; a wrong padding or layout by thousands of times as much."""

Scores = Mapping[str, np.ndarray]
"""`logits` and `probabilities`, `[batch, classes]`."""


class Difference(NamedTuple):
    """Largest absolute differences over all images and classes."""

    logits: float
    probabilities: float
    allowed: float
    """Of the logits."""

    @property
    def is_small(self) -> bool:
        """Whether the export may be used; never where a score is not a number."""
        return self.logits <= self.allowed and self.probabilities <= TOLERANCE


def compare(run: Callable[[np.ndarray], Scores], images: np.ndarray, expected: Scores) -> Difference:
    """How far the scores that `run` gives for `images` are from those `expected`."""
    got = in_two_batches(run, images)
    logits, probabilities = (
        float(np.abs(got[name] - expected[name]).max()) for name in ("logits", "probabilities")
    )
    return Difference(logits, probabilities, TOLERANCE * max(1.0, float(np.abs(expected["logits"]).max())))


def in_two_batches(run: Callable[[np.ndarray], Scores], images: np.ndarray) -> Scores:
    """Scores of `images`, as one batch of one and one of the rest: the batch size is free."""
    parts = [run(images[:1]), run(images[1:])]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
