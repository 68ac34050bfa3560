"""What a person sees while the grid runs: one bar over all cells with the time left, a line per cell."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from asae_jax.experiments.grid import Cell
from asae_jax.experiments.process import Running
from asae_jax.experiments.records import FINISHED, Record, log_file, run_folder, scores_file
from asae_jax.training.writer import FILE as METRICS_FILE

_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total} cells [{elapsed}, {remaining} left]{postfix}"
_REFRESH_SECONDS = 2.0 if sys.stderr.isatty() else 60.0
_TAIL = 4096  # bytes at the end of metrics.jsonl that hold its last lines


class Progress:
    """The bar; counts the epochs of cells at work as parts of a cell.

    Args:
      cells: all of the grid.
      num_finished: of them, before this start.
      workdir: of the grid.
    """

    def __init__(self, cells: Sequence[Cell], num_finished: int, workdir: Path):
        self._cells = {cell.name: cell for cell in cells}
        self._workdir = workdir
        self._done = float(num_finished)
        self._refreshed = time.monotonic()
        started = sum(self._share(cell.name) for cell in cells if not _has_scores(workdir, cell.name))
        self._bar = tqdm(
            total=len(cells), initial=num_finished + started, desc="reproduce", bar_format=_FORMAT
        )

    def tick(self, running: Mapping[str, Running]) -> None:
        """Moves the bar now and then."""
        if time.monotonic() - self._refreshed < _REFRESH_SECONDS:
            return
        self._refreshed = time.monotonic()
        self._bar.n = max(self._bar.initial, self._done + sum(self._share(name) for name in running))
        self._bar.set_postfix_str(", ".join(running), refresh=False)
        self._bar.refresh()

    def ended(self, cell: Cell, record: Record) -> None:
        """Prints how a cell ended."""
        self._done += 1
        minutes = f"{record.seconds / 60:.1f} min"
        if record.status == FINISHED:
            scores = json.loads(scores_file(self._workdir, cell.name).read_text(encoding="utf-8"))
            line = f"test accuracy {scores['accuracy']:.3f}, macro-F1 {scores['macro_f1']:.3f}"
        else:
            log = log_file(self._workdir, cell.name)
            line = f"{record.status}{': ' + record.error if record.error else ''} (see {log})"
        self._bar.write(f"{cell.name}: {line}, {minutes}")

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()

    def _share(self, name: str) -> float:
        """How much of the cell's training is done, 0 to 1."""
        epochs = self._cells[name].config.train.epochs
        return min(_last_epoch(run_folder(self._workdir, name) / METRICS_FILE) / epochs, 1.0)


def _has_scores(workdir: Path, name: str) -> bool:
    return scores_file(workdir, name).exists()


def _last_epoch(path: Path) -> float:
    """The epoch of the last whole line; 0 where there is none."""
    if not path.exists():
        return 0.0
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - _TAIL, 0))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            return float(json.loads(line)["epoch"])
        except (ValueError, KeyError):  # cut at the start of what was read, or being written
            continue
    return 0.0
