"""What was trained, in plain words, and the commands to go on with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from asae_jax.errors import quoted
from asae_jax.models.network import SECOND_LOOK
from asae_jax.run.build import several_passes, statistics_as, tested_as
from asae_jax.run.test_time_augmentation import NUM_VIEWS, TTA_SUFFIX
from asae_jax.run.words import LAYERS, LOSSES, SAMPLERS
from asae_jax.shipped import models

_SCORES = {
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "balanced_accuracy": "balanced accuracy",
    "nll": "NLL",
    "ece": "ECE",
}


class Command(NamedTuple):
    """A command line and what it is for."""

    purpose: str
    line: str


def training(
    config: ConfigDict, validation: Sequence[Mapping[str, Any]], chosen: float | None
) -> list[tuple[str, str]]:
    """(what, in words) of how the network was trained.

    Args:
      config: of the run.
      validation: records of `metrics.jsonl`.
      chosen: epoch of the checkpoint that was scored; None where it is not known.
    """
    start, epochs = config.init.pretrained, config.train.epochs
    lines = [
        ("network", f"{config.model.name}, {LAYERS[config.model.branching]}"),
        ("started from", _start(start)),
        ("images", _images(config)),
        (
            "training",
            f"{epochs} epoch{'s' * (epochs > 1)} in batches of {config.train.batch_size} images, "
            f"{SAMPLERS[config.data.sampler]}; loss: {LOSSES[config.loss.name]}; {_optimizer(config)} "
            f"with a learning rate of {config.optimizer.learning_rate:g} at its highest",
        ),
    ]
    return [*lines, ("checkpoint used", _checkpoint(config, validation, chosen))]


_TESTED = {
    "skip": "the layer left out",
    "enhance": "the layer's enhancement kept",
    "mean": "mean over the layer's branches",
}
"""Of `eval.test_mode`."""


def other_testing(scores: Mapping[str, Any], recorded: ConfigDict) -> list[str]:
    """In what scores were made otherwise than the run's own: checkpoint and way of testing, in words.

    Args:
      scores: content of a file of scores; what an earlier version did not write is taken for the same.
      recorded: settings in the run folder.
    """
    then, own, own_statistics = tested_as(recorded), recorded.eval, statistics_as(recorded)
    now = scores.get("test_mode", then)
    mode, checkpoint = now.removesuffix(TTA_SUFFIX), scores.get("checkpoint", own.checkpoint)
    statistics = scores.get("batch_statistics", own_statistics)
    views = now.endswith(TTA_SUFFIX)
    told = {
        f"the {checkpoint} checkpoint": checkpoint != own.checkpoint,
        _TESTED.get(mode, mode.replace(SECOND_LOOK, "second look")): mode != then.removesuffix(TTA_SUFFIX),
        f"mean over {NUM_VIEWS} views of each image" if views else "one view of each image": (
            views != then.endswith(TTA_SUFFIX)
        ),
        _statistics(statistics): statistics != own_statistics,
    }
    return [text for text, differs in told.items() if differs]


def _statistics(recorded: str) -> str:
    """What `statistics_as` says, in words."""
    _, _, batches = recorded.partition(" over ")
    again = f"batch statistics estimated again over {batches or 'training batches'}"
    return "running batch statistics" if recorded == "running" else again


def score_name(field: str) -> str:
    """ "macro-F1" of "macro_f1"."""
    return _SCORES.get(field, field)


def _optimizer(config: ConfigDict) -> str:
    looks_ahead = config.optimizer.name == "adamw" and config.optimizer.nesterov
    return "NAdam (adamw with Nesterov momentum)" if looks_ahead else config.optimizer.name


def _start(given: str) -> str:
    if not given:
        return "random weights"
    return f"the included model {given}" if given in models() else f"the weights of {given}"


def _images(config: ConfigDict) -> str:
    data = config.data
    colours = {"paper": "the paper's hue adjustment", "robust": "hue adjustment of the stained pixels"}
    kinds = [colours[data.hue]] if data.hue in colours else []
    kinds += [f"stain normalisation ({data.stain})"] if data.stain != "none" else []
    scale = " (large JPEGs decoded at a reduced scale)" if data.decoding == "reduced" else ""
    return (
        f"brought to {data.stored_size} x {data.stored_size} pixels{scale}, of which the network sees "
        f"{config.augment.size} x {config.augment.size}; colours: {' and '.join(kinds) or 'as they are'}"
    )


def _checkpoint(config: ConfigDict, validation: Sequence[Mapping[str, Any]], chosen: float | None) -> str:
    after = "" if chosen is None else f", after epoch {chosen:g} of {config.train.epochs}"
    if config.eval.checkpoint == "last" or not validation:
        return f"the last{after}"
    return f"the one of the best validation {score_name(config.eval.select_by)}{after}"


def commands(workdir: Path, config: ConfigDict, *, is_model: bool) -> list[Command]:
    """The commands that are literally right for this run, but for the names in capitals.

    Args:
      workdir: the run folder, as the user wrote it.
      config: of the run.
      is_model: whether it is a model, which came without images of its own.
    """
    run = f"--workdir={quoted(workdir)}"
    running = running_statistics(config)
    look = "".join(f" --config.{name}={value}" for name, value in several_passes(config).items())
    some = " --input=NEW_CELLS" * is_model
    found = [
        Command(
            "Label new cells: a differential count, a table, and a page to review them on. NEW_CELLS is a "
            "folder of images of single cells.",
            f"asae predict {run} --input=NEW_CELLS{running}",
        ),
        Command("See where the network looks.", f"asae explain {run}{some}{look}{running}"),
        Command(
            "Measure it on labelled cells of another laboratory, in a folder with one folder for each class.",
            f"asae evaluate {run} --source=folder --path=THEIR_CELLS{running}",
        ),
    ]
    if is_model:
        return found
    pack = f"asae export {run} --formats=model{look}{running}"
    return [*found, Command("Pack it to give it away, without images.", pack)]


def running_statistics(config: ConfigDict) -> str:
    """The option, after a space, without which commands that have no training images refuse a run; or ""."""
    return " --config.eval.batch_statistics=running" * (config.eval.batch_statistics == "reestimate")
