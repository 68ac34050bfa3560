"""The format `model`: a run as a model folder, which `--model=` and `init.pretrained` take."""

from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax.config import read_run_config
from asae_jax.errors import UserError
from asae_jax.evaluation.outliers import Outliers
from asae_jax.evaluation.provenance import read_scores
from asae_jax.evaluation.uncertainty_files import FOLDER, matching_file, read_uncertainty, write_uncertainty
from asae_jax.files import write_text
from asae_jax.inference.export import card
from asae_jax.inference.export.program import Program
from asae_jax.inference.portable import model_record, portable
from asae_jax.json_files import read_object, write_sealed_json
from asae_jax.run import build, folder, weights_file
from asae_jax.run.model_folder import (
    CARD,
    SCORES,
    SCORES_TTA,
    UNCERTAINTY_TTA,
    copy,
    holds_model,
)

FILE = "model"


def write_model(program: Program, path: Path) -> None:
    """Writes the folder `path`; a run that is a model itself is copied as it came.

    Left behind are images, their names, optimiser, training log, and every path of this machine.

    Raises:
      UserError: see `check_tested_as_it_says`.
    """
    run = program.run
    if holds_model(run.workdir):
        check_tested_as_it_says(run.workdir, run.config)
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


def check_tested_as_it_says(workdir: Path, config: ConfigDict) -> None:
    """Raises a UserError for a model to be tested otherwise than its scores and estimates hold for."""
    if not holds_model(workdir):
        return
    own, asked = build.tested_as(read_run_config(workdir)), build.tested_as(config)
    if own != asked:
        raise UserError(
            f"the model in {workdir} is tested as {own}, and its folder is copied as it came: leave "
            f"eval.test_mode={asked} out here, and give it to the commands that use the model, or leave "
            "model out of --formats."
        )


def run_model(program: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by the weights read again."""
    variables, _ = weights_file.read(path, program.run.variables)
    return program.scores(images, variables)


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
