"""What cannot work is refused: each setting by its field, and settings that do not go together."""

import math

from ml_collections import ConfigDict

from asae_jax.config.fields import (
    BRANCHES,
    FIELDS,
    LAST_PLACES,
    LAST_STAGE,
    LONGEST_NAME,
    SOURCES,
    SPLITS,
    TFDS,
    is_source,
)
from asae_jax.config.values import branch_names, colour_of, value_of
from asae_jax.errors import UserError

_LARGEST = 2**31 - 1
"""Of whole numbers without another limit: JAX counts in 32 bits."""


def check(config: ConfigDict) -> None:
    """Raises a UserError that names the first setting which cannot work, its value, and what is allowed."""
    for field in FIELDS:
        value = value_of(config, field.name)
        _require(field.accepts(value), config, field.name, f"allowed: {field.allowed()}")
        too_large = type(field.default) is int and math.isinf(field.most) and abs(value) > _LARGEST
        _require(not too_large, config, field.name, f"allowed: at most {_LARGEST}")
    _check_data(config)
    _check_eval_name(config)
    _check_network(config)
    _require(config.augment.size <= config.data.stored_size, config, "augment.size",
             f"it must not exceed config.data.stored_size={config.data.stored_size}")  # fmt: skip
    _check_batches(config)
    _require(config.augment.scale_min <= config.augment.scale_max, config, "augment.scale_min",
             f"it must not exceed config.augment.scale_max={config.augment.scale_max}")  # fmt: skip
    _require(not 0 < config.augment.jpeg < 1, config, "augment.jpeg", "0 for none, or at least 1")
    _check_test(config)


def check_new(config: ConfigDict) -> None:
    """`check`, and what only a run that is still to be trained is refused for.

    Settings that would have no effect. Runs already trained with them stay usable.
    """
    check(config)
    given, epochs = config.optimizer, config.train.epochs
    _require(given.warmup_epochs <= (epochs or math.inf), config, "optimizer.warmup_epochs",
             f"it must not exceed config.train.epochs={epochs}")  # fmt: skip
    model = config.model
    joint = model.branching == "asae" and model.branch_statistics == "joint"
    _require(not joint or model.running_statistics == "all", config, "model.running_statistics",
             "with config.model.branch_statistics=joint all branches have one set of statistics, use all, or "
             "branch_statistics=separate")  # fmt: skip


def _check_test(config: ConfigDict) -> None:
    mode, branches, norm = config.eval.test_mode, config.asae.branches, config.model.norm
    _require(config.uncertainty.outliers != "energy" or mode not in ("mean", "second_look"), config,
             "uncertainty.outliers",
             f"a mean of probabilities (config.eval.test_mode={mode}) has no energy, "
             "use distance")  # fmt: skip
    enhances = config.model.branching != "asae" or "enhance" in branch_names(config)
    _require(mode != "enhance" or enhances, config, "eval.test_mode",
             f"no branch of config.asae.branches={branches} is enhanced in training, so there is nothing to "
             "keep; use skip")  # fmt: skip
    if config.eval.batch_statistics == "reestimate":
        _require(norm == "batch", config, "eval.batch_statistics",
                 f"config.model.norm={norm} takes no statistics of a batch, use running")  # fmt: skip
        _require(config.init.freeze != LAST_STAGE, config, "eval.batch_statistics",
                 f"config.init.freeze={LAST_STAGE} keeps all statistics, use running")  # fmt: skip


_MOST_PIXELS = {"train.batch_size": 2**31, "eval.batch_size": 2**28}
"""Of a batch: 42,000 images of 224 pixels over all hosts; 5,000 where settings may be somebody else's."""


def _check_batches(config: ConfigDict) -> None:
    side = max(config.data.stored_size, config.augment.size)
    for name, pixels in _MOST_PIXELS.items():
        most = pixels // side**2
        _require(value_of(config, name) <= most, config, name,
                 f"images of {side} pixels a side allow at most {most:,}")  # fmt: skip


def _check_data(config: ConfigDict) -> None:
    data, known = config.data, f"allowed: one of {', '.join(SOURCES)}"
    _require(is_source(data.source), config, "data.source", known)
    _require(not config.eval.source or is_source(config.eval.source), config, "eval.source", known)
    _require(data.test_fraction + data.validation_fraction < 1, config, "data.test_fraction",
             "test and validation share must leave something to train on")  # fmt: skip
    _require(not data.group_feature or data.source.startswith(TFDS), config, "data.group_feature",
             "it is a feature of a source tfds:NAME")  # fmt: skip
    _require(data.groups != "folders" or data.source == "folder", config, "data.groups",
             "only a folder of class folders has folders inside of them, use config.data.source=folder, or "
             "config.data.groups=given")  # fmt: skip
    other = config.eval
    _require(other.groups != "folders" or other.source in ("", "folder"), config, "eval.groups",
             "only a folder of class folders has folders inside of them, use "
             "config.eval.groups=given")  # fmt: skip
    _require(not other.group_feature or other.source.startswith(TFDS), config, "eval.group_feature",
             "it is a feature of another source tfds:NAME (config.eval.source)")  # fmt: skip
    _require(data.folds != 1, config, "data.folds", "0 for no cross-validation, or at least 2")
    _require(data.fold < max(data.folds, 1), config, "data.fold",
             f"it counts from 0, and there are {data.folds} folds (config.data.folds)")  # fmt: skip
    _require(data.hue_low <= data.hue_high, config, "data.hue_low",
             f"it must not exceed config.data.hue_high={data.hue_high}")  # fmt: skip
    _require(data.stain == "none" or data.hue == "none", config, "data.stain",
             f"config.data.hue={data.hue} changes the colours too, set one of them to none")  # fmt: skip
    try:
        colour_of(data.background)
    except ValueError:
        _require(False, config, "data.background",
                 "give red, green and blue, above 0 and up to 255, as 255,230,207, or nothing")  # fmt: skip


def _check_eval_name(config: ConfigDict) -> None:
    name, given = config.eval.name, config.eval
    fits = name.isprintable() and name == name.strip() and len(name) <= LONGEST_NAME
    _require(fits and not name.startswith(".") and not set(name) & set('/\\:*?"<>|'), config, "eval.name",
             f"it names files, give letters, digits, - and _, at most {LONGEST_NAME}")  # fmt: skip
    reserved = name.lower() in SPLITS and (bool(given.source) or name != given.split)
    what = f"config.eval.source={given.source}" if given.source else f"the part {given.split}"
    _require(not reserved, config, "eval.name",
             f"it is reserved for a part of the run's own data, and this scores {what}; "
             "give another, or none")  # fmt: skip


def _check_network(config: ConfigDict) -> None:
    branches = branch_names(config)
    _require(config.asae.window % 2 == 1, config, "asae.window", "it must be odd")
    _require(set(branches) <= set(BRANCHES), config, "asae.branches",
             f"name any of {', '.join(BRANCHES)}, separated by commas")  # fmt: skip
    if config.model.branching == "asae" and config.model.running_statistics == "plain":
        _require("plain" in branches, config, "asae.branches",
                 "config.model.running_statistics=plain needs plain among them")  # fmt: skip
    _require(bool(config.init.pretrained) or not config.init.freeze, config, "init.freeze",
             "random weights are not worth keeping, set config.init.pretrained too")  # fmt: skip
    if config.init.views:
        _check_views(config)
    if config.model.branching == "asae":
        _check_layer(config, branches)


def _check_views(config: ConfigDict) -> None:
    """What lies behind the frozen stages can be kept if nothing random but the views acts in front of it."""
    frozen, after = config.init.freeze, config.model.insert_after
    _require(bool(frozen), config, "init.views",
             "there are no frozen stages to keep the features of, set config.init.freeze too")  # fmt: skip
    behind = config.model.branching == "none" or after == "class_maps" or after >= frozen
    _require(behind, config, "init.views",
             f"the layer after {after} lies before the end of config.init.freeze={frozen}, freeze less or "
             f"set config.model.insert_after={frozen}")  # fmt: skip
    _require(config.augment.mix == "none", config, "init.views",
             f"config.augment.mix={config.augment.mix} mixes images, set it to none")  # fmt: skip
    _require(config.data.cache, config, "init.views",
             "the features are kept in the cache, set config.data.cache=True")  # fmt: skip


def _check_layer(config: ConfigDict, branches: tuple[str, ...]) -> None:
    asae, model = config.asae, config.model
    _require(asae.ramp_epochs <= (config.train.epochs or math.inf), config, "asae.ramp_epochs",
             f"it must not exceed config.train.epochs={config.train.epochs}")  # fmt: skip
    _require(asae.place == "peak" or config.eval.test_mode != "mean", config, "asae.place",
             "nothing is drawn at test, where config.eval.test_mode=mean hides the highest peak; use "
             "another test_mode")  # fmt: skip
    if model.branch_affine == "shared":
        return
    _require("plain" in branches and len(branches) > 1, config, "asae.branches",
             "config.model.branch_affine=separate needs plain and at least one other among them")  # fmt: skip
    _require(len(set(branches)) == len(branches), config, "asae.branches",
             "config.model.branch_affine=separate needs each branch once")  # fmt: skip
    needs = {"norm": "batch", "branch_statistics": "separate", "running_statistics": "plain"}
    for name, value in needs.items():
        _require(model[name] == value, config, f"model.{name}",
                 f"config.model.branch_affine=separate needs {value}")  # fmt: skip
    _require(model.insert_after not in LAST_PLACES, config, "model.insert_after",
             "config.model.branch_affine=separate needs batch normalisation behind the layer")  # fmt: skip
    _require(config.init.freeze not in LAST_PLACES, config, "init.freeze",
             "config.model.branch_affine=separate needs a stage that learns behind the layer")  # fmt: skip
    _require(config.eval.test_mode in ("skip", "second_look"), config, "eval.test_mode",
             "config.model.branch_affine=separate keeps the plain branch's scale and bias alone, use "
             "skip")  # fmt: skip


def _require(condition: bool, config: ConfigDict, name: str, remedy: str) -> None:
    if not condition:
        raise UserError(f"config.{name}={value_of(config, name)!r} cannot be used: {remedy}.")
