"""From a configuration and a row to the configuration of its runs, and to the command that trains one."""

import copy
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.experiments.rows import PLAIN, Row, Settings
from asae_jax.training import run_folder

PRESETS = {"": "", "small": "comparison", "paper": "resnet50_asae"}
"""`reproduce.preset` -> recipe; none: the configuration as it is given."""

_KEPT = (
    "data.source", "data.path", "data.class_map", "data.group_feature", "data.num_examples",
    "data.synthetic_seed", "data.test_fraction", "data.validation_fraction", "data.split_by", "data.folds",
    "data.fold", "data.split_seed", "data.cache", "data.cache_dir", "data.driver", "data.workers",
    "init.pretrained", "init.freeze", "init.head_rate",
    "train.batch_size", "train.log_every", "train.checkpoint_every",
    "eval.batch_size", "eval.bootstrap", "eval.checkpoint", "eval.select_by",
)  # fmt: skip
# What a row with a recipe of its own takes from the given configuration.
_PATHS = ("data.path", "data.cache_dir")


def with_preset(config: ConfigDict) -> ConfigDict:
    """`config` with the preset's value in every field that it leaves at its default.

    Raises:
      UserError: an unknown preset.
    """
    name = config.reproduce.preset
    if name not in PRESETS:
        choices = ", ".join(filter(None, PRESETS))
        raise UserError(
            f"config.reproduce.preset={name!r} cannot be used: choose one of {choices}, or leave it out."
        )
    if not name:
        return config
    given, default = flat(config), flat(file_config("default"))
    changes = {field: value for field, value in flat(file_config(PRESETS[name])).items()
               if field != "seed" and given[field] == default[field]}  # fmt: skip
    return changed(config, changes)


def row_config(base: ConfigDict, row: Row, *, seed: int) -> ConfigDict:
    """The configuration of a run of `row`.

    Args:
      base: the configuration that all rows share.
      row: the method to run.
      seed: of the initial weights, the sampler and the augmentation.

    Raises:
      UserError: a setting that does not exist.
    """
    given = flat(base)
    if row.file:
        start = changed(file_config(row.file), {field: given[field] for field in _KEPT})
    else:
        start = changed(base, PLAIN)
    main = base.model.name
    settings = {field: value.format(main=main) if isinstance(value, str) else value
                for field, value in row.settings.items()}  # fmt: skip
    config = changed(start, settings)
    config.seed = seed
    return config


def changed(config: ConfigDict, settings: Settings) -> ConfigDict:
    """A copy of `config` with `settings`.

    Raises:
      UserError: a setting that does not exist.
    """
    config = ConfigDict(copy.deepcopy(config.to_dict()))
    for name, value in settings.items():
        section, field = name.split(".")
        if field not in config[section]:
            raise UserError(f"config.{name} does not exist; this version cannot run a row that sets it.")
        config[section][field] = value
    return config


def training_settings(config: ConfigDict) -> str:
    """A text that is equal for two configurations exactly when their runs and scores are equal."""
    fields = flat(config)
    for name in list(fields):
        section = name.partition(".")[0]
        of_other_command = section in run_folder.OF_OTHER_COMMANDS and section != "eval"
        if name in run_folder.NEUTRAL or of_other_command or name == "seed":
            del fields[name]
    return json.dumps(fields, sort_keys=True)


def command_of(config: ConfigDict, folder: Path) -> list[str]:
    """The command line that trains `config` in `folder`: what a user would type, with every setting."""
    return [sys.executable, "-m", "asae_jax", "train", f"--config={default_file()}", f"--workdir={folder}",
            *options(config)]  # fmt: skip


def options(config: ConfigDict, *, beside: ConfigDict | None = None) -> list[str]:
    """The command-line options that turn `beside`, or the default configuration, into `config`."""
    before = flat(beside if beside is not None else file_config("default"))
    return [f"--config.{name}={value}" for name, value in flat(config).items() if before[name] != value]


def public_options(config: ConfigDict, *, beside: ConfigDict | None = None) -> list[str]:
    """`options` for readers elsewhere: without seed, paths of this machine and the grid's own settings."""
    hidden = (*(f"--config.{path}=" for path in _PATHS), "--config.reproduce.", "--config.seed=")
    return [option for option in options(config, beside=beside) if not option.startswith(hidden)]


# The only functions that know where configurations are kept, and how they are flattened.


def flat(config: ConfigDict) -> dict[str, Any]:
    """`section.field` -> value of every setting."""
    return dict(_flat(config.to_dict(), ""))


def _flat(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def file_config(name: str) -> ConfigDict:
    """The configuration of configs/NAME.py."""
    return importlib.import_module(f"configs.{name}").get_config()


def default_file() -> Path:
    """The path of configs/default.py."""
    return Path(str(importlib.import_module("configs.default").__file__))
