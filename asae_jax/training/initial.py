"""The weights that training starts from: random, from a file of PyTorch's, or from another run."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from asae_jax.config import read_run_config
from asae_jax.errors import UserError
from asae_jax.files import user_path, write_json
from asae_jax.models import weights
from asae_jax.models.auxiliary_norm import copied_to_auxiliary, without_auxiliary
from asae_jax.run import build, folder
from asae_jax.run.checkpoint import Checkpoints
from asae_jax.run.state import TrainState

RECORD_FILE = "pretrained.json"

_NAMED = 6
"""Arrays that the summary names one by one; all of them are in the record."""


def check(config: ConfigDict) -> None:
    """Raises a UserError when `init.pretrained` cannot be read or holds another architecture.

    Meant for before a run folder is opened; nothing is known about the classes yet.
    """
    if config.init.pretrained:
        _load(config, build.variable_shapes(config, 1), class_names=None)


def start(
    state: TrainState, config: ConfigDict, class_names: Sequence[str], workdir: Path
) -> tuple[TrainState, str]:
    """The state of step 0 with `init.pretrained` in it, and what to say about it.

    The head stays random where the classes differ: their number, or, from another run, their names. What was
    taken, what is missing and what was not used is written to `pretrained.json` in `workdir`.

    Args:
      state: as initialised.
      config: of the run.
      class_names: of the run.
      workdir: the run folder.

    Returns:
      The state and a summary; the same state and "" when there is nothing to start from.

    Raises:
      UserError: weights that cannot be read or that belong to another architecture.
    """
    if not config.init.pretrained:
        return state, ""
    own = {"params": state.params, "batch_stats": state.batch_stats}
    main = without_auxiliary(own)
    loaded, origin = _load(config, main, class_names)
    variables = copied_to_auxiliary(jax.tree.map(jnp.asarray, loaded.put_into(main)), own)
    # A copy: the step donates its state, and a buffer can be donated once only.
    average = None if state.average is None else jax.tree.map(jnp.copy, variables)
    record = origin | {"taken": len(loaded.arrays), "missing": loaded.missing, "unused": loaded.unused}
    write_json(workdir / RECORD_FILE, record)
    return state.replace(average=average, **variables), _summary(loaded, origin)


def _load(
    config: ConfigDict, like: Mapping[str, Any], class_names: Sequence[str] | None
) -> tuple[weights.Weights, dict[str, Any]]:
    """The weights that fit `like`, and where they come from."""
    path = user_path(config.init.pretrained)
    load = _from_run if path.is_dir() else _from_file
    try:
        return load(path, config.model.name, like, class_names)
    except UserError as error:
        raise UserError(f"config.init.pretrained: {error}") from error


def _from_file(
    path: Path, model: str, like: Mapping[str, Any], _: Sequence[str] | None
) -> tuple[weights.Weights, dict[str, Any]]:
    loaded = weights.from_torch(weights.read_tensors(path), like, model, origin=str(path))
    with path.open("rb") as file:
        return loaded, {"file": str(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _from_run(
    workdir: Path, model: str, like: Mapping[str, Any], class_names: Sequence[str] | None
) -> tuple[weights.Weights, dict[str, Any]]:
    read_run_config(workdir)  # refuses what is not a run
    checkpoints = Checkpoints(workdir)
    try:
        if checkpoints.best is None:
            raise UserError(f"{workdir} has no checkpoint yet; let it train for an epoch.")
        step = checkpoints.best
        variables = checkpoints.restore_variables(step)
    finally:
        checkpoints.close()
    same_classes = folder.read_record(workdir).class_names == tuple(class_names or ())
    loaded = weights.from_variables(variables, like, model, origin=str(workdir), keep_head=same_classes)
    return loaded, {"run": str(workdir), "step": step}


def _summary(loaded: weights.Weights, origin: Mapping[str, Any]) -> str:
    source = origin["file"] if "file" in origin else f"step {origin['step']} of {origin['run']}"
    parts = [f"{len(loaded.arrays)} arrays from {source}"]
    if loaded.missing:
        parts.append(f"random (other classes): {', '.join(loaded.missing)}")
    if loaded.unused:
        more = f" and {len(loaded.unused) - _NAMED} more" if len(loaded.unused) > _NAMED else ""
        parts.append(f"not used: {', '.join(loaded.unused[:_NAMED])}{more}")
    return f"pretrained: {'; '.join(parts)} ({RECORD_FILE})"
