"""Rows as they come: printed, kept as JSON lines, and as a table in Markdown that is always complete."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.files import atomic_text
from benchmarks.accelerator.plan import GOALS

ROWS, TABLE = "results.jsonl", "results.md"
COLUMNS = ("what", "model", "batch", "layer", "dtype", "figure", "10 to 90 %", "more")
ABOUT, STEP, FIGURE, FAILED = "about", "step", "figure", "failed"
"""Kinds of rows: what is measured on; a training step; another figure, with its goal where there is one; what
came to nothing."""


class Report:
    """The rows so far.

    Args:
      folder: where they are written, made if missing.
      judged: whether figures are compared with the goals, which are those of the whole size.
    """

    def __init__(self, folder: Path, *, judged: bool):
        folder.mkdir(parents=True, exist_ok=True)
        self.rows: list[dict[str, Any]] = []
        self._folder, self._judged, self._began = folder, judged, time.monotonic()
        self._title = ""
        (folder / ROWS).write_text("", encoding="utf-8")

    def begin(self, title: str, platform: str) -> None:
        """Keeps on what it is measured; no goal is set for CPUs."""
        self._title, self._judged = title, self._judged and platform != "cpu"
        self._write({"kind": ABOUT, "what": title, "platform": platform})
        print(title, flush=True)

    def add(self, kind: str, what: str, **fields: Any) -> None:
        """A row; written before anything else is measured."""
        row = {"kind": kind, "what": what, **fields, "at_s": round(time.monotonic() - self._began, 1)}
        if what in GOALS:
            goal, sense = GOALS[what]
            row |= {"goal": goal, "sense": sense, "met": None}
            if self._judged and kind == FIGURE:
                row["met"] = row["value"] >= goal if sense == "at least" else row["value"] <= goal
        self.rows.append(row)
        self._write(row)
        with atomic_text(self._folder / TABLE) as file:
            file.write(self.table())
        print("  ".join(cell for cell in cells(row) if cell), flush=True)

    def _write(self, row: dict[str, Any]) -> None:
        with (self._folder / ROWS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def figure(self, what: str, values: Sequence[float], **fields: Any) -> None:
        """A row of the median of `values`, and their spread."""
        low, middle, high = (float(each) for each in np.quantile(values, [0.1, 0.5, 0.9]))
        self.add(FIGURE, what, value=middle, low=low, high=high, **fields)

    def table(self) -> str:
        """All rows in Markdown."""
        lines = [self._title, "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
        lines += [f"| {' | '.join(cells(row))} |" for row in self.rows]
        return "\n".join(lines) + "\n"


def cells(row: dict[str, Any]) -> list[str]:
    """A row as it stands in the table, `COLUMNS`."""
    about = [str(row.get(name, "")) for name in ("model", "batch_size", "layer", "dtype")]
    if row["kind"] == FAILED:
        return [row["what"], *about, "not measured", "", row["reason"].replace("|", "/")]
    if row["kind"] == FIGURE:
        figure, spread = (
            f"{row['value']:.4g} {row.get('unit', '')}".strip(),
            f"{row['low']:.4g} to {row['high']:.4g}",
        )
        return [row["what"], *about, figure, spread, "; ".join(_more_of_a_figure(row))]
    figure = f"{row['images_per_s']:,.0f} images/s, {row['ms']:.4g} ms"
    return [
        row["what"],
        *about,
        figure,
        f"{row['ms_low']:.4g} to {row['ms_high']:.4g} ms",
        "; ".join(_more(row)),
    ]


def _more_of_a_figure(row: dict[str, Any]) -> list[str]:
    words = [row["note"]] if "note" in row else []
    if "goal" in row:
        met = {True: "reached", False: "missed", None: "not judged here"}[row["met"]]
        words.append(f"goal {row['sense']} {row['goal']:g}: {met}")
    return words


def _more(row: dict[str, Any]) -> list[str]:
    words = []
    if row["matrix_share"] is not None:
        words.append(f"{row['matrix_share']:.1%} of the matrix rate")
    if row["planned_gib"] is not None:
        words.append(f"{row['planned_gib']:.2f} GiB planned")
    if row["peak_gib"] is not None:
        words.append(f"peak {row['peak_gib']:.2f} GiB")
    words.append(f"{row['to_first_step_s']:.1f} s to the first step")
    if row["compile_s"] is not None:
        words.append(f"{row['compile_s']:.1f} s of it compiling")
    return [*words, *["timed alone"] * (not row["interleaved"])]
