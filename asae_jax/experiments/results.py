"""What the finished cells measured, read from their folders."""

import csv
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.experiments.grid import Cell, Grid
from asae_jax.experiments.records import (
    FAILED,
    Record,
    is_finished,
    read_record,
    run_folder,
    scores_file,
)
from asae_jax.input.sources import configured_index
from asae_jax.training.writer import read_metrics

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
"""The scores that rows are compared by, each 0 to 1."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished cell.

    Attributes:
      seed: of the run.
      scores: content of `evaluation/test.json`.
      validation: content of `evaluation/validation.json`; empty where the data have no validation part.
      predictions: int `[images]`, the class named for each test image.
      images_per_second: median over training, without the first report, which compiles.
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
    """All finished cells, on the same test images.

    Attributes:
      class_names: in the order of the labels.
      labels: int `[images]`.
      groups: slide or patient of each test image, or None where they are not known.
      runs: row -> its finished runs, seed by seed; for every row of the tables, also where there are none,
        and for those under whose names the runs are.
      failures: cell -> why it failed.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray | None
    runs: Mapping[str, tuple[Run, ...]]
    failures: Mapping[str, str]


def read_results(grid: Grid, workdir: Path, data: ConfigDict) -> Results | None:
    """Everything that is finished; None when nothing is.

    Args:
      grid: what was to be run.
      workdir: its folder.
      data: the section `data` of the configuration, to look up groups.

    Raises:
      UserError: cells that were scored on different images.
    """
    done = [cell for cell in grid.cells if is_finished(workdir, cell.name)]
    if not done:
        return None
    class_names = tuple(_json(scores_file(workdir, done[0].name))["class_names"])
    names, labels, _ = _predictions(workdir, done[0], class_names)
    runs: dict[str, list[Run]] = {row: [] for row in grid.runs_of.values()}
    for cell in done:
        other_names, other_labels, predictions = _predictions(workdir, cell, class_names)
        if other_names != names or not np.array_equal(other_labels, labels):
            raise UserError(
                f"{cell.name} and {done[0].name} were scored on different images: differences between them "
                "would mean nothing. Remove the run folder of the one that is wrong and start again."
            )
        runs[cell.row].append(_run(workdir, cell, predictions))
    by_group = _json(scores_file(workdir, done[0].name))["intervals_over"] == "groups"
    return Results(
        class_names,
        labels,
        _groups(data, names) if by_group else None,
        {row: tuple(runs[grid.runs_of.get(row, row)]) for row in (*grid.runs_of, *runs)},
        {cell.name: record.error for cell in grid.cells
         if (record := read_record(workdir, cell.name)) and record.status == FAILED},
    )  # fmt: skip


def _run(workdir: Path, cell: Cell, predictions: np.ndarray) -> Run:
    scores = scores_file(workdir, cell.name)
    validation = scores.with_name("validation.json")
    record = read_record(workdir, cell.name)
    assert record is not None  # it is finished
    return Run(
        cell.seed,
        _json(scores),
        _json(validation) if validation.exists() else {},
        predictions,
        _speed(run_folder(workdir, cell.name)),
        record,
    )


def _speed(folder: Path) -> float | None:
    rates = [record["images_per_second"] for record in read_metrics(folder, "train")[1:]]
    return float(np.median(rates)) if rates else None


def _predictions(
    workdir: Path, cell: Cell, class_names: tuple[str, ...]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, labels and predictions of the test images."""
    number = {name: index for index, name in enumerate(class_names)}
    path = scores_file(workdir, cell.name).with_name("test_predictions.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = [(row["path"], number[row["true"]], number[row["label"]]) for row in csv.DictReader(file)]
    names, labels, predictions = zip(*rows, strict=True)
    return list(names), np.array(labels), np.array(predictions)


def _groups(data: ConfigDict, names: list[str]) -> np.ndarray | None:
    table = configured_index(data)
    if table.groups is None:
        return None
    group_of = dict(zip(table.names.tolist(), table.groups.tolist(), strict=True))
    return np.array([group_of[name] for name in names])


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
