"""What the pages say, as values for their template: from a run's files, but for counts and pictures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.evaluation import evaluate, other_laboratory, uncertainty_report
from asae_jax.evaluation.bootstrap import MIN_GROUPS
from asae_jax.evaluation.page import curves, gallery, numbers, trust, words
from asae_jax.evaluation.predictions import Predictions
from asae_jax.evaluation.provenance import FOLDER, are_of_groups
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.evaluation.uncertainty_files import FOLDER as ESTIMATES
from asae_jax.evaluation.uncertainty_files import uncertainty_file
from asae_jax.input.cell_classes import CellClass, display_order
from asae_jax.input.index import DataIndex
from asae_jax.input.split import SPLITS
from asae_jax.json_files import read_json
from asae_jax.pages import NOTICE
from asae_jax.run.data import SKIPPED_FILE, Data
from asae_jax.run.folder import read_record
from asae_jax.run.metrics_file import read_metrics
from asae_jax.run.model_folder import holds_model
from asae_jax.run.run import Run

SUSPECTED = "suspected_labels.csv"
REMEDY = "evaluate the run again"

Scores = Mapping[str, Any]
"""Content of a file of scores."""


def of_training(run: Run, scored: Mapping[str, Scores]) -> dict[str, Any]:
    """What was trained and how it went."""
    training, validation = (read_metrics(run.workdir, kind) for kind in ("train", "validation"))
    steps = [scores["step"] for scores in scored.values() if "step" in scores]
    chosen = curves.chosen_epoch(steps[-1], training) if steps else None
    return {
        "training": words.training(run.config, validation, chosen),
        "charts": curves.curves(run.config, training, validation, chosen),
    }


def of_scores(
    run: Run,
    data: Data,
    shown: Mapping[str, tuple[str, Scores]],
    parts: Mapping[str, Predictions],
    *,
    suspects: Mapping[str, Predictions],
    prefix: str,
) -> dict[str, Any]:
    """What both kinds of page say of scored images.

    Args:
      run: whose they are.
      data: that were scored.
      shown: label of each part -> name and content of its file; the last is shown at length.
      parts: the same labels -> predictions.
      suspects: what of them was not trained on, whose labels may be suspected.
      prefix: of the file of suspected labels.
    """
    content = of_predictions(
        run.classes, data.index, shown, parts, suspects=suspects, suspected_file=f"{prefix}{SUSPECTED}",
        folder=run.workdir / FOLDER,
    )  # fmt: skip
    name, other = content["files"], "class_map" in content["scores"]
    return content | {
        "versions": read_record(run.workdir).versions,
        "counts": _counts(data, content["order"], name if other else ""),
        "trust": _trust(run.workdir, shown),
        "commands": words.commands(run.workdir, run.config, is_model=holds_model(run.workdir)),
    }


def of_predictions(
    classes: Sequence[CellClass],
    index: DataIndex,
    shown: Mapping[str, tuple[str, Scores]],
    parts: Mapping[str, Predictions],
    *,
    suspects: Mapping[str, Predictions],
    suspected_file: str,
    folder: Path,
) -> dict[str, Any]:
    """What follows from predictions and their scores alone: scores, matrix, mistakes, suspected labels.

    Args:
      classes: in the order of the scores.
      index: where the pictures are.
      shown: label of each part -> name and content of its file; the last is shown at length.
      parts: the same labels -> predictions.
      suspects: what of them was not trained on, whose labels may be suspected.
      suspected_file: name of the file of suspected labels, which is written.
      folder: where it goes.
    """
    order = display_order(classes)
    label, (name, scores) = [*shown.items()][-1] if shown else ("", ("", {}))
    found = gallery.suspected(suspects) if suspects else []
    if suspects:
        gallery.write_suspected(folder / suspected_file, found, scores["class_names"])
    wrong = gallery.mistakes(label, parts[label]) if shown else []
    names = [one.name for pair in _in_turn(wrong[: gallery.SHOWN], found[: gallery.SHOWN]) for one in pair]
    return {
        "notice": NOTICE,
        "part": label,
        "files": name,
        "scores": scores,
        "min_groups": MIN_GROUPS,
        "grouped": are_of_groups(scores),
        "classes": classes,
        "order": order,
        "summaries": [_sentences(evaluate.summary(one)) for one in _shown_once(shown)],
        "matrix": numbers.matrix(scores, order) if shown else None,
        "per_class": numbers.class_scores(scores, order) if shown else [],
        "mistakes": wrong,
        "suspected": found if suspects else None,
        "suspected_file": suspected_file,
        "doubtful": "uncertainty" in scores and other_laboratory.looks_different(scores["uncertainty"]),
        "looked_at": sum(len(part.labels) for part in suspects.values()),
        "pictures": gallery.pictures(index, names),
        "limit": gallery.SHOWN,
        "parts": [*suspects],
    }


def _shown_once(shown: Mapping[str, tuple[str, Scores]]) -> list[Scores]:
    """Scores of each part, the last first, and without what the page's warnings say of that one."""
    *others, last = [scores for _, scores in shown.values()] or [{}]
    kept = {name: value for name, value in last.items() if name != "num_trained_on"}
    return [kept, *reversed(others)] if shown else []


def _in_turn(
    first: Sequence[gallery.Shown], second: Sequence[gallery.Shown]
) -> Iterator[list[gallery.Shown]]:
    """The galleries' cells by rank, so that both keep their first pictures where there is no room for all."""
    for rank in range(max(len(first), len(second))):
        yield [*first[rank : rank + 1], *second[rank : rank + 1]]


def _counts(data: Data, order: Sequence[int], other: str) -> dict[str, Any]:
    """Readable images of each class and part, groups, and what was left out.

    Args:
      data: of the run or another source.
      order: of the classes.
      other: name of the files of another source; empty for the run's own data.
    """
    good, index = data.prepared.good, data.index
    parts = np.full(len(good), "images") if other else data.splits[good]
    columns = ["images"] if other else [name for name in SPLITS if (parts == name).any()]
    groups = None if index.groups is None else index.groups[good]
    labels = index.labels[good]
    return {
        **numbers.counts(labels, parts, columns, order, classes=index.num_classes, groups=groups),
        "left_out": len(data.prepared.bad) + len(index.skipped),
        "skipped": f"{other}_{SKIPPED_FILE}" if other else SKIPPED_FILE,
        "source": index.source,
    }


def _trust(workdir: Path, shown: Mapping[str, tuple[str, Scores]]) -> dict[str, Any] | None:
    """Calibration and abstention; None where no estimates were fitted for these scores."""
    if not shown:
        return None
    label, (_, scores) = [*shown.items()][-1]
    content = _estimates(workdir, scores)
    if content is None:
        return None
    estimates = Uncertainty.from_json(content)
    if "class_map" in scores:
        measured = {"other": scores["uncertainty"]} if "uncertainty" in scores else {}
        lines = other_laboratory.sentences(scores["uncertainty"]) if measured else []
        name = "of these"
    else:
        measured = uncertainty_report.measured_parts(content)
        name = [*measured][-1]
        lines = [
            line
            for line in uncertainty_report.summary(estimates, content).splitlines()
            if not line.endswith(":")
        ]
    if not measured:
        return None
    kind = "validation images of the run"
    if scores.get("uncertainty", {}).get("adapted"):
        kind = "labelled cells that the model was adapted with (cross-fitted)"
    return {
        "lead": f"Set on {estimates.num_examples:,} {kind}, measured on "
        f"{measured[[*measured][-1]]['num_images']:,} {name} images; 95 % intervals in brackets.",
        "lines": _sentences("\n".join(lines)),
        "charts": trust.charts(
            measured,
            temperature=estimates.temperature.value,
            target=estimates.abstention.target_error,
            threshold=estimates.abstention.threshold,
        ),
        "tiles": trust.tiles(measured[label]) if label in measured else [],
    }


def _sentences(text: str) -> list[str]:
    """The lines of what is printed, each beginning with a capital letter."""
    lines = (line.strip() for line in text.splitlines())
    return [line[:1].upper() + line[1:] for line in lines]


def _estimates(workdir: Path, scores: Scores) -> dict[str, Any] | None:
    """Content of the file of the estimates for the checkpoint and way of testing of `scores`."""
    for path in (uncertainty_file(workdir), *sorted(workdir.glob(f"{ESTIMATES}-*.json"))):
        if path.exists():
            content = read_json(path, remedy=REMEDY)
            if "conditions" in content and content["conditions"].items() <= scores.items():
                return content
    return None
