"""Run folders as training leaves them, without training."""

import jax

from asae_jax.run import build, folder
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
