"""StableHLO by `jax.export`: runs wherever JAX runs, without this package.

JAX promises to read it for six months after it was written; the Orbax checkpoint is for longer.
"""

from pathlib import Path

import jax
import numpy as np
from jax import export

from asae_jax.inference.export.program import Program

PLATFORMS = ("cpu", "cuda", "tpu")


def write(program: Program, path: Path) -> None:
    """Writes the program with its weights, for any batch size and all of `PLATFORMS`."""
    (batch,) = export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *program.image_shape), np.uint8)
    exported = export.export(jax.jit(program.__call__), platforms=PLATFORMS)(images)
    path.write_bytes(exported.serialize())


def run(_: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by the file alone, as another program would load it."""
    exported = export.deserialize(bytearray(path.read_bytes()))
    return {name: np.asarray(array) for name, array in exported.call(images).items()}
