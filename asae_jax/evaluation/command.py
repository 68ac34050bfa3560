"""`evaluate`: scores a trained run again, from its folder alone, on its own data or on others."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.evaluation import evaluate
from asae_jax.evaluation.uncertainty_report import measure_uncertainty
from asae_jax.input.class_map import relabel
from asae_jax.input.index import DataIndex
from asae_jax.input.sources import configured_index, named_class_map
from asae_jax.pages import NOTICE
from asae_jax.run.data import Data, prepare_index, write_skipped
from asae_jax.run.run import Run, open_run

_OTHER = "other"


def evaluate_run(config: ConfigDict, workdir: Path) -> int:
    """Scores the run in `workdir` and prints the main scores and the uncertainty estimates.

    With `eval.source` every readable image of that source is scored instead of a part of the run's own
    (see `load_other`), and what was left out is listed in `evaluation/<name>_skipped.csv`.

    Args:
      config: settings of this evaluation (`eval`, and where the data lie now); everything else must be
        as in the run.
      workdir: the folder of a run.

    Returns:
      The exit status, 0.

    Raises:
      UserError: no run or no checkpoint there, other settings, or other data.
    """
    run = open_run(workdir, config, batch_size=config.train.batch_size)
    folder = workdir / evaluate.FOLDER
    if config.eval.source:
        data, record = load_other(run)
        name = config.eval.name or _OTHER
        scores = evaluate.evaluate(run, data, split="all", name=name, provenance=record, is_own=False)
        print(evaluate.summary(scores))
        write_skipped(data, folder / f"{name}_skipped.csv")
    else:
        split = config.eval.split
        print(evaluate.summary(evaluate.evaluate(run, run.data, split=split, name=config.eval.name or split)))
        measure_uncertainty(run)
    print(f"written to {folder}. {NOTICE}")
    return 0


def load_other(run: Run) -> tuple[Data, dict[str, Any]]:
    """All images of the source that `config.eval` names, under the classes of a run.

    Labels go through `eval.class_map`. Images of a class that the run does not know are left out: no answer
    to them could be right. Images are prepared as the run's are.

    Args:
      run: with `eval.source`, `eval.path` and `eval.class_map` in its settings.

    Returns:
      The images, none of them for training, and what to record with their scores: `class_map`;
      `unknown_classes`, class -> number of images left out because the run does not know it;
      `absent_classes`, those of the run that these data lack.

    Raises:
      UserError: data that cannot be found or used, no image of a class that the run knows, or batch
        statistics to be taken again.
    """
    config = run.config
    if config.eval.batch_statistics == "reestimate":
        raise UserError(
            "config.eval.batch_statistics='reestimate' cannot be used with config.eval.source: it takes "
            "training batches, and another source has none; use 'running'."
        )
    index = _table(config)
    known, unknown = _align(index, run.class_names)
    present = np.bincount(known.labels, minlength=known.num_classes)
    record = {
        "class_map": named_class_map(config.eval.class_map) if config.eval.class_map else {},
        "unknown_classes": unknown,
        "absent_classes": [name for name, count in zip(run.class_names, present, strict=True) if not count],
    }
    data = Data(known, prepare_index(config, run.workdir, known), np.full(len(known), "test"))
    _say(record)
    return data, record


def _table(config: ConfigDict) -> DataIndex:
    settings = config.data.copy_and_resolve_references()
    settings.source, settings.path = config.eval.source, config.eval.path
    settings.class_map, settings.group_feature = config.eval.class_map, ""
    return configured_index(settings)


def _align(index: DataIndex, class_names: tuple[str, ...]) -> tuple[DataIndex, dict[str, int]]:
    """`index` under the classes `class_names`, and how many images of each other class were left out."""
    numbers = {name: number for number, name in enumerate(class_names)}
    new = np.array([numbers.get(name, -1) for name in index.class_names])
    counts = np.bincount(index.labels, minlength=index.num_classes)
    unknown = {
        name: int(count)
        for name, count in zip(index.class_names, counts, strict=True)
        if name not in numbers and count
    }
    if sum(unknown.values()) == len(index):
        raise UserError(
            f"the run knows none of the classes of these data ({', '.join(index.class_names)}): map them to "
            f"the run's ({', '.join(class_names)}) by a CSV file from,to (--config.eval.class_map=FILE)"
        )
    return relabel(index, class_names, new, "the run does not know class {}"), unknown


def _say(record: dict[str, Any]) -> None:
    if record["unknown_classes"]:
        counts = ", ".join(f"{name} ({count})" for name, count in record["unknown_classes"].items())
        warnings.warn(f"left out, of classes that the run does not know: {counts} images", stacklevel=3)
    if record["absent_classes"]:
        print(f"classes of the run that these data lack: {', '.join(record['absent_classes'])}")
