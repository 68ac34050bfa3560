"""The weights that training starts from: random, from a file of PyTorch's, from a run or a model."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from asae_jax.config import flatten, read_run_config, warn_of_unknown
from asae_jax.errors import UserError, did_you_mean
from asae_jax.files import disk_errors, user_path
from asae_jax.input.exact_duplicates import is_among, recorded_contents
from asae_jax.input.run_split import SPLITS_FILE
from asae_jax.json_files import write_json
from asae_jax.models import pretrained, weights
from asae_jax.models.auxiliary_norm import copied_to_auxiliary, without_auxiliary
from asae_jax.run import build, folder, weights_file
from asae_jax.run.adaptation import classes_given, read_adaptation
from asae_jax.run.checkpoint import read_variables
from asae_jax.run.data import Data
from asae_jax.run.model_folder import holds_model
from asae_jax.run.state import TrainState
from asae_jax.shipped import models

RECORD_FILE = "pretrained.json"

_IMAGES = ("augment.size", "data.stored_size", "data.scale", "data.background", "data.hue", "data.stain")
"""Settings that decide what images a network is used to."""

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
        (workdir / RECORD_FILE).unlink(missing_ok=True)  # of a start that failed here
        return state, ""
    own = {"params": state.params, "batch_stats": state.batch_stats}
    main = without_auxiliary(own)
    loaded, origin = _load(config, main, class_names)
    variables = copied_to_auxiliary(jax.device_put(loaded.put_into(main)), own)
    # A copy: the step donates its state, and a buffer can be donated once only.
    average = None if state.average is None else jax.tree.map(jnp.copy, variables)
    record = origin | {"taken": len(loaded.arrays), "missing": loaded.missing, "unused": loaded.unused}
    with disk_errors(f"write to {workdir}", remedy="choose another --workdir=DIR"):
        write_json(workdir / RECORD_FILE, record)
    return state.replace(average=average, **variables), _summary(loaded, origin, config)


def _load(
    config: ConfigDict, like: Mapping[str, Any], class_names: Sequence[str] | None
) -> tuple[weights.Weights, dict[str, Any]]:
    """The weights that fit `like`, and where they come from."""
    try:
        path = _place(config.init.pretrained)
        load = _from_run if path.is_dir() else _from_file
    except UserError as error:
        raise UserError(f"config.init.pretrained: {error}") from error
    try:
        loaded, origin = load(path, config.model.name, like, class_names)
        if path.is_dir():
            _check_normalisation(path, config)
        return loaded, origin
    except UserError as error:
        raise UserError(f"config.init.pretrained: {error}{_needed(path, config)}") from error


def _place(given: str) -> Path:
    """The file or folder that `init.pretrained` means, also by the name of a package's weights or a model."""
    if given in pretrained.PACKAGES:
        return pretrained.installed_file(given)
    path = models().get(given, user_path(given))
    if not path.exists() and not path.suffix and len(path.parts) == 1:
        near = did_you_mean(given, [*models(), *pretrained.PACKAGES])
        raise UserError(
            f"no file, folder or model {given!r}.{near} `asae list` shows the models that are included."
        )
    return path


def _needed(place: Path, config: ConfigDict) -> str:
    """The settings that give the network of a run or model, where this one's differ, in a sentence."""
    try:
        if not place.is_dir():
            return ""
        options = _other_settings(place, config, build.network_settings(read_run_config(place)))
    except UserError:  # which is the error that is being raised
        return ""
    return f" These weights need {options}." if options else ""


def _other_settings(workdir: Path, config: ConfigDict, names: Sequence[str]) -> str:
    """Those of the settings `names` in which the run in `workdir` differs from `config`, as options."""
    there, here = flatten(read_run_config(workdir)), flatten(config)
    return " ".join(f"--config.{name}={there[name]}" for name in names if there[name] != here[name])


def _check_normalisation(workdir: Path, config: ConfigDict) -> None:
    """Raises a UserError when a run's network saw images normalised in another way than this one will."""
    there = build.normalisation(source := read_run_config(workdir))
    if there != build.normalisation(config):
        raise UserError(
            f"{workdir} was trained with other means and deviations of the colours "
            f"(augment.normalisation={source.augment.normalisation} with {source.model.name}); set "
            f"config.augment.normalisation={build.normalisation_name(source)}."
        )


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
    warn_of_unknown(workdir)
    variables, step = weights_file.read(workdir) if holds_model(workdir) else read_variables(workdir, "best")
    record = folder.read_record(workdir)
    gives = classes_given(read_adaptation(workdir), record.class_names)  # others have logits near -600
    same_classes = gives == record.class_names == tuple(class_names or ())
    loaded = weights.from_variables(variables, like, model, origin=str(workdir), keep_head=same_classes)
    digest = {"sha256": record.weights_sha256} if record.weights_sha256 else {}
    return loaded, {"run": str(workdir), "step": step, **digest}


def warn_of_known_images(config: ConfigDict, data: Data) -> None:
    """Points out images kept for scoring that the run which training starts from was trained on.

    Of a model folder this cannot be told.

    Raises:
      UserError: that run's record of its split cannot be read.
    """
    record = _place(config.init.pretrained) / SPLITS_FILE if config.init.pretrained else None
    if record is None or not record.is_file():
        return
    try:
        known = recorded_contents(record, "train")
    except UserError as error:
        raise UserError(f"config.init.pretrained: {error}") from error
    for part in ("test", "validation"):
        rows = data.indices(part)
        if count := int(is_among(data.index.contents[rows], known).sum()):
            warnings.warn(
                f"{count:,} of the {len(rows):,} {part} images are among those that {config.init.pretrained} "
                "was trained on, so their scores are no measure of new images: take its split over (a list "
                "with a column split, or the same images and seed), or start from another",
                stacklevel=2,
            )


def _source(origin: Mapping[str, Any]) -> str:
    if "file" in origin:
        return origin["file"]
    name = next((name for name, place in models().items() if str(place) == origin["run"]), "")
    return f"the included model {name}" if name else f"step {origin['step']:,} of {origin['run']}"


def _summary(loaded: weights.Weights, origin: Mapping[str, Any], config: ConfigDict) -> str:
    parts = [_source(origin)]
    if loaded.missing:
        parts.append("the last layer is new, as there it is missing, of other classes or gives only some")
    if unused := [name for name in loaded.unused if name not in loaded.missing]:
        more = f" and {len(unused) - _NAMED} more" if len(unused) > _NAMED else ""
        parts.append(f"not used: {', '.join(unused[:_NAMED])}{more}")
    if "run" in origin:
        place = Path(origin["run"])
        names = dict.fromkeys((*build.network_settings(read_run_config(place)), *_IMAGES))
        if differing := _other_settings(place, config, [*names]):
            parts.append(f"trained with {differing}")
    return f"training starts from {'; '.join(parts)} (all names: {RECORD_FILE})"
