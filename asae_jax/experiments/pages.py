"""The report in files: report.json, results.csv, report.md, and a report.html that needs nothing else."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from asae_jax.experiments.results import METRICS, FinishedRun, Results
from asae_jax.files import atomic_text, write_text
from asae_jax.input.cell_classes import CellClass, display_order
from asae_jax.json_files import write_json
from asae_jax.pages import environment

PAGE = "report.html"

_METRIC_NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1"}
_COLUMNS = ("row", "seed", "status", "tables", *METRICS, "weighted_f1", "nll", "ece", "num_examples",
            *(f"validation_{metric}" for metric in METRICS), "parameters", "images_per_second", "peak_memory",
            "seconds", "error")  # fmt: skip
_MINUS = "\N{MINUS SIGN}"
_NONE = "\N{EN DASH}"


def write_pages(workdir: Path, report: Mapping[str, Any], results: Results) -> None:
    """Writes all four files into `workdir`; older ones are replaced."""
    write_json(workdir / "report.json", report, indent=1)
    _write_csv(workdir / "results.csv", report, results)
    for name, escaped in ((PAGE, True), ("report.md", False)):
        template = _environment(escaped).get_template(name)
        order = _shown_classes(results.classes, report["data"]["test_images_per_class"])
        write_text(workdir / name, template.render(report=report, metrics=_METRIC_NAMES, order=order))


def _shown_classes(classes: Sequence[CellClass], images: Mapping[str, int]) -> list[str]:
    """The classes with test images, in display order."""
    return [classes[n].code for n in display_order(classes) if images[classes[n].code]]


def _write_csv(path: Path, report: Mapping[str, Any], results: Results) -> None:
    """One line per run: its scores and costs, or why it has none."""
    tables: dict[str, list[str]] = {}
    for section in report["tables"]:
        for entry in section["entries"]:
            tables.setdefault(entry["run_as"], []).append(section["name"])
    parameters = {cost["row"]: cost["parameters"] for cost in report["costs"]}
    with atomic_text(path) as file:
        writer = csv.DictWriter(file, _COLUMNS, restval="")
        writer.writeheader()
        for row, named in tables.items():
            common = {
                "row": row,
                "tables": " ".join(dict.fromkeys(named)),
                "parameters": parameters.get(row, ""),
            }
            done = {run.seed: run for run in results.runs[row]}
            for seed in report["seeds"]:
                line = _finished(done[seed]) if seed in done else _unfinished(f"{row}-s{seed}", results)
                writer.writerow(common | {"seed": seed} | line)


def _finished(run: FinishedRun) -> dict[str, Any]:
    fields = ("weighted_f1", "nll", "ece", "num_examples")
    return (
        {name: run.scores[name] for name in (*METRICS, *fields)}
        | {f"validation_{name}": run.validation.get(name, "") for name in METRICS}
        | {
            "status": "finished",
            "images_per_second": run.images_per_second or "",
            "peak_memory": run.record.peak_memory or "",
            "seconds": round(run.record.seconds, 1),
        }
    )


def _unfinished(name: str, results: Results) -> dict[str, Any]:
    error = results.failures.get(name)
    return {"status": "not run"} if error is None else {"status": "failed", "error": error}


def _environment(escaped: bool) -> jinja2.Environment:
    filters: dict[str, Callable] = {
        "percent": _percent,
        "estimate": _estimate,
        "points": _points,
        "interval": _interval,
        "p": _p,
        "count": lambda n: _NONE if n is None else f"{n:,.0f}",
        "gigabytes": lambda n: _NONE if n is None else f"{n / 2**30:.1f} GiB",
        "minutes": lambda s: f"{s / 60:.1f} min",
        "place": _place,
        "shade": _shade,
    }
    return environment("asae_jax.experiments", filters, autoescape=escaped)


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.1f}"


def _estimate(estimate: Mapping[str, Any] | None) -> str:
    """A mean in percent ± half of its interval."""
    if estimate is None:
        return _NONE
    if estimate["low"] is None:
        return _percent(estimate["mean"])
    return f"{_percent(estimate['mean'])} ± {_percent(estimate['mean'] - estimate['low'])}"


def _points(difference: float | None) -> str:
    """A difference of shares in points, with its sign."""
    if difference is None:
        return _NONE
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", _MINUS)


def _interval(ends: Any) -> str:
    """The ends of an interval of differences, in points: a pair, a mapping that has them, or None."""
    low, high = (ends["low"], ends["high"]) if isinstance(ends, Mapping) else ends or (None, None)
    return "no interval" if low is None else f"[{_points(low)}, {_points(high)}]"


def _p(value: float | None) -> str:
    if value is None:
        return _NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _place(difference: float, reach: float) -> str:
    """Where a difference lies on an axis from -reach to reach, as a CSS percentage."""
    return f"{50 + 50 * max(-1.0, min(difference / reach, 1.0)):.2f}%"


def _shade(difference: float) -> str:
    """A background for a change of recall: blue for more, orange for less, full at 20 points."""
    share = 100 * min(abs(difference) / 0.2, 1.0)
    return f"color-mix(in srgb, var(--{'good' if difference > 0 else 'bad'}-pale) {share:.0f}%, var(--card))"
