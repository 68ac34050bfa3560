"""The built-in data set: procedurally drawn, Giemsa-stained single-cell crops of the paper's 14 classes."""

from asae_jax.input.synthetic.classes import CLASS_COUNTS, CLASS_NAMES
from asae_jax.input.synthetic.dataset import (
    FULL_SIZE,
    Description,
    cell_masks,
    describe,
    render,
    synthetic_table,
)

__all__ = [
    "CLASS_COUNTS",
    "CLASS_NAMES",
    "FULL_SIZE",
    "Description",
    "cell_masks",
    "describe",
    "render",
    "synthetic_table",
]
