"""The grid at work: as many cells at a time as there are places; what fails is recorded, the rest goes on."""

import collections
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from asae_jax.experiments.grid import Cell
from asae_jax.experiments.places import Place
from asae_jax.experiments.process import Running
from asae_jax.experiments.records import FAILED, FINISHED, INTERRUPTED, Record, read_record, write_record

Start = Callable[[Cell, Place], Running]
"""Starts a cell in a place."""

_POLL_SECONDS = 0.2


class Stop(Protocol):
    """Whether the grid was asked to end."""

    @property
    def requested(self) -> bool:
        """True from then on."""


class Watcher(Protocol):
    """Sees the grid go on."""

    def tick(self, running: Mapping[str, Running]) -> None:
        """Called several times a second with the running cells by name."""

    def ended(self, cell: Cell, record: Record) -> None:
        """Called when a cell has ended."""


def run_cells(
    cells: Sequence[Cell],
    places: Sequence[Place],
    workdir: Path,
    *,
    start: Start,
    stop: Stop,
    watcher: Watcher,
    poll_seconds: float = _POLL_SECONDS,
) -> None:
    """Runs `cells` in their order and writes a record of each that ends.

    When `stop` is requested no cell is started any more, and those at work are asked to save and end.

    Args:
      cells: those still to be done.
      places: each takes one cell at a time.
      workdir: of the grid.
      start: makes a cell a process.
      stop: looked at between polls.
      watcher: told what happens.
      poll_seconds: between two looks at the processes.
    """
    waiting, free = collections.deque(cells), list(places)
    running: dict[str, tuple[Cell, Place, Running]] = {}
    asked = False
    try:
        while running or (waiting and not stop.requested):
            while waiting and free and not stop.requested:
                cell, place = waiting.popleft(), free.pop(0)
                running[cell.name] = cell, place, start(cell, place)
            if stop.requested and not asked:
                asked = True
                for _, _, process in running.values():
                    process.interrupt()
            for cell, place, process in list(running.values()):
                if (status := process.poll()) is None:
                    continue
                del running[cell.name]
                free.append(place)
                record = _record(workdir, cell, process, status, asked, len(places))
                write_record(workdir, cell.name, record)
                watcher.ended(cell, record)
            watcher.tick({name: process for name, (_, _, process) in running.items()})
            time.sleep(poll_seconds)
    finally:
        for _, _, process in running.values():  # left by an error, or by a second Ctrl-C
            process.kill()


def _record(workdir: Path, cell: Cell, process: Running, status: int, asked: bool, jobs: int) -> Record:
    before = read_record(workdir, cell.name)
    if status == 0:
        outcome, error = FINISHED, ""
    else:
        outcome, error = (INTERRUPTED, "") if asked else (FAILED, process.error())
    return Record(
        status=outcome,
        seconds=process.seconds() + (before.seconds if before else 0.0),
        peak_memory=max(process.peak_memory(), before.peak_memory if before else 0),
        error=error,
        jobs=jobs,
    )
