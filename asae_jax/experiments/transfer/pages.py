"""Runs side by side: a row for each set of remedies, a column for each run; JSON, Markdown and HTML."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.evaluation.bootstrap import MIN_GROUPS, enough_groups
from asae_jax.experiments.transfer.scores import estimated
from asae_jax.files import write_text
from asae_jax.json_files import write_json
from asae_jax.pages import NOTICE, environment

Measured = Mapping[str, Any]
"""What `scores.measure` found of one run."""


def write_pages(stem: Path, runs: Sequence[Measured]) -> list[Path]:
    """Writes STEM.json, STEM.md and STEM.html; older ones are replaced.

    Runs of one name that were tested on the same images differ in their seed, and share a column.
    """
    report = {"notice": NOTICE, "fewest": MIN_GROUPS, "comparisons": _comparisons(runs), "runs": list(runs)}
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{end}") for end in ("json", "md", "html")]
    write_json(paths[0], report, indent=1)
    for path, escaped in zip(paths[1:], (False, True), strict=True):
        filters: dict[str, Callable] = {"score": _score, "points": _points, "percent": _percent}
        made = environment("asae_jax.experiments.transfer", filters, autoescape=escaped)
        write_text(path, made.get_template(f"page{path.suffix}").render(report=report))
    return paths


def line(row: Mapping[str, Any]) -> str:
    """A row as a line of a Markdown table."""
    scores = [_score(row, key) for key in ("accuracy", "balanced_accuracy")]
    rest = [f"{row['ece']:.3f}", _percent(row.get("left"), 0), _percent(row.get("wrong"), 1)]
    return f"| {' | '.join([row['name'], *scores, *rest])} |"


def _comparisons(runs: Sequence[Measured]) -> list[dict[str, Any]]:
    """A table for each list of images and classes: the runs that were tested on them, side by side."""
    tests: dict[str, list[Measured]] = {}
    for run in runs:
        tests.setdefault(f"{run['digest']} {run['classes']}", []).append(run)
    return [_comparison(tested) for tested in tests.values()]


def _comparison(runs: Sequence[Measured]) -> dict[str, Any]:
    """Runs tested on the same images; a difference is that of a column from the first one."""
    columns: dict[str, list[Measured]] = {}
    for run in runs:
        columns.setdefault(run["run"], []).append(run)
    names = list(dict.fromkeys(row["name"] for run in runs for row in run["rows"]))
    labels, groups = np.array(runs[0]["test_labels"]), runs[0]["test_groups"]
    groups = None if groups is None else np.array(groups)
    rows = []
    for name in names:
        right = [_right(column, name) for column in columns.values()]
        cells = [None if one is None else _cell(one, labels, groups) for one in right]
        first = right[0]
        differences = [
            None if first is None or one is None else _cell(one - first, labels, groups) for one in right[1:]
        ]
        rows.append({"name": name, "cells": cells, "differences": differences})
    return {
        "runs": {name: len(column) for name, column in columns.items()},
        "trained_on": " and ".join(dict.fromkeys(run["trained_on"] for run in runs)),
        "tested_on": runs[0]["tested_on"],
        "test_of_class": runs[0]["test_of_class"],
        "guesses": max(run.get("guesses", 0) for run in runs),  # files of earlier versions lack it
        "shared_groups": max(run.get("shared_groups", 0) for run in runs),
        "train_images": max(run["images"]["train"] for run in runs),
        "over": ("images" if groups is None else "patients or slides") if enough_groups(groups) else "",
        "rows": rows,
    }


def _right(column: Sequence[Measured], name: str) -> np.ndarray | None:
    """How often each test image was right with the remedies `name`, over seeds and draws of labels."""
    found = [row["right"] for run in column for row in run["rows"] if row["name"] == name]
    return np.mean(found, axis=0) if len(found) == len(column) else None


def _cell(right: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> dict[str, Any]:
    own, intervals = estimated(right, labels, groups)
    return own | {"intervals": intervals}


def _score(row: Mapping[str, Any] | None, key: str) -> str:
    """A score and its interval."""
    if row is None:
        return ""
    interval = row["intervals"].get(key)
    return f"{row[key]:.3f}" + ("" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]")


def _points(row: Mapping[str, Any] | None) -> str:
    """A difference of accuracies and its interval, in points."""
    if row is None:
        return ""
    interval = row["intervals"].get("accuracy")
    ends = "" if interval is None else f" [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"
    return f"{100 * row['accuracy']:+.1f}{ends}"


def _percent(share: float | None, digits: int = 0) -> str:
    return "" if share is None else f"{100 * share:.{digits}f}"
