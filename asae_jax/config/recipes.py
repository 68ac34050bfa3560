"""Configurations out of files: included recipes, a user's Python file, the `config.json` of a run."""

import contextlib
import importlib.util
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from asae_jax import shipped
from asae_jax.config.fields import BY_NAME
from asae_jax.config.values import (
    RENAMED_SECTIONS,
    base_config,
    by_present_names,
    completed,
    flatten,
    set_field,
    value_of,
)
from asae_jax.errors import UserError, did_you_mean
from asae_jax.files import user_path
from asae_jax.json_files import CHECKSUM, read_object

CONFIG_FILE = "config.json"
"""The file of a run folder that holds every setting."""

RUN_FILE = "run.json"
"""The file of a run folder that holds its classes, the fingerprint of its data and the versions."""

_REMOVED = frozenset({"predict.lineages", "predict.tta"})
"""Settings of earlier versions that no longer exist: ignored where a `config.json` has them."""

_MOST_NAMED = 8  # of the unknown ones in a warning


def recipe(name: str) -> ConfigDict:
    """The configuration of an included recipe, such as "quickstart".

    Raises:
      UserError: no such recipe.
    """
    return load_recipe(recipe_file(name))


def recipe_file(name: str) -> Path:
    """The file of an included recipe.

    Raises:
      UserError: no such recipe; the nearest names are given.
    """
    return shipped.one_of(shipped.recipes(), name, "recipe")


def load_recipe(file: Path) -> ConfigDict:
    """What `get_config()` of a Python file returns, or the `config.json` of a run holds.

    Every setting that it lacks has its default.

    Raises:
      UserError: the file has no `get_config`, or fails; or it sets what does not exist.
    """
    if file.suffix.lower() == ".json":
        return _given_settings_of_a_run(file)
    spec = importlib.util.spec_from_file_location(f"recipe_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"{file} is no configuration file: give a Python file with get_config().")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        given = module.get_config()
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"configuration file {file} fails: {type(error).__name__}: {error}; see `asae list` for the "
            "included ones."
        ) from error
    if not isinstance(given, Mapping | ConfigDict) or not all(isinstance(name, str) for name in given):
        raise UserError(
            f"{file}: get_config() must return the configuration, sections with settings, but returns "
            f"{type(given).__name__}: is its last line `return config`?"
        )
    config = base_config()
    for name, value in flatten(given).items():
        set_field(config, name, value)
    return config


def read_run_config(workdir: Path) -> ConfigDict:
    """The settings of the run in `workdir`; what has been added since it was trained has its default.

    Settings that do not exist are left out: `warn_of_unknown` names them.

    Raises:
      UserError: there is no run, or its settings are damaged.
    """
    path = workdir / CONFIG_FILE
    if not path.exists():
        raise UserError(
            f"no run in {workdir} (no {CONFIG_FILE}); train first, or name the run by --workdir=DIR."
        )
    return _settings_of_a_run(path, remedy=_REMEDY)


_REMEDY = "restore it, or train the run again"


def warn_of_unknown(workdir: Path) -> None:
    """Warns by name of settings of a run or model that do not exist here, as a later version has others.

    Those that existed once are passed over.

    Raises:
      UserError: as `read_run_config`.
    """
    file = workdir / CONFIG_FILE
    unknown = _unknown(_recorded(file, remedy=_REMEDY))
    if unknown:
        more = f" and {len(unknown) - _MOST_NAMED} more" * (len(unknown) > _MOST_NAMED)
        warnings.warn(
            f"{file} has settings that this version does not know, and ignores: "
            f"{', '.join(unknown[:_MOST_NAMED])}{more}; results may differ from those of the version that "
            "wrote it",
            stacklevel=1,  # one place for all callers: it is said once
        )


def _given_settings_of_a_run(file: Path) -> ConfigDict:
    """The content of a `config.json` that is to be used as a recipe: all its settings must exist.

    Raises:
      UserError: a damaged file, or a setting that does not exist; the nearest names are given.
    """
    remedy = "give the config.json of a run, or a Python file"
    config = _settings_of_a_run(file, remedy=remedy)
    for name in _unknown(_recorded(file, remedy=remedy)):
        raise UserError(
            f"config.{name} in {file} does not exist.{did_you_mean(name, BY_NAME, '--config.')} Correct or "
            f"delete it there, and delete the entry {CHECKSUM!r}; or use the version that wrote the file."
        )
    set_field(config, "train.max_steps", BY_NAME["train.max_steps"].default)  # of one start, not of the run
    return config


def _unknown(names: Iterable[str]) -> list[str]:
    """Those of the settings that neither exist nor ever did."""
    return [name for name in names if name not in BY_NAME and name not in _REMOVED]


def _settings_of_a_run(path: Path, *, remedy: str) -> ConfigDict:
    """The content of a `config.json`, which somebody else may have made: it does not say where to write."""
    config = _recorded_settings(path, remedy=remedy)
    for name in _refused_places(config):
        set_field(config, name, BY_NAME[name].default)
    return config


def _recorded_settings(path: Path, *, remedy: str) -> ConfigDict:
    """The content of a `config.json`, completed; 128.0, as other programs write whole numbers, is 128."""
    values = {name: _whole(name, value) for name, value in _recorded(path, remedy=remedy).items()}
    try:
        return completed(values)
    except UserError as error:
        raise UserError(f"{path} is damaged, {str(error).rstrip('.')}: {remedy}.") from error


def _whole(name: str, value: Any) -> Any:
    """The value of a setting; as a whole number if the setting is one, and the value is."""
    whole = name in BY_NAME and type(BY_NAME[name].default) is int
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value


def _recorded(path: Path, *, remedy: str) -> dict[str, Any]:
    """Present name -> value of every setting that a `config.json` has, also of those that do not exist."""
    content = read_object(path, remedy=remedy)
    there = {name for name, value in content.items() if isinstance(value, dict)}
    if missing := sorted(_ALWAYS_THERE - {RENAMED_SECTIONS.get(name, name) for name in there}):
        raise UserError(f"{path} is damaged, it has no section {missing[0]!r}: {remedy}.")
    try:
        return by_present_names(content)
    except RecursionError:
        raise UserError(
            f"{path} is damaged, it has objects within each other without end: {remedy}."
        ) from None


def _refused_places(config: ConfigDict) -> dict[str, str]:
    """The places of a `config.json` that are not taken over: the command's default stands for them."""
    places = {
        name: value for name in BY_NAME if name.endswith(".output") and (value := value_of(config, name))
    }
    cache = config.data.cache_dir
    if cache and not user_path(cache).is_dir():  # of another machine, or of nobody
        places["data.cache_dir"] = cache
    return places


def refused_places(file: Path) -> dict[str, str]:
    """The places that a run's `config.json` names and that are not taken over, for whoever would use them.

    Args:
      file: the `config.json`; where it is missing or damaged there are none.

    Returns:
      `section.field` -> the path that the file holds: every `output`, as somebody else may have made the
      file, and a `data.cache_dir` that is not there.
    """
    with contextlib.suppress(UserError, OSError):
        return _refused_places(_recorded_settings(file, remedy=""))
    return {}


_ALWAYS_THERE = frozenset({"data", "augment", "model", "loss", "optimizer", "train"})
"""Sections that every version has written: without one, defaults would stand for what was trained."""
