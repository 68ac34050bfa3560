"""The format `model`: a run as a model folder, which `--model=` and `init.pretrained` take."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax import shipped
from asae_jax.config import BY_NAME, copy_with, decides_weights, flatten
from asae_jax.evaluation.outliers import Outliers
from asae_jax.evaluation.provenance import read_scores
from asae_jax.evaluation.uncertainty import FOLDER, matching_file, read_uncertainty, write_uncertainty
from asae_jax.files import write_text
from asae_jax.inference.export import card
from asae_jax.inference.export.program import Program
from asae_jax.json_files import read_object, write_sealed_json
from asae_jax.models.pretrained import PACKAGES
from asae_jax.run import folder, weights_file
from asae_jax.run.model_folder import (
    CARD,
    SCORES,
    SCORES_TTA,
    UNCERTAINTY_TTA,
    copy,
    holds_model,
    weights_digest,
)
from asae_jax.run.run import Run

FILE = "model"

_TRAVELLING_SECTIONS = ("eval", "uncertainty")
_ABOUT_OTHER_DATA = (
    "eval.source",
    "eval.path",
    "eval.class_map",
    "eval.groups",
    "eval.group_feature",
    "eval.name",
    "eval.split",
)
_ABOUT_THE_CELLS = ("data.specimen",)
"""Settings that do not change the weights and yet belong to a model."""
_NAMED_FILES = ("data.class_map", "init.pretrained")
"""Settings that may be paths, and of which the file's name is worth knowing."""


def write_model(program: Program, path: Path) -> None:
    """Writes the folder `path`; a run that is a model itself is copied as it came.

    Left behind are images, their names, optimiser, training log, and every path of this machine.
    """
    run = program.run
    if holds_model(run.workdir):
        copy(run.workdir, path)
        return
    path.mkdir()
    weights_file.write(path, run.variables, step=run.step, checkpoint=run.config.eval.checkpoint)
    _write_uncertainty(program, path)
    for tta, name in ((False, SCORES), (True, SCORES_TTA)):
        if (scores := read_scores(run, tta=tta)) is not None:
            write_sealed_json(path / name, {**scores, "path": ""})
    write_text(path / CARD, card.hub_card(program))
    if (run.workdir / folder.CLASSES_FILE).exists():
        folder.write_own_classes(path, run.classes)
    folder.write(path, portable(run.config), model_record(run, path))


def run_model(program: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by the weights read again."""
    variables, _ = weights_file.read(path, program.run.variables)
    return program.scores(images, variables)


def portable(config: ConfigDict) -> ConfigDict:
    """The settings that belong to a trained model; the others have their defaults.

    Kept is what decides the weights, how the network is tested, and how uncertainty was measured. Of paths
    the last name is kept.
    """
    changes = {
        name: BY_NAME[name].default
        for name in flatten(config)
        if name in _ABOUT_OTHER_DATA
        or not (_belongs_to_a_model(name) or BY_NAME[name].section in _TRAVELLING_SECTIONS)
    }
    names = {name: shipped.without_place(flatten(config)[name], PACKAGES) for name in _NAMED_FILES}
    return copy_with(config, changes | names)


def _belongs_to_a_model(name: str) -> bool:
    return name in _ABOUT_THE_CELLS or decides_weights(name)


def _write_uncertainty(program: Program, path: Path) -> None:
    """The estimates for one view of each image, and those for the mean over views, where there are any.

    Features of training images that are the same are there once.
    """
    run, one = program.run, program.uncertainty
    if one is not None and (file := matching_file(run)) is not None:
        write_uncertainty(one, path, _record(file), compact=True)
    file = matching_file(run, tta=True)
    if file is not None and (several := read_uncertainty(run.workdir, file)) is not None:
        shared = one is not None and _same_reference(one.outliers, several.outliers)
        write_uncertainty(
            several,
            path,
            _record(file),
            compact=True,
            name=UNCERTAINTY_TTA,
            arrays_of=FOLDER if shared else "",
        )


def _record(file: Path) -> dict[str, Any]:
    return read_object(file, remedy="evaluate the run again")


def _same_reference(one: Outliers, other: Outliers) -> bool:
    """Whether two rules compare features with the same training images, in the same way."""
    if one.method != other.method or one.reference is None or other.reference is None:
        return one.method == other.method and one.reference is other.reference
    return all(map(np.array_equal, one.reference, other.reference))


def model_record(run: Run, path: Path) -> folder.Record:
    """The run's record with what tells the model, and the sizes of the parts of its data."""
    images: dict[str, dict[str, int]] = {}
    for (label, part), count in sorted(folder.read_counts(run.workdir).items()):
        images.setdefault(label, {})[part] = count
    record = folder.read_record(run.workdir)
    return dataclasses.replace(record, images=images, weights_sha256=weights_digest(path), unreadable=None)
