"""A trained run made ready to be used, from its folder alone."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.input.configured import configured_preparation
from asae_jax.input.prepare import Preparation
from asae_jax.models.network import Network
from asae_jax.training import build, run_folder
from asae_jax.training.loop import restore_weights
from asae_jax.types import Images


@dataclasses.dataclass(frozen=True)
class Trained:
    """The network of a run with its weights, and what its images go through.

    Attributes:
      workdir: the run folder.
      config: of the run.
      class_names: of the logits, in their order.
      network: `network.apply(variables, images, train=False)` gives `[batch, classes]`, the layer treated as
        `eval.test_mode` says.
      variables: `params` and `batch_stats` of the checkpoint that `eval.checkpoint` names; the moving
        average where the run kept one.
      step: of that checkpoint.
      preparation: raw uint8 RGB `[height, width, 3]` -> uint8 `[stored, stored, 3]`, as before training.
      preprocess: uint8 `[batch, stored, stored, 3]` -> normalised float `[batch, size, size, 3]`.
    """

    workdir: Path
    config: ConfigDict
    class_names: tuple[str, ...]
    network: Network
    variables: Mapping[str, Any]
    step: int
    preparation: Preparation
    preprocess: Callable[..., Images]


def load_trained(workdir: Path, config: ConfigDict | None = None) -> Trained:
    """The run in `workdir`; no data are read.

    Args:
      workdir: the folder of a run that has at least one checkpoint.
      config: the run's settings, with those of the command; None: the run's own.

    Raises:
      UserError: no run or no checkpoint there, other settings, or batch statistics that would have to be
        taken again from the training images.
    """
    if config is None:
        config = run_folder.complete_config(workdir)
    run_folder.check_same_config(workdir, config)
    if config.eval.batch_statistics == "reestimate":
        raise UserError(
            "config.eval.batch_statistics='reestimate' needs the training images: only `evaluate` can do it; "
            "use 'running'."
        )
    class_names = run_folder.read_info(workdir).class_names
    variables, step = restore_weights(config, len(class_names), workdir)
    return Trained(
        workdir,
        config,
        class_names,
        build.create_network(config, len(class_names)),
        variables,
        step,
        configured_preparation(config.data),
        build.create_preprocess(config),
    )
