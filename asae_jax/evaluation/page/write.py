"""Writes the page of a run, `index.html`, and that of a single evaluation, `evaluation/<name>.html`.

Every number on a page is read from the files beside it; the data are needed for counts and pictures only.
A page is one self-contained file without a script, and its content security policy forbids any request.
"""

import contextlib
import importlib.resources
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
from markupsafe import Markup

from asae_jax.config import CONFIG_FILE, read_run_config
from asae_jax.evaluation import elsewhere, evaluate, uncertainty_report
from asae_jax.evaluation.page import curves, gallery, numbers, trust, words
from asae_jax.evaluation.predictions import Predictions, read_predictions
from asae_jax.evaluation.provenance import FOLDER, own_scores
from asae_jax.evaluation.uncertainty import FOLDER as ESTIMATES
from asae_jax.evaluation.uncertainty import Uncertainty, uncertainty_file
from asae_jax.files import read_json, write_text
from asae_jax.input.split import SPLITS
from asae_jax.pages import NOTICE, environment, printable
from asae_jax.run.data import SKIPPED_FILE, Data
from asae_jax.run.folder import read_metrics, read_record
from asae_jax.run.model_folder import holds_model
from asae_jax.run.run import Run

PAGE = "index.html"
SUSPECTED = "suspected_labels.csv"

_PACKAGE = "asae_jax.evaluation.page"
_REMEDY = "evaluate the run again"
Scores = Mapping[str, Any]


def write_run_page(run: Run) -> None:
    """Writes `index.html` and `evaluation/suspected_labels.csv` of a run with its own data.

    The scores shown are those under the settings that the run records. What cannot be written is a warning
    of one line: it ends neither a training nor an evaluation.
    """
    with _only_warned(run.workdir / PAGE):
        recorded = _as_recorded(run)
        shown = {
            split: found
            for split in ("validation", "test")
            if (found := own_scores(recorded, recorded.data, split)) is not None
        }
        parts = {split: _predictions(run.workdir, name, scores) for split, (name, scores) in shown.items()}
        content = _of_training(recorded, {split: scores for split, (_, scores) in shown.items()})
        content |= _of_scores(recorded, recorded.data, shown, parts, suspects=parts, prefix="")
        content |= {
            "title": f"Run {recorded.workdir.absolute().name}",
            "warnings": [],
            "others": _others(recorded.workdir, {name for name, _ in shown.values()}),
            "home": "",
            "folder": f"{FOLDER}/",
        }
        write_text(run.workdir / PAGE, _rendered(content))


def write_evaluation_page(run: Run, data: Data, name: str, scores: Scores) -> None:
    """Writes `evaluation/<name>.html` of a single evaluation, of the run's own data or others.

    Args:
      run: whose evaluation it is.
      data: that were scored.
      name: of its files.
      scores: content of `evaluation/<name>.json`.
    """
    path = run.workdir / FOLDER / f"{name}.html"
    with _only_warned(path):
        other, split = "class_map" in scores, scores["split"]
        label = "other" if other else split
        parts = {label: _predictions(run.workdir, name, scores)}
        suspects = parts if other or split in ("validation", "test") else {}
        content = _of_scores(run, data, {label: (name, scores)}, parts, suspects=suspects, prefix=f"{name}_")
        place = Path(scores["path"]).name or scores["source"] if other else f"the part {split}"
        content |= {
            "title": f"Run {run.workdir.absolute().name} on {place}",
            "warnings": elsewhere.warnings_of(scores) if other else _warnings(scores),
            "others": [],
            "training": [],
            "charts": [],
            "home": f"../{PAGE}" if (run.workdir / PAGE).exists() else "",
            "folder": "",
        }
        write_text(path, _rendered(content))


@contextlib.contextmanager
def _only_warned(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings.warn(
            f"the page {path} could not be written ({reason}); scores and weights are not touched by that, "
            "and `evaluate` writes it again",
            stacklevel=4,
        )


def _as_recorded(run: Run) -> Run:
    """The run under the settings of its folder, not those of the command."""
    if not (run.workdir / CONFIG_FILE).exists():
        return run
    recorded = Run(run.workdir, read_run_config(run.workdir), run.class_names)
    recorded.data = run.data
    return recorded


def _predictions(workdir: Path, name: str, scores: Scores) -> Predictions:
    return read_predictions(workdir / FOLDER / f"{name}_predictions.csv", scores["class_names"])


def _of_training(run: Run, scored: Mapping[str, Scores]) -> dict[str, Any]:
    """What was trained and how it went."""
    training, validation = (read_metrics(run.workdir, kind) for kind in ("train", "validation"))
    steps = [scores["step"] for scores in scored.values() if "step" in scores]
    chosen = curves.chosen_epoch(steps[-1], training) if steps else None
    return {
        "training": words.training(run.config, validation, chosen),
        "charts": curves.curves(run.config, training, validation, chosen),
    }


def _of_scores(
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
      suspects: those of them that were not trained on, whose labels may be suspected.
      prefix: of the file of suspected labels.
    """
    classes, order = _classes(run)
    label, (name, scores) = [*shown.items()][-1] if shown else ("", ("", {}))
    found = gallery.suspected(suspects) if suspects else []
    if suspects:
        gallery.write_suspected(run.workdir / FOLDER / f"{prefix}{SUSPECTED}", found, run.class_names)
    wrong = gallery.mistakes(label, parts[label]) if shown else []
    names = [one.name for pair in _in_turn(wrong[: gallery.SHOWN], found[: gallery.SHOWN]) for one in pair]
    return {
        "notice": NOTICE,
        "versions": read_record(run.workdir).versions,
        "part": label,
        "files": name,
        "scores": scores,
        "classes": classes,
        "order": order,
        "summaries": [evaluate.summary(one).splitlines() for _, one in reversed(shown.values())],
        "counts": _counts(data, order, own="class_map" not in scores),
        "matrix": numbers.matrix(scores, order) if shown else None,
        "per_class": numbers.class_scores(scores, order) if shown else [],
        "mistakes": wrong,
        "suspected": found if suspects else None,
        "suspected_file": f"{prefix}{SUSPECTED}",
        "looked_at": sum(len(part.labels) for part in suspects.values()),
        "pictures": gallery.pictures(data.index, names),
        "limit": gallery.SHOWN,
        "trust": _trust(run.workdir, shown),
        "commands": words.commands(run.workdir, run.config, is_model=holds_model(run.workdir)),
        "parts": [*suspects],
    }


def _in_turn(
    first: Sequence[gallery.Shown], second: Sequence[gallery.Shown]
) -> Iterator[list[gallery.Shown]]:
    """The galleries' cells by rank, so that both keep their first pictures where there is no room for all."""
    for rank in range(max(len(first), len(second))):
        yield [*first[rank : rank + 1], *second[rank : rank + 1]]


def _classes(run: Run) -> tuple[list[dict[str, str]], list[int]]:
    """Name and full name of each class, and the order to show them in."""
    return [{"code": name, "name": "", "lineage": ""} for name in run.class_names], [*range(run.num_classes)]


def _counts(data: Data, order: Sequence[int], *, own: bool) -> dict[str, Any]:
    """Readable images of each class and part, groups, and what was left out."""
    good, index = data.prepared.good, data.index
    parts = data.splits[good] if own else np.full(len(good), "images")
    columns = [name for name in SPLITS if (parts == name).any()] if own else ["images"]
    table = numbers.counts_by_part(index.labels[good], parts, columns, index.num_classes)
    groups = None
    if index.groups is not None:
        sets = [set(index.groups[good][parts == name].tolist()) for name in columns]
        groups = {
            "total": len(set().union(*sets)),
            "of": [len(one) for one in sets],
            "shared": sum(sum(group in one for one in sets) > 1 for group in set().union(*sets)),
        }
    return {
        "columns": columns,
        "rows": [(index.class_names[c], table[c], sum(table[c])) for c in order],
        "totals": [sum(column) for column in zip(*table, strict=True)],
        "total": len(good),
        "groups": groups,
        "left_out": len(data.prepared.bad) + len(index.skipped),
        "skipped": SKIPPED_FILE,
        "source": index.source,
    }


def _trust(workdir: Path, shown: Mapping[str, tuple[str, Scores]]) -> dict[str, Any] | None:
    """Calibration and abstention; None where no estimates were fitted for these scores."""
    if not shown:
        return None
    scores = [*shown.values()][-1][1]
    content = _estimates(workdir, scores)
    if content is None:
        return None
    estimates = Uncertainty.from_json(content)
    if "class_map" in scores:
        measured = {"other": scores["uncertainty"]} if "uncertainty" in scores else {}
        lines = elsewhere.sentences(scores["uncertainty"]) if measured else []
        name = "these"
    else:
        measured = {
            name: part for name, part in content["measured"].items() if name in ("validation", "test")
        }
        name = [*measured][-1]
        lines = [
            line
            for line in uncertainty_report.summary(estimates, content).splitlines()
            if not line.endswith(":")
        ]
    if not measured:
        return None
    return {
        "lead": f"Set on {estimates.num_examples:,} validation images of the run, measured on "
        f"{measured[[*measured][-1]]['num_images']:,} {name} images; 95 % intervals in brackets.",
        "lines": [line.strip()[:1].upper() + line.strip()[1:] for line in lines],
        "charts": trust.charts(
            measured,
            temperature=estimates.temperature.value,
            target=estimates.abstention.target_error,
            threshold=estimates.abstention.threshold,
        ),
        "measured": measured,
    }


def _estimates(workdir: Path, scores: Scores) -> dict[str, Any] | None:
    """Content of the file of the estimates for the checkpoint and way of testing of `scores`."""
    for path in (uncertainty_file(workdir), *sorted(workdir.glob(f"{ESTIMATES}-*.json"))):
        if path.exists():
            content = read_json(path, remedy=_REMEDY)
            if content["conditions"].items() <= scores.items():
                return content
    return None


def _warnings(scores: Scores) -> list[str]:
    if scores["split"] in ("train", "all"):
        return ["These scores are of images that the run was trained on: new ones do worse."]
    return []


def _others(workdir: Path, shown: set[str]) -> list[dict[str, Any]]:
    """The evaluations of the run that the page does not show, each with the address of its own page."""
    found = []
    for path in sorted((workdir / FOLDER).glob("*.json")):
        scores = read_json(path, remedy=_REMEDY)
        if path.stem in shown or not isinstance(scores, Mapping) or "accuracy" not in scores:
            continue
        page = path.with_suffix(".html")
        found.append(
            {
                "name": path.stem,
                "address": f"{FOLDER}/{quote(page.name)}" if page.exists() else "",
                "of": scores.get("path") or scores.get("source", "")
                if "class_map" in scores
                else scores.get("split"),
                "scores": scores,
            }
        )
    return found


def _rendered(content: Mapping[str, Any]) -> str:
    return _environment().get_template("page.html").render(**content, style=Markup(_style()))


def _style() -> str:
    return (importlib.resources.files(_PACKAGE) / "page.css").read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    filters: dict[str, Callable] = {"count": "{:,}".format, "percent": _percent, "address": quote}
    return environment(_PACKAGE, filters, finalize=printable)


def _percent(share: float | None, digits: int = 0) -> str:
    return "none" if share is None else f"{100 * share:.{digits}f}"
