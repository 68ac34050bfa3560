"""The content of the report: what report.json holds and the pages show."""

import dataclasses
import datetime
import functools
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax.config import copy_with
from asae_jax.evaluation.bootstrap import few_groups, numbers_of_groups
from asae_jax.evaluation.metrics import summarise
from asae_jax.experiments.grid import Grid, is_finished, read_record, run_folder
from asae_jax.experiments.results import METRICS, FinishedRun, Results, row_costs
from asae_jax.experiments.rows import PAPER_TABLES, ROWS, Comparison, Table
from asae_jax.experiments.settings import public_options, row_config, training_settings
from asae_jax.experiments.statistics import (
    Outcome,
    ResampledScores,
    Verdict,
    bootstrap_confusions,
    compare,
    falls_short,
    holm,
    paper_verdict,
    t_estimate,
    verdict,
    why_undecided,
)
from asae_jax.input.groups import known_groups
from asae_jax.pages import NOTICE
from asae_jax.run import folder

_MIN_RESAMPLES = 1000
_SAME = "both rows are the same method here: their difference is chance"


def build_report(
    grid: Grid, tables: Mapping[str, Table], results: Results, base: ConfigDict, workdir: Path
) -> dict[str, Any]:
    """Everything the pages say, ready for JSON.

    Args:
      grid: what was to be run.
      tables: name -> table, in the order of the report.
      results: what the finished runs measured.
      base: the configuration that all rows share.
      workdir: folder of the grid.
    """
    resampled = _resampled(results, grid, base)
    same = functools.partial(_same_method, base, len(results.class_names))
    sections = [_table(name, table, results, grid, resampled, same) for name, table in tables.items()]
    versions = _versions(grid, workdir)
    return {
        "notice": NOTICE,
        "written": datetime.date.today().isoformat(),
        "status": _status(grid, results, workdir),
        "data": _data(results, base),
        "machine": _machine(versions),
        "settings": public_options(row_config(base, ROWS["plain"], seed=base.seed)),
        "seeds": list(grid.seeds),
        "networks": _networks(grid),
        "remarks": [*_remarks_on_machines(versions), *_remarks(grid, tables, results, base)],
        "summary": _summary(sections),
        "tables": sections,
        "costs": _costs(grid, results),
        "rows": _rows(grid, base),
    }


def summary(report: Mapping[str, Any]) -> str:
    """A line or two for the screen."""
    lines = []
    for title, kind in (("the paper's claims", "claims"), ("our own comparisons", "questions")):
        counts = {verdict: len(listed) for verdict, listed in report["summary"][kind].items()}
        if sum(counts.values()):
            lines.append(
                f"{title}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
            )
    return "\n".join(lines)


def _resampled(results: Results, grid: Grid, base: ConfigDict) -> dict[str, dict[int, ResampledScores]]:
    """row -> seed -> scores of the same resamples of the test images.

    One run after the other, as confusion matrices of thousands of resamples are large.
    """
    of_first: dict[str, dict[int, ResampledScores]] = {row: {} for row in dict.fromkeys(grid.run_as.values())}
    for row, scores in of_first.items():
        for run in results.runs[row]:
            (matrices,) = bootstrap_confusions(
                results.labels,
                run.predictions[None],
                len(results.class_names),
                groups=results.groups,
                resamples=max(base.eval.bootstrap, _MIN_RESAMPLES),
            )
            scores[run.seed] = summarise(matrices)
    return {row: of_first[first] for row, first in grid.run_as.items()}


def _table(
    name: str,
    table: Table,
    results: Results,
    grid: Grid,
    resampled: Mapping[str, Mapping[int, ResampledScores]],
    same: Callable[[str, str], bool],
) -> dict[str, Any]:
    entries = [
        {
            "row": entry.row,
            "label": entry.label,
            "paper": entry.paper,
            "run_as": grid.run_as[entry.row],
            "note": ROWS[entry.row].note,
            **_scores(results.runs[entry.row]),
        }
        for entry in table.entries
    ]
    labels = {entry.row: entry.label for entry in table.entries}
    comparisons = [
        _comparison(table, comparison, labels,
                    compare(results, comparison.row, comparison.other, resampled=resampled),
                    same=same(comparison.row, comparison.other))
        for comparison in table.comparisons
    ]  # fmt: skip
    _add_holm(comparisons)
    return {"name": name, "title": table.title, "of_paper": name in PAPER_TABLES,
            "entries": entries, "comparisons": comparisons}  # fmt: skip


def _scores(runs: Sequence[FinishedRun]) -> dict[str, Any]:
    """Number of runs, mean and interval of each metric on the test part, means on the validation part."""
    validated = [run.validation for run in runs if run.validation]
    return {
        "runs": len(runs),
        "test": {
            metric: t_estimate(np.array([run.scores[metric] for run in runs]))._asdict() for metric in METRICS
        }
        if runs
        else None,
        "validation": {metric: float(np.mean([v[metric] for v in validated])) for metric in METRICS}
        if validated
        else None,
    }


def _comparison(
    table: Table, comparison: Comparison, labels: Mapping[str, str], outcome: Outcome | None, *, same: bool
) -> dict[str, Any]:
    gain = table.paper_gain(comparison)
    said: dict[str, Any] = {
        "row": comparison.row,
        "other": comparison.other,
        "label": labels[comparison.row],
        "other_label": labels[comparison.other],
        "paper_gain": gain,
        "outcome": None,
        "verdict": "not run",
        "because": "",
    }
    if outcome is None:
        return said
    accuracy = outcome.differences["accuracy"]
    plain = dataclasses.asdict(outcome)  # named tuples stay what they are: turned into dicts next
    plain["differences"] = {m: _difference(outcome, m) for m in METRICS}
    plain["images"] = outcome.images._asdict()
    plain["recall_changes"] = {c: e._asdict() for c, e in outcome.recall_changes.items()}
    if same:
        return said | {"outcome": plain, "verdict": Verdict.UNDECIDED.value, "because": _SAME}
    return said | {
        "outcome": plain,
        "verdict": verdict(accuracy).value if gain is None else paper_verdict(accuracy, gain),
        "because": _because(outcome, gain),
    }


def _same_method(base: ConfigDict, num_classes: int, row: str, other: str) -> bool:
    """Whether two rows differ at most in the name of a loss that is cross entropy for so few classes."""
    return _method(base, num_classes, row) == _method(base, num_classes, other)


def _method(base: ConfigDict, num_classes: int, row: str) -> str:
    config = row_config(base, ROWS[row], seed=base.seed)
    if _kept_negatives(config.loss) >= num_classes - 1:
        config = copy_with(config, {"loss.name": "ce"})
    return training_settings(config)


def _kept_negatives(loss: ConfigDict) -> int:
    """How many negative classes GCE or GMMCE keeps; 0 for other losses."""
    return {"gce": loss.k_high, "gmmce": loss.k_high + loss.k_low}.get(loss.name, 0)


def _because(outcome: Outcome, gain: float | None) -> str:
    """The remark beside the verdict."""
    accuracy = outcome.differences["accuracy"]
    short = gain is not None and verdict(accuracy) is not Verdict.WORSE and falls_short(accuracy, gain)
    parts = (why_undecided(outcome), "a gain as large as the paper's is ruled out" if short else "")
    return "; ".join(filter(None, parts))


def _difference(outcome: Outcome, metric: str) -> dict[str, Any]:
    difference = outcome.differences[metric]
    return {
        "over_seeds": difference.over_seeds._asdict(),
        "over_images": difference.over_images,
        "p": difference.p,
        "verdict": verdict(difference).value,
    }


def _add_holm(comparisons: Sequence[dict[str, Any]]) -> None:
    """Adds to each p over seeds of accuracy the p adjusted for the number of comparisons in the table."""
    differences = [c["outcome"]["differences"]["accuracy"] for c in comparisons if c["outcome"]]
    tested = [difference for difference in differences if difference["p"] is not None]
    for difference, p in zip(tested, holm([difference["p"] for difference in tested]), strict=True):
        difference["p_holm"] = p


def _summary(sections: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The paper's claims and our own comparisons, each once, by verdict."""
    claims: dict[tuple[str, str], dict[str, Any]] = {}
    questions: dict[tuple[str, str], dict[str, Any]] = {}
    for section in sections:
        for comparison in section["comparisons"]:
            kind = questions if comparison["paper_gain"] is None else claims
            kind.setdefault((comparison["row"], comparison["other"]), comparison | {"table": section["name"]})
    return {
        "claims": _by_verdict(claims.values(), ("holds", "does not hold", "cannot be decided", "not run")),
        "questions": _by_verdict(questions.values(), (*(v.value for v in Verdict), "not run")),
    }


def _by_verdict(comparisons: Any, verdicts: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    return {name: [c for c in comparisons if c["verdict"] == name] for name in verdicts}


def _status(grid: Grid, results: Results, workdir: Path) -> dict[str, Any]:
    unfinished = [run.name for run in grid.runs if not is_finished(workdir, run.name)]
    records = [record for run in grid.runs if (record := read_record(workdir, run.name))]
    return {
        "runs": len(grid.runs),
        "finished": len(grid.runs) - len(unfinished),
        "failed": dict(results.failures),
        "not_run": [name for name in unfinished if name not in results.failures],
        "hours": sum(record.seconds for record in records) / 3600,
        "jobs": max((record.jobs for record in records), default=1),
    }


def _data(results: Results, base: ConfigDict) -> dict[str, Any]:
    counts = np.bincount(results.labels, minlength=len(results.class_names))
    source, path = base.data.source, Path(base.data.path).name  # not the whole path, as reports are passed on
    return {
        "source": f"{source} ({path})" if path else source,
        "test_images": int(results.labels.size),
        "test_images_per_class": dict(zip(results.class_names, counts.tolist(), strict=True)),
        "groups": None if results.groups is None else len(known_groups(results.groups)),
    }


def _versions(grid: Grid, workdir: Path) -> dict[str, list[str]]:
    """Versions and devices of the finished runs, by name: several where the grid went on elsewhere."""
    found: dict[str, dict[str, None]] = {"device": {}}
    for run in grid.runs:
        if is_finished(workdir, run.name):
            for name, version in folder.read_record(run_folder(workdir, run.name)).versions.items():
                found.setdefault(name, {})[version] = None
    return {name: list(versions) for name, versions in found.items()}


def _machine(versions: Mapping[str, Sequence[str]]) -> dict[str, str]:
    named = {name: _joined(found) for name, found in versions.items() if found}
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {"machine": f"{named.pop('device', 'unknown')}; {system}"} | named


def _remarks_on_machines(versions: Mapping[str, Sequence[str]]) -> Iterator[str]:
    several = [f"{name} {_joined(found)}" for name, found in versions.items() if len(found) > 1]
    if several:
        yield (
            f"The runs were not all made alike ({'; '.join(several)}): two that are compared may be "
            "of unlike machines or versions, and costs are of each run's own."
        )


def _networks(grid: Grid) -> str:
    """Backbones and image sizes of the runs, in words: a row's own recipe has its own."""
    models = [run.config.model for run in grid.runs]
    names = list(dict.fromkeys(f"{model.name} ({_size(model)})" for model in models))
    sizes = sorted({run.config.augment.size for run in grid.runs})
    said = f"Backbone{'s' * (len(names) > 1)} {_joined(names)}, {_joined(sizes)} px"
    return f"{said} (see the settings of each row)" if len(names) * len(sizes) > 1 else said


_PUBLISHED = "width 64"


def _size(model: ConfigDict) -> str:
    """Width of a backbone, and its stem where that is not the published one."""
    return f"width {model.width}" + f", stem {model.stem}" * (model.stem != "imagenet")


def _joined(values: Sequence[Any]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last


def _remarks(grid: Grid, tables: Mapping[str, Table], results: Results, base: ConfigDict) -> list[str]:
    """The caveats that stand before the numbers."""
    negatives = len(results.class_names) - 1
    kept = base.loss.k_high + base.loss.k_low
    remarks = []
    if negatives <= kept and "asae-gmmce" in grid.run_as:
        remarks.append(
            f"With {negatives + 1} classes GMMCE with k+ + k- = {kept} keeps every class: it is cross "
            "entropy under another name here. Rows that differ in it alone are one method, and what lies "
            "between them is chance: the same computation, rounded in another order."
        )
    if len(grid.seeds) < 5:
        remarks.append(
            f"Few seeds ({len(grid.seeds)}): intervals over seeds are wide, and "
            "most differences of a point or two cannot be told from chance."
        )
    if base.model.name != "resnet50" and set(tables) & {*PAPER_TABLES} - {"3"}:
        remarks.append(
            f"Where the paper's tables say ResNet-50 the backbone is {base.model.name} "
            f"({_size(base.model)}) at {base.augment.size} px, except in Table 3, which names its backbones."
        )
    if "backbones" in tables and _size(base.model) != _PUBLISHED:
        remarks.append(
            "The modern backbones have the blocks of the published networks, but not their size: "
            f"{_size(base.model)}, where the published ones have width 64 and stem imagenet."
        )
    return [*remarks, *_remarks_on_images(results)]


def _remarks_on_images(results: Results) -> Iterator[str]:
    """What the test images can tell: whether they are new, and how they belong together."""
    runs = [run for of_row in results.runs.values() for run in of_row]
    if trained := _most(runs, "num_trained_on"):
        yield (
            f"{trained} of the {results.labels.size} test images are among those that were trained on: no "
            "measure of new images."
        )
    if shared := _most(runs, "num_groups_trained_on"):
        yield (
            f"{shared} of the slides or patients of the test part have training images too: cells of new "
            "ones are harder than all that is shown here."
        )
    if results.groups is None:
        yield (
            "No slides or patients are known: images of one patient may be in the training and the test "
            "part, and intervals take images for independent."
        )
        return
    if few := few_groups(*numbers_of_groups(results.groups).values()):
        yield f"Slides or patients of the test part: {few}."
    yield "The sign test over images takes those of one slide or patient for independent: its p is too small."


def _most(runs: Sequence[FinishedRun], count: str) -> int:
    """The largest of what the test scores say of `count`; 0 where none knows."""
    return max((run.scores.get(count) or 0 for run in runs), default=0)


def _costs(grid: Grid, results: Results) -> list[dict[str, Any]]:
    labels = {first: ROWS[row].label for row, first in reversed(list(grid.run_as.items()))}
    configs = {run.row: run.config for run in grid.runs}
    return [
        {"row": row, "label": labels[row],
         **row_costs(results.runs[row], configs[row], len(results.class_names))}
        for row in dict.fromkeys(grid.run_as.values())
        if results.runs[row]
    ]  # fmt: skip


def _rows(grid: Grid, base: ConfigDict) -> dict[str, dict[str, Any]]:
    """Label and settings of every row; settings as the options that turn the plain row into it."""
    configs = {run.row: run.config for run in grid.runs}
    plain = row_config(base, ROWS["plain"], seed=base.seed)
    return {
        row: {
            "label": ROWS[row].label,
            "run_as": first,
            "note": ROWS[row].note,
            "settings": public_options(configs[first], beside=plain),
        }
        for row, first in grid.run_as.items()
    }
