"""From configuration to objects: network, loss, augmentation, test-time preprocessing."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from asae_jax import augment, losses, trust
from asae_jax.errors import UserError
from asae_jax.input.sources import SOURCES, is_source
from asae_jax.models import BRANCHINGS, create_model
from asae_jax.models.network import Network
from asae_jax.training import optimizer
from asae_jax.training.data import SAMPLERS
from asae_jax.training.step import Mix
from asae_jax.types import Images

TEST_BRANCHES = {"skip": ("plain",), "enhance": ("enhance",), "mean": ("suppress", "enhance")}
"""What the later stages see at test, in the words of `asae.branches`."""

_MIXES = {"mixup": augment.mixup, "cutmix": augment.cutmix}

_CHOICES = {
    "data.hue": ("paper", "robust", "none"),
    "data.stain": ("none", "reinhard", "macenko"),
    "data.split_by": ("auto", "group", "image"),
    "data.sampler": tuple(SAMPLERS),
    "data.driver": ("auto", "tf.data", "threads"),
    "model.stem": ("imagenet", "no_pool", "small"),
    "model.norm": ("batch", "group", "frozen_batch"),
    "model.branch_statistics": ("separate", "joint"),
    "model.running_statistics": ("all", "plain"),
    "model.dtype": ("float32", "bfloat16"),
    "model.branching": (*BRANCHINGS, "none"),
    "eval.test_mode": tuple(TEST_BRANCHES),
    "asae.enhancement": ("sigmoid", "sigmoid_mean1"),
    "augment.mix": ("none", *_MIXES),
    "loss.name": losses.NAMES,
    "loss.branches": ("mean_probability", "mean_loss"),
    "optimizer.name": optimizer.OPTIMIZERS,
    "optimizer.schedule": optimizer.SCHEDULES,
    "eval.split": ("test", "validation", "train", "all"),
    "eval.checkpoint": ("best", "last"),
    "eval.select_by": ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"),
    "eval.batch_statistics": ("running", "reestimate"),
    "trust.conformal": trust.CONFORMAL_METHODS,
    "trust.outliers": trust.OUTLIER_METHODS,
    "explain.fill": ("border", "mean", "blur"),
}

_AT_LEAST = {
    "data.num_examples": 1,
    "data.stored_size": 8,
    "data.test_fraction": 0,
    "data.validation_fraction": 0,
    "data.folds": 0,
    "data.fold": 0,
    "data.workers": 0,
    "augment.size": 8,
    "augment.mix_alpha": 0,
    "model.width": 1,
    "init.head_rate": 0,
    "asae.num_candidates": 1,
    "asae.p_top1": 0,
    "asae.window": 1,
    "diversification.patch_size": 1,
    "loss.agreement": 0,
    "loss.k_high": 1,
    "loss.k_low": 0,
    "loss.gamma": 0,
    "loss.beta": 0,
    "loss.tau": 0,
    "optimizer.learning_rate": 0,
    "optimizer.momentum": 0,
    "optimizer.weight_decay": 0,
    "train.batch_size": 1,
    "train.epochs": 1,
    "train.log_every": 1,
    "train.validate_every": 1,
    "train.checkpoint_every": 1,
    "train.max_steps": 0,
    "eval.batch_size": 1,
    "eval.reestimate_batches": 1,
    "eval.bootstrap": 0,
    "predict.page_cells": 0,
    "trust.images_per_class": 2,
    "explain.num_images": 1,
    "explain.faithfulness_images": 0,
    "explain.random_regions": 1,
}


_SHARES = (
    "asae.p_top1",
    "adl.rate",
    "adl.threshold",
    "diversification.peak_rate",
    "diversification.patch_rate",
    "diversification.factor",
)


def check(config: ConfigDict) -> None:
    """Raises a UserError that names the first setting which cannot work, and what would."""
    for field, choices in _CHOICES.items():
        _require(_get(config, field) in choices, config, field, f"choose one of {', '.join(choices)}")
    for field, least in _AT_LEAST.items():
        _require(_get(config, field) >= least, config, field, f"it must be at least {least}")
    _check_data(config)
    _check_init(config)
    _check_trust(config)
    for field in _SHARES:
        _require(0 <= _get(config, field) <= 1, config, field, "it is a probability or a share, 0 to 1")
    _require(0 <= config.drop.rate < 1, config, "drop.rate", "it is a probability below 1")
    _require(config.drop.block_size > 0, config, "drop.block_size", "cells, or below 1 a share of the map")
    _require(config.asae.window % 2 == 1, config, "asae.window", "it must be odd")
    _require(config.asae.area > 0, config, "asae.area", "cells of the map, or below 1 a share of it")
    _require(set(_branches(config)) <= {"plain", "suppress", "enhance"}, config, "asae.branches",
             "name any of plain, suppress, enhance, separated by commas")  # fmt: skip
    if config.model.branching == "asae" and config.model.running_statistics == "plain":
        _require("plain" in _branches(config), config, "asae.branches",
                 "config.model.running_statistics=plain needs plain among them")  # fmt: skip
    _require(config.loss.beta < 1, config, "loss.beta", "it must be below 1")
    _require(config.augment.size <= config.data.stored_size, config, "augment.size",
             f"it must not exceed config.data.stored_size={config.data.stored_size}")  # fmt: skip
    _require(0 < config.augment.scale_min <= config.augment.scale_max <= 1, config, "augment.scale_min",
             "shares of the image's area with 0 < scale_min <= scale_max <= 1")  # fmt: skip


def _check_init(config: ConfigDict) -> None:
    stages = tuple(f"layer{i}" for i in range(5))
    _require(config.init.freeze in ("", *stages), config, "init.freeze",
             f"name the last stage to freeze, one of {', '.join(stages)}, or nothing")  # fmt: skip
    _require(bool(config.init.pretrained) or not config.init.freeze, config, "init.freeze",
             "random weights are not worth keeping, set config.init.pretrained too")  # fmt: skip


def _check_trust(config: ConfigDict) -> None:
    for field in ("trust.target_error", "trust.conformal_error", "trust.outlier_quantile"):
        _require(0 < _get(config, field) < 1, config, field, "it is a share between 0 and 1")
    _require(0 <= config.trust.certainty < 1, config, "trust.certainty", "it is a probability below 1")
    _require(config.trust.outliers != "energy" or config.eval.test_mode != "mean", config, "trust.outliers",
             "the mean over branches (config.eval.test_mode=mean) has no energy, use distance")  # fmt: skip


def _check_data(config: ConfigDict) -> None:
    known = f"choose one of {', '.join(SOURCES)}"
    _require(is_source(config.data.source), config, "data.source", known)
    _require(not config.eval.source or is_source(config.eval.source), config, "eval.source", known)
    _require(config.data.test_fraction + config.data.validation_fraction < 1, config, "data.test_fraction",
             "test and validation share must leave something to train on")  # fmt: skip
    _require(not config.data.group_feature or config.data.source.startswith("tfds:"), config,
             "data.group_feature", "it is a feature of a source tfds:NAME")  # fmt: skip
    _require(config.data.folds != 1, config, "data.folds", "0 for no cross-validation, or at least 2")
    _require(config.data.fold < max(config.data.folds, 1), config, "data.fold",
             f"it counts from 0, and there are {config.data.folds} folds (config.data.folds)")  # fmt: skip


def create_network(config: ConfigDict, num_classes: int, *, axis_name: str | None = None) -> Network:
    """The network of `config.model` and its layer, with the layer's own section."""
    model = config.model
    options: dict[str, Any] = {}
    if model.name.startswith("adl_"):
        options = {"adl_rate": config.adl.rate, "adl_threshold": config.adl.threshold}
    return _network(
        config,
        model.name,
        num_classes,
        axis_name,
        model.branching,
        _branches(config),
        model.branch_statistics,
        **options,
    )


def create_test_network(config: ConfigDict, num_classes: int, *, axis_name: str) -> Network:
    """A network that in training mode computes what `create_network`'s does at test.

    Its batch statistics are joint, as one set of running statistics serves all branches of a test. Of the
    layers only ASAE can be there at test; a ResNet with ADL is the plain one.
    """
    name = config.model.name.removeprefix("adl_")
    branching = "asae" if config.model.branching == "asae" else "none"
    branches = TEST_BRANCHES[config.eval.test_mode]
    return _network(config, name, num_classes, axis_name, branching, branches, "joint")


def _network(
    config: ConfigDict,
    name: str,
    num_classes: int,
    axis_name: str | None,
    branching: str,
    branches: tuple[str, ...],
    branch_statistics: str,
    **options: Any,
) -> Network:
    model = config.model
    return create_model(
        name,
        num_classes,
        norm=model.norm,
        branch_statistics=branch_statistics,
        running_branch=_running_branch(config, branches),
        dtype=jnp.dtype(model.dtype),
        axis_name=axis_name,
        branching=None if branching == "none" else branching,
        branching_options=_layer_options(config, branching, branches),
        insert_after=model.insert_after,
        test_mode=config.eval.test_mode,
        freeze_until=config.init.freeze or None,
        stem=model.stem,
        width=model.width,
        **options,
    )


def _layer_options(config: ConfigDict, branching: str, branches: tuple[str, ...]) -> dict[str, Any]:
    """The fields of the layer `branching`, from its section."""
    if branching == "asae":
        layer = config.asae
        return {
            "window": layer.window,
            "num_candidates": layer.num_candidates,
            "p_top1": layer.p_top1,
            "ratio": layer.ratio,
            "area": layer.area,
            "branches": branches,
            "enhancement": layer.enhancement,
        }
    if branching == "dropblock":
        return {"rate": config.drop.rate, "block_size": config.drop.block_size}
    if branching in ("dropout", "spatial_dropout", "maxdrop"):
        return {"rate": config.drop.rate}
    return dict(config[branching]) if branching in config else {}


def create_loss(
    config: ConfigDict, num_classes: int, *, class_counts: np.ndarray | None = None
) -> losses.Loss:
    """The per-example loss of `config.loss`.

    Args:
      config: of the run.
      num_classes: number of classes the scores will have.
      class_counts: training images of each class `[classes]`; only some losses need them.

    Warns:
      UserWarning: the loss and the batches both correct for unequal numbers of images.
    """
    settings = config.loss
    if settings.name in losses.NEED_CLASS_COUNTS and config.data.sampler != "shuffled":
        warnings.warn(
            f"loss {settings.name} corrects for unequal numbers of images per class, and so do "
            f"{config.data.sampler} batches: together they overdo it; choose config.data.sampler=shuffled",
            stacklevel=2,
        )
    return losses.create_loss(
        settings.name,
        num_classes=num_classes,
        class_counts=class_counts,
        k_high=settings.k_high,
        k_low=settings.k_low,
        label_smoothing=settings.label_smoothing,
        gamma=settings.gamma,
        beta=settings.beta,
        tau=settings.tau,
    )


def create_augment(config: ConfigDict) -> Callable[..., Images]:
    """The random views of `config.augment`: `(key, uint8 images, first_example=...) -> images`."""
    settings = config.augment
    return functools.partial(
        augment.augment,
        size=settings.size,
        scale=(settings.scale_min, settings.scale_max),
        horizontal_flip=settings.horizontal_flip,
        vertical_flip=settings.vertical_flip,
        rotation=settings.rotation,
        brightness=settings.brightness,
        contrast=settings.contrast,
        saturation=settings.saturation,
        hue=settings.hue,
    )


def create_mix(config: ConfigDict) -> Mix | None:
    """How pairs of training images are mixed, as `config.augment.mix` says; None for not at all."""
    name, alpha = config.augment.mix, config.augment.mix_alpha
    if name == "none":
        return None
    return functools.partial(_MIXES[name], alpha=alpha) if alpha else _MIXES[name]


def create_preprocess(config: ConfigDict) -> Callable[..., Images]:
    """What happens to an image at test: centre crop and normalisation."""
    return functools.partial(augment.preprocess, size=config.augment.size)


def _branches(config: ConfigDict) -> tuple[str, ...]:
    return tuple(name.strip() for name in config.asae.branches.split(","))


def _running_branch(config: ConfigDict, branches: tuple[str, ...]) -> int | None:
    wanted = config.model.running_statistics == "plain" and "plain" in branches
    return branches.index("plain") if wanted else None


def _get(config: ConfigDict, field: str) -> Any:
    section, name = field.split(".")
    return config[section][name]


def _require(condition: bool, config: ConfigDict, field: str, remedy: str) -> None:
    if not condition:
        raise UserError(f"config.{field}={_get(config, field)!r} cannot be used: {remedy}.")
