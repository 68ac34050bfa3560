"""What the finished runs measured and cost, read from their folders."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError, quoted
from asae_jax.evaluation.predictions import predictions_of
from asae_jax.evaluation.provenance import are_of_groups, foreign
from asae_jax.experiments.grid import (
    FAILED,
    Grid,
    PlannedRun,
    Record,
    is_finished,
    read_record,
    run_folder,
    scores_file,
)
from asae_jax.input.cell_classes import CellClass
from asae_jax.input.sources import configured_index
from asae_jax.json_files import read_json
from asae_jax.run import build, folder
from asae_jax.run.metrics_file import read_metrics
from asae_jax.run.run import Run

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
"""The scores that rows are compared by, each 0 to 1."""


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """What one run measured.

    Attributes:
      seed: of the run.
      scores: content of `evaluation/test.json`.
      validation: content of `evaluation/validation.json`; empty where the data have no validation part.
      predictions: int `[images]`, the predicted class of each test image.
      images_per_second: median over training, without the first report, which includes compilation; None
        where the run was too short to tell.
      record: how long it took, and how much memory.
    """

    seed: int
    scores: Mapping[str, Any]
    validation: Mapping[str, Any]
    predictions: np.ndarray
    images_per_second: float | None
    record: Record


@dataclasses.dataclass(frozen=True)
class Results:
    """All finished runs, scored on the same test images.

    Attributes:
      class_names: in the order of the labels.
      classes: what each of them is, as the first finished run says.
      labels: int `[images]`.
      groups: slide or patient of each test image, or None where they are not known.
      runs: row -> its finished runs, seed by seed; for every row of the tables, also where there are none,
        and for the rows whose runs they share.
      failures: name of a run -> why it failed.
    """

    class_names: tuple[str, ...]
    classes: tuple[CellClass, ...]
    labels: np.ndarray
    groups: np.ndarray | None
    runs: Mapping[str, tuple[FinishedRun, ...]]
    failures: Mapping[str, str]

    def shared_seeds(self, row: str, other: str) -> list[tuple[FinishedRun, FinishedRun]]:
        """The runs of `row` and of `other` that have a seed in common, in pairs, seed by seed."""
        theirs = {run.seed: run for run in self.runs[other]}
        ours = sorted(self.runs[row], key=lambda run: run.seed)
        return [(run, theirs[run.seed]) for run in ours if run.seed in theirs]


def read_results(grid: Grid, workdir: Path, data: ConfigDict) -> Results | None:
    """Everything that is finished; None when nothing is.

    Args:
      grid: what was to be run.
      workdir: its folder.
      data: the section `data` of the configuration, to look up groups.

    Raises:
      UserError: runs that were scored on different images, whose scores cannot be read or are of
        something else, or data that have changed since where groups are looked up.
    """
    done = [run for run in grid.runs if is_finished(workdir, run.name)]
    if not done:
        return None
    first: tuple[Any, ...] = ()
    finished: dict[str, list[FinishedRun]] = {row: [] for row in grid.run_as.values()}
    for run in done:
        scores = run_scores(workdir, run, "test")
        given = predictions_of(scores_file(workdir, run.name), scores)
        images = folder.read_record(run_folder(workdir, run.name)).data_fingerprint
        scored = images, tuple(scores["class_names"]), given.names.tolist(), given.labels.tolist()
        first = first or scored
        if scored != first:
            raise UserError(
                f"{run.name} and {done[0].name} were scored on different images: differences between them "
                "would mean nothing. Remove the run folder of the one that is wrong and start again."
            )
        finished[run.row].append(_finished_run(workdir, run, scores, given.predicted))
    _, class_names, names, labels = first
    return Results(
        class_names,
        Run(run_folder(workdir, done[0].name), done[0].config, class_names).classes,
        np.array(labels),
        _groups(data, names, run_folder(workdir, done[0].name)) if are_of_groups(scores) else None,
        {row: tuple(finished[grid.run_as.get(row, row)]) for row in (*grid.run_as, *finished)},
        {run.name: record.error for run in grid.runs
         if (record := read_record(workdir, run.name)) and record.status == FAILED},
    )  # fmt: skip


def _finished_run(
    workdir: Path, run: PlannedRun, scores: Mapping[str, Any], predictions: np.ndarray
) -> FinishedRun:
    validation = scores_file(workdir, run.name).with_name("validation.json")
    record = read_record(workdir, run.name)
    assert record is not None  # it is finished
    return FinishedRun(
        run.seed,
        scores,
        run_scores(workdir, run, "validation") if validation.exists() else {},
        predictions,
        _speed(run_folder(workdir, run.name)),
        record,
    )


def _speed(folder: Path) -> float | None:
    rates = [record["images_per_second"] for record in read_metrics(folder, "train")[1:]]
    return float(np.median(rates)) if rates else None


def _groups(data: ConfigDict, names: Sequence[str], run: Path) -> np.ndarray | None:
    """Groups of the test images `names`, as the data say now: they must be those of the folder `run`."""
    index = configured_index(data)
    folder.check_same_data(run, index)
    if index.groups is None:
        return None
    group_of = dict(zip(index.names.tolist(), index.groups.tolist(), strict=True))
    return np.array([group_of[name] for name in names])


def run_scores(workdir: Path, run: PlannedRun, split: str) -> dict[str, Any]:
    """Scores of the run's own part `split`, measured as the grid tests all its runs."""
    place, path = run_folder(workdir, run.name), scores_file(workdir, run.name).with_name(f"{split}.json")
    scores = read_json(path, remedy="remove that run folder and give the same command again")
    reason = foreign(scores, folder.read_record(place), split=split)
    for name, value in _testing(run.config).items():
        if not reason and scores.get(name, value) != value:
            reason = f"they were measured with {name} {scores[name]!r}, not {value!r}"
    if reason:
        raise UserError(
            f"{path} does not hold the scores of {run.name} ({reason}): move it away, then "
            f"asae evaluate --workdir={quoted(place)}{'' if split == 'test' else f' --split={split}'}"
        )
    return scores


def _testing(config: ConfigDict) -> dict[str, Any]:
    return {
        "test_mode": build.tested_as(config),
        "batch_statistics": build.statistics_as(config),
        "checkpoint": config.eval.checkpoint,
    }


def count_parameters(config: ConfigDict, num_classes: int) -> int:
    """How many numbers are trained, from the shapes alone: nothing is computed."""
    shapes = build.variable_shapes(config, num_classes)["params"]
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def row_costs(runs: Sequence[FinishedRun], config: ConfigDict, num_classes: int) -> dict[str, Any]:
    """The costs of a row, from its finished runs (at least one).

    Returns:
      `parameters`; `images_per_second` in training, the mean over runs, None where all were too short to
      tell; `peak_memory` of the process on the host in bytes, the largest, None where it was not measured;
      `seconds` that a run took, the mean, with start, input, training and scoring.
    """
    speeds = [run.images_per_second for run in runs if run.images_per_second is not None]
    memories = [run.record.peak_memory for run in runs if run.record.peak_memory]
    return {
        "parameters": count_parameters(config, num_classes),
        "images_per_second": float(np.mean(speeds)) if speeds else None,
        "peak_memory": max(memories) if memories else None,
        "seconds": float(np.mean([run.record.seconds for run in runs])),
    }
