"""The built-in data set: procedurally drawn, Giemsa-stained single-cell crops of the paper's 14 classes."""

from asae_jax.synthetic.classes import CLASS_COUNTS, CLASS_NAMES
from asae_jax.synthetic.dataset import (
    FULL_SIZE,
    VERSION,
    Description,
    cell_masks,
    check_settings,
    describe,
    labels,
    render,
    slides,
)

__all__ = [
    "CLASS_COUNTS",
    "CLASS_NAMES",
    "FULL_SIZE",
    "VERSION",
    "Description",
    "cell_masks",
    "check_settings",
    "describe",
    "labels",
    "render",
    "slides",
]
