"""Writes the page of a run, `index.html`, and that of a single evaluation, `evaluation/<name>.html`.

Every number on a page is read from the files beside it, or follows from them; the data are needed for counts
and pictures only.
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
from ml_collections import ConfigDict

from asae_jax.config import CONFIG_FILE, read_run_config
from asae_jax.evaluation import other_laboratory
from asae_jax.evaluation.page import words
from asae_jax.evaluation.page.content import REMEDY, Scores, of_scores, of_training
from asae_jax.evaluation.predictions import Predictions, predictions_of
from asae_jax.evaluation.provenance import FOLDER, among_trained_on, own_scores
from asae_jax.evaluation.shares import fixed
from asae_jax.files import write_text
from asae_jax.json_files import read_json
from asae_jax.pages import environment, printable
from asae_jax.run.data import Data
from asae_jax.run.run import Run

PAGE = "index.html"

_PACKAGE = "asae_jax.evaluation.page"


def write_run_page(run: Run) -> set[str] | None:
    """Writes `index.html` and `evaluation/suspected_labels.csv` of a run with its own data.

    The scores shown are those under the settings that the run records. What cannot be written is a warning
    of one line: it ends neither a training nor an evaluation.

    Returns:
      Names of the evaluations that the page shows; None where it could not be written.
    """
    with _only_warned(run.workdir / PAGE):
        recorded = _as_recorded(run)
        shown = {
            split: found
            for split in ("validation", "test")
            if (found := own_scores(recorded, recorded.data, split)) is not None
        }
        folder = run.workdir / FOLDER
        parts = {
            split: predictions_of(folder / f"{name}.json", scores) for split, (name, scores) in shown.items()
        }
        content = of_training(recorded, {split: scores for split, (_, scores) in shown.items()})
        suspects = _not_trained_on(recorded, recorded.data, parts)
        content |= of_scores(recorded, recorded.data, shown, parts, suspects=suspects, prefix="")
        content |= {
            "title": f"Run {recorded.name}",
            "warnings": warnings_of([*shown.values()][-1][1]) if shown else [],
            "others": _others(recorded.workdir, recorded.config),
            "tested": "",
            "home": "",
            "folder": f"{FOLDER}/",
        }
        write_text(run.workdir / PAGE, render(content))
        return {name for name, _ in shown.values()}
    return None


def write_evaluation_page(run: Run, data: Data, name: str, scores: Scores) -> None:
    """Writes `evaluation/<name>.html` of a single evaluation, of the run's own data or others.

    The run's page, where there is one, then leads to it. What cannot be written is a warning of one line.

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
        parts = {label: predictions_of(path.with_suffix(".json"), scores)}
        suspects = _not_trained_on(run, data, parts) if other or split in ("validation", "test") else {}
        content = of_scores(run, data, {label: (name, scores)}, parts, suspects=suspects, prefix=f"{name}_")
        place = Path(scores["path"]).name or scores["source"] if other else f"the part {split}"
        content |= {
            "title": f"Run {run.name} on {place}",
            "warnings": other_laboratory.warnings_of(scores) if other else warnings_of(scores),
            "others": "",
            "tested": _tested(scores, words.other_testing(scores, _recorded(run))),
            "training": [],
            "charts": [],
            "home": f"../{PAGE}" if (run.workdir / PAGE).exists() else "",
            "folder": "",
        }
        write_text(path, render(content))
        _list_in_run_page(run)


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
    recorded = Run(run.workdir, _recorded(run), run.class_names)
    recorded.data = run.data
    if recorded.config.eval.checkpoint == run.config.eval.checkpoint:
        recorded.step = run.step  # which has been read
    return recorded


def _recorded(run: Run) -> ConfigDict:
    """The settings of its folder."""
    return read_run_config(run.workdir) if (run.workdir / CONFIG_FILE).exists() else run.config


def _tested(scores: Scores, other: Sequence[str]) -> str:
    """By which weights and how an evaluation was made, a sentence.

    Args:
      scores: of the evaluation.
      other: as `words.other_testing` says.
    """
    step = f"step {scores['step']:,}" if "step" in scores else "an unknown step"
    differs = f", tested otherwise than the run records: {', '.join(other)}" if other else ""
    return f"Scores of the weights of {step}{differs}."


def _not_trained_on(run: Run, data: Data, parts: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """Of each part the images that are not among those trained on, of which the network has learnt the label.

    Where that cannot be told all are taken. Parts of which nothing is left are left out.
    """
    row_of, kept = {name: row for row, name in enumerate(data.index.names.tolist())}, {}
    for part, given in parts.items():
        contents = data.index.contents[[row_of[name] for name in given.names.tolist()]]
        trained = among_trained_on(run, contents, pixels=data.index.source == "npz")
        rows = np.arange(len(contents)) if trained is None else np.flatnonzero(~trained)
        if len(rows):
            kept[part] = Predictions(*(column[rows] for column in given))
    return kept


def warnings_of(scores: Scores) -> list[str]:
    """What a reader of the run's scores on its own data must know, in plain sentences."""
    split, trained = scores["split"], scores.get("num_trained_on")
    if split == "train" or (split == "all" and not trained):  # files of earlier versions do not count them
        return ["These scores are of images that the run was trained on: new ones do worse."]
    if trained:
        too = "" if split == "all" else " as well"
        return [f"{trained:,} of the images are among those trained on{too}: new ones do worse."]
    return []


_OTHERS = "<!-- other evaluations -->"


def _others(workdir: Path, recorded: ConfigDict) -> Markup:
    """The section on evaluations that the run's page does not show, each with the address of its own."""
    found = []
    for path in sorted((workdir / FOLDER).glob("*.json")):
        scores, page = read_json(path, remedy=REMEDY), path.with_suffix(".html")
        if isinstance(scores, Mapping) and "accuracy" in scores and page.exists():
            of = scores.get("path") or scores["source"] if "class_map" in scores else scores["split"]
            told = words.other_testing(scores, recorded)
            if trained := scores.get("num_trained_on"):
                told.append(f"{trained:,} trained on")
            address = f"{FOLDER}/{quote(page.name)}"
            found.append({"name": path.stem, "address": address, "of": of, "told": told, "scores": scores})
    text = _environment().get_template("others.html").render(others=found)
    return Markup(f"{_OTHERS}{text}{_OTHERS}")


def _list_in_run_page(run: Run) -> None:
    """Lists the evaluations in the run's page anew; the rest of it would need the run's own data."""
    path = run.workdir / PAGE
    if path.exists():
        before, found, after = path.read_text(encoding="utf-8").partition(_OTHERS)
        if found:
            write_text(path, f"{before}{_others(run.workdir, _recorded(run))}{after.partition(_OTHERS)[2]}")


def render(content: Mapping[str, Any]) -> str:
    """The page, from all that its template asks for (`content.of_scores`, and what the writers here add)."""
    return _environment().get_template("page.html").render(**content, style=Markup(_style()))


def _style() -> str:
    return (importlib.resources.files(_PACKAGE) / "page.css").read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    filters: dict[str, Callable] = {"count": "{:,}".format, "percent": _percent, "address": quote}
    return environment(_PACKAGE, filters, finalize=printable)


def _percent(share: float | None, digits: int = 0) -> str:
    return "none" if share is None else fixed(100 * share, digits)
