"""The result of a cross-validation in files: scores, predictions, suspected labels, figures, and a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from asae_jax.config import read_run_config
from asae_jax.errors import quoted
from asae_jax.evaluation import evaluate, figures
from asae_jax.evaluation.page import numbers, trust
from asae_jax.evaluation.page.content import SUSPECTED, of_predictions
from asae_jax.evaluation.page.words import Command, running_statistics
from asae_jax.evaluation.page.write import PAGE, render, warnings_of
from asae_jax.evaluation.predictions import PREDICTIONS_SHA256, write_predictions
from asae_jax.evaluation.shares import share_text
from asae_jax.experiments.crossval.pooled import METRICS, PART, Pooled
from asae_jax.files import together, write_text
from asae_jax.input.cell_classes import CellClass, display_order
from asae_jax.input.index import DataIndex
from asae_jax.json_files import write_sealed_json
from asae_jax.pages import environment
from asae_jax.run.data import SKIPPED_FILE
from asae_jax.run.folder import read_record

NAME = "crossval"
"""Of the files: `crossval.json`, `crossval_predictions.csv` and two figures."""


def write_results(
    workdir: Path, pooled: Pooled, scores: dict[str, Any], index: DataIndex, classes: Sequence[CellClass]
) -> None:
    """Writes all files into `workdir`; older ones are replaced.

    Args:
      workdir: of the cross-validation.
      pooled: the predictions.
      scores: of `pooled_scores`; the digest of the predictions' file is added.
      index: of the images.
      classes: in the order of the scores.
    """
    given = pooled.predictions
    with together():
        scores[PREDICTIONS_SHA256] = write_predictions(
            workdir / f"{NAME}_predictions.csv",
            given.names.tolist(),
            given.labels,
            np.log(np.maximum(given.probabilities, np.finfo(float).tiny)),
            index.class_names,
        )
        write_sealed_json(workdir / f"{NAME}.json", scores)
        order = display_order(classes)
        title = f"{PART}: accuracy {scores['accuracy']:.3f}, macro-F1 {scores['macro_f1']:.3f}"
        figures.plot_confusion(scores, order, workdir / f"{NAME}_confusion.png", title=title)
        figures.plot_per_class(scores, order, workdir / f"{NAME}_per_class.png", title=title)
    shown = {PART: (NAME, scores)}
    content = of_predictions(
        classes, index, shown, {PART: given}, suspects={PART: given}, suspected_file=SUSPECTED, folder=workdir
    )
    content |= {
        "title": f"Cross-validation {workdir.absolute().name}",
        "warnings": warnings_of(scores),
        "tested": "",
        "training": [],
        "charts": [],
        "home": "",
        "folder": "",
        "versions": read_record(pooled.runs[0]).versions,
        "counts": _counts(pooled, index, content["order"]),
        "trust": _trust(scores),
        "others": _table_of_folds(workdir, pooled.runs, scores),
        "commands": _commands(pooled.runs),
    }
    write_text(workdir / PAGE, render(content))


def summary(scores: Mapping[str, Any]) -> str:
    """The main numbers in a few lines."""
    lines = [evaluate.summary(scores)]
    for name, shown in METRICS.items():
        values = ", ".join(f"{100 * fold[name]:.1f}" for fold in scores["folds"])
        over = scores["over_folds"][name]
        lines.append(
            f"  {shown} of each fold: {values} % (mean {100 * over['mean']:.1f}, standard deviation "
            f"{100 * over['standard_deviation']:.1f})"
        )
    lines += [f"  {line}" for line in _judged_lines(scores)]
    if never := scores["num_never_tested"]:
        lines.append(
            f"  {never} images are tested in no fold: unreadable, or a class would have nothing to train on "
            "without them, or without the others of their group"
        )
    if left_out := scores["num_left_out"]:
        lines.append(f"  {left_out} rows or files of the data were left out, see {SKIPPED_FILE} of each run")
    return "\n".join(lines)


def _judged_lines(scores: Mapping[str, Any]) -> list[str]:
    judged, count = scores["judged"], len(scores["folds"])
    if judged is None:
        return []
    target, lines = f"{100 * judged['target_error']:.1f} %", []
    if "labelled_without_a_person" in judged:
        lines.append(
            f"the networks label {share_text(judged['labelled_without_a_person'])} of the images by "
            f"themselves, {share_text(judged['error_without_a_person'])} of them wrongly, and leave to a "
            "person what they are not sure of or what looks unlike the training images"
        )
    lines.append(
        f"their thresholds alone, each set on the network's own validation images for at most {target} "
        f"mistakes, would label {share_text(judged['labelled'])}, {share_text(judged['error_of_labelled'])} "
        "of them wrongly"
    )
    if judged["promised_by"] < count:
        lines.append(
            f"in {count - judged['promised_by']} of {count} folds no threshold keeps to {target} with the "
            "asked certainty: there every image is left to a person"
        )
    if "outliers" in judged:
        lines.append(f"{share_text(judged['outliers'])} look unlike the training images")
    return lines


def _trust(scores: Mapping[str, Any]) -> dict[str, Any] | None:
    judged = scores["judged"]
    if judged is None:
        return None
    return {
        "lead": "Counted over all folds; 95 % intervals in brackets, over images.",
        "lines": [line[:1].upper() + line[1:] for line in _judged_lines(scores)],
        "charts": [],
        "tiles": trust.tiles(judged),
    }


def _counts(pooled: Pooled, index: DataIndex, order: Sequence[int]) -> dict[str, Any]:
    """Tested images of each class and fold, and groups."""
    names = [run.name for run in pooled.runs]
    parts = np.array(names)[pooled.folds]
    groups = None if index.groups is None else index.groups[pooled.rows]
    labels, classes = pooled.predictions.labels, index.num_classes
    return {
        **numbers.counts(labels, parts, names, order, classes=classes, groups=groups),
        "left_out": len(index) - len(pooled.rows) + len(index.skipped),
        "skipped": f"runs/{names[0]}/{SKIPPED_FILE}",
        "source": index.source,
    }


def _table_of_folds(workdir: Path, runs: Sequence[Path], scores: Mapping[str, Any]) -> Markup:
    """The section on the folds, each with the address of its run's page."""
    address = {run.name: quote((run / PAGE).relative_to(workdir).as_posix()) for run in runs}
    template = environment("asae_jax.experiments.crossval", {"percent": lambda share: f"{100 * share:.1f}"})
    return Markup(template.get_template("folds.html").render(scores=scores, address=address, metrics=METRICS))


def _commands(runs: Sequence[Path]) -> list[Command]:
    first, *others = (quoted(run) for run in runs)
    running = running_statistics(read_run_config(runs[0]))
    return [
        Command(
            "Label new cells by the networks of all folds together, whose probabilities are averaged. "
            "NEW_CELLS is a folder of images of single cells.",
            f"asae predict --workdir={first} --ensemble={','.join(others)} --input=NEW_CELLS{running}",
        ),
    ]
