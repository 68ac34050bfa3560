"""What is known about each cell: a small JSON file of its own, replaced as a whole."""

import dataclasses
import json
from pathlib import Path

FINISHED, FAILED, INTERRUPTED = "finished", "failed", "interrupted"

_FOLDER = "cells"


@dataclasses.dataclass(frozen=True)
class Record:
    """How the last attempt at a cell ended.

    Attributes:
      status: "finished", "failed" or "interrupted".
      seconds: wall-clock time of all attempts together.
      peak_memory: largest resident memory of the process in bytes; 0 where it cannot be measured.
      error: why it failed, in one line.
      jobs: how many cells ran side by side.
    """

    status: str
    seconds: float
    peak_memory: int = 0
    error: str = ""
    jobs: int = 1


def run_folder(workdir: Path, cell: str) -> Path:
    """Where the run of a cell lies."""
    return workdir / "runs" / cell


def log_file(workdir: Path, cell: str) -> Path:
    """What the run of a cell printed."""
    return workdir / "logs" / f"{cell}.log"


def scores_file(workdir: Path, cell: str) -> Path:
    """The scores of a finished cell."""
    return run_folder(workdir, cell) / "evaluation" / "test.json"


def read_record(workdir: Path, cell: str) -> Record | None:
    """The record of a cell; None where there is none that can be read."""
    try:
        return Record(**json.loads(_file(workdir, cell).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # never begun, or of another version: it is run (again)
        return None


def write_record(workdir: Path, cell: str, record: Record) -> None:
    """Replaces the record of a cell."""
    path = _file(workdir, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(dataclasses.asdict(record), indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def is_finished(workdir: Path, cell: str) -> bool:
    """True when the run of a cell came to its end and its scores are there.

    Scores without a record do not count: a run may have been killed between its last files. It is started
    once more, finds its training done, and scores again.
    """
    record = read_record(workdir, cell)
    return record is not None and record.status == FINISHED and scores_file(workdir, cell).exists()


def _file(workdir: Path, cell: str) -> Path:
    return workdir / _FOLDER / f"{cell}.json"
