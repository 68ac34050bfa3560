"""What a row costs: parameters, speed, memory, time."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from asae_jax.experiments.results import Run
from asae_jax.training import build


def count_parameters(config: ConfigDict, num_classes: int) -> int:
    """Numbers that are trained; nothing is computed for it."""
    network = build.create_network(config, num_classes)
    image = jnp.zeros((1, config.augment.size, config.augment.size, 3))
    variables = jax.eval_shape(lambda: network.init(jax.random.key(0), image, train=False))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def row_costs(runs: tuple[Run, ...], config: ConfigDict, num_classes: int) -> dict[str, Any]:
    """The costs of a row that has at least one finished run, as means over its runs.

    Returns:
      `parameters`; `images_per_second` in training, None where a run was too short to tell; `peak_memory` of
      the process on the host in bytes, None where it was not measured; `seconds` of a cell, start, input,
      training and scoring together.
    """
    speeds = [run.images_per_second for run in runs if run.images_per_second is not None]
    memories = [run.record.peak_memory for run in runs if run.record.peak_memory]
    return {
        "parameters": count_parameters(config, num_classes),
        "images_per_second": float(np.mean(speeds)) if speeds else None,
        "peak_memory": max(memories) if memories else None,
        "seconds": float(np.mean([run.record.seconds for run in runs])),
    }
