"""Run folders as training leaves them, without training."""

import jax
import numpy as np

from asae_jax.run import build, folder, model_folder, weights_file
from asae_jax.run.checkpoint import Checkpoints
from asae_jax.run.state import create_state
from asae_jax.training.optimizer import create_optimizer, create_schedule


def write_run(workdir, config, class_names, state, record=None, *, score=None):
    """A run folder with `state` as its only checkpoint; without a `record` its data are unknown."""
    folder.write(workdir, config, record or folder.Record(tuple(class_names), "no data", {}))
    checkpoints = Checkpoints(workdir)
    checkpoints.save(state, score=score)
    checkpoints.close()
    return workdir


def untrained_run(workdir, config, class_names, record=None, *, score=None):
    """A run folder with the weights that training would start from."""
    schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=config.train.epochs)
    state = create_state(
        build.create_network(config, len(class_names)),
        create_optimizer(config.optimizer, schedule),
        jax.random.key(config.seed),
        image_size=config.augment.size,
        with_average=config.optimizer.ema_decay > 0,
        with_auxiliary=build.has_auxiliary(config),
    )
    return write_run(workdir, config, class_names, state, record, score=score)


def random_model(place, config, class_names, *, seed=0):
    """A model folder with random weights, and those weights as they were before they were stored."""
    rng = np.random.default_rng(seed)

    def leaf(path, shape):
        positive = path[-1].key in ("var", "scale")
        return (rng.uniform(0.5, 1.5, shape.shape) if positive else rng.normal(0, 0.2, shape.shape)).astype(
            np.float32
        )

    shapes = build.variable_shapes(config, len(class_names))
    variables = jax.tree_util.tree_map_with_path(leaf, dict(shapes))
    place.mkdir(parents=True)
    weights_file.write(place, variables, step=7, checkpoint="best")
    record = folder.Record(tuple(class_names), "no data", {}, model_folder.weights_digest(place))
    folder.write(place, config, record)
    return variables
