"""The weights alone as an Orbax checkpoint, for programs in JAX."""

from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from asae_jax.inference.export.program import Program


def write(program: Program, path: Path) -> None:
    """Writes `params` and `batch_stats` to the folder `path`: no optimiser, no step."""
    variables = jax.tree.map(np.asarray, dict(program.trained.variables))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), variables)


def run(program: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by the weights read again."""
    like = jax.tree.map(np.asarray, dict(program.trained.variables))
    with ocp.StandardCheckpointer() as checkpointer:
        return program.scores(images, checkpointer.restore(path.absolute(), like))
