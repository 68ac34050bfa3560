"""From a configuration and a row to the configuration of its runs, and to the command that trains one."""

import json
import sys
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from asae_jax.config import BY_NAME, SECTIONS, base_config, copy_with, decides_weights, flatten, recipe
from asae_jax.errors import quoted
from asae_jax.experiments.rows import PLAIN, Row
from asae_jax.shipped import without_place

PRESETS = {"": "", "small": "comparison", "paper": "resnet50_asae"}
"""`reproduce.preset` -> recipe; none: the configuration as it is given."""

_KEPT = (
    "data.source", "data.path", "data.unseen", "data.class_map", "data.group_feature", "data.groups",
    "data.num_examples", "data.classes", "data.specimen",
    "data.synthetic_seed", "data.test_fraction", "data.validation_fraction", "data.split_by", "data.folds",
    "data.fold", "data.split_seed", "data.cache", "data.cache_dir", "data.driver", "data.workers",
    "init.pretrained", "init.freeze", "init.views", "init.views_dtype", "init.head_rate",
    "model.remat", "train.batch_size", "train.log_every", "train.checkpoint_every", "train.distributed",
    "eval.batch_size", "eval.bootstrap", "eval.checkpoint", "eval.select_by",
    *(name for name in BY_NAME if name.startswith("uncertainty.")),
)  # fmt: skip
# What a row with a recipe of its own takes from the given configuration.
_TESTED = (
    "eval.test_mode",
    "eval.look_threshold",
    "eval.tta",
    "eval.batch_statistics",
    "eval.reestimate_batches",
)
# Change scores, and no weights.
_COSTLY = ("train.epochs", "model.name", "model.width", "augment.size", "data.stored_size")
_PATHS = ("data.path", "data.cache_dir")
_NAMED_FILES = ("data.class_map", "data.classes", "init.pretrained", "eval.path", "eval.class_map")
# May be paths, and of these the last name is worth knowing.
_PUBLIC_SECTIONS = {section.name for section in SECTIONS if section.trains} | {"eval", "uncertainty"}


def with_preset(config: ConfigDict) -> ConfigDict:
    """`config` with the preset's value in every field that it leaves at its default."""
    name = config.reproduce.preset
    if not name:
        return config
    given, default = flatten(config), flatten(base_config())
    changes = {field: value for field, value in flatten(recipe(PRESETS[name])).items()
               if field != "seed" and given[field] == default[field]}  # fmt: skip
    return copy_with(config, changes)


def row_config(base: ConfigDict, row: Row, *, seed: int) -> ConfigDict:
    """The configuration of a run of `row`.

    Args:
      base: the configuration that all rows share.
      row: the method to run.
      seed: of the initial weights, the sampler and the augmentation.

    Raises:
      UserError: a setting that does not exist.
    """
    given = flatten(base)
    if row.file:
        start = copy_with(recipe(row.file), {field: given[field] for field in _KEPT})
    else:
        start = copy_with(base, PLAIN)
    main = base.model.name
    settings = {field: value.format(main=main) if isinstance(value, str) else value
                for field, value in row.settings.items()}  # fmt: skip
    config = copy_with(start, settings)
    config.seed = seed
    return config


def overruled(base: ConfigDict, row: Row) -> dict[str, tuple[Any, Any]]:
    """What of `base` does not count for a row: setting -> (given, of the row).

    Of a row with a recipe of its own it is all in which that differs. Of another one it is what the tables
    vary (`PLAIN`), where something else than the default, which is the paper's, is given. The settings that
    decide most about duration come first.
    """
    given, default = flatten(base), flatten(base_config())
    own = flatten(recipe(row.file)) if row.file else {**default, **PLAIN, **row.settings}
    names = [name for name in given if given[name] != own[name]]
    if row.file:
        counts = (*_KEPT, *row.settings, "seed")
        names = [name for name in names if name not in counts and (decides_weights(name) or name in _TESTED)]
    else:
        names = [name for name in names if name in PLAIN and given[name] != default[name]]
    names.sort(key=lambda name: name not in _COSTLY)
    return {name: (given[name], own[name]) for name in names}


def training_settings(config: ConfigDict) -> str:
    """A text that is equal for two configurations exactly when their runs and scores are equal."""
    fields = {
        name: value
        for name, value in flatten(config).items()
        if name != "seed" and (decides_weights(name) or name.startswith("eval."))
    }
    return json.dumps(fields, sort_keys=True)


def command_of(config: ConfigDict, folder: Path) -> list[str]:
    """The command line that trains `config` in `folder`: what a user would type, with every setting."""
    return [sys.executable, "-m", "asae_jax", "train", "--config=default", f"--workdir={folder}",
            *options(config)]  # fmt: skip


def options(config: ConfigDict) -> list[str]:
    """The command-line options that turn the default configuration into `config`."""
    return [f"--config.{name}={value}" for name, value in _changed(config, None).items()]


def _changed(config: ConfigDict, beside: ConfigDict | None) -> dict[str, Any]:
    """The settings in which `config` differs from `beside`, or from the default configuration."""
    before = flatten(beside if beside is not None else base_config())
    return {name: value for name, value in flatten(config).items() if before[name] != value}


def public_options(config: ConfigDict, *, beside: ConfigDict | None = None) -> list[str]:
    """The options that turn `beside`, or the default configuration, into `config`, for readers elsewhere.

    They are as they are typed in a shell, without seed, places on this machine and settings of other
    commands. Of a file or folder that is named its last name is left; of the data, which every reader has
    elsewhere, nothing.
    """
    return [
        quoted(f"--config.{name}={without_place(value) if name in _NAMED_FILES else value}")
        for name, value in _changed(config, beside).items()
        if name not in (*_PATHS, "seed") and name.rpartition(".")[0] in _PUBLIC_SECTIONS
    ]
