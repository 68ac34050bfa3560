"""`reproduce`: runs the rows of the chosen tables, several seeds of each, and writes a report."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from asae_jax.config import CONFIG_FILE, check
from asae_jax.errors import UserError
from asae_jax.experiments.grid import (
    Grid,
    PlannedRun,
    is_finished,
    plan,
    prepare,
    run_folder,
    with_batch_size,
)
from asae_jax.experiments.pages import PAGE, write_pages
from asae_jax.experiments.report import build_report, summary
from asae_jax.experiments.results import read_results
from asae_jax.experiments.rows import ROWS, TRANSFER, Table, chosen_tables
from asae_jax.experiments.runner import Progress, TrainProcess, choose_slots, run_all
from asae_jax.experiments.settings import overruled, with_preset
from asae_jax.experiments.transfer.directions import Direction, directions, write_transfer
from asae_jax.files import disk_errors
from asae_jax.pages import NOTICE
from asae_jax.run.folder import VALIDATED, check_same_config
from asae_jax.training import interruption

EXIT_FAILED = 1
"""Exit status when a run failed; the report says which, and why."""

POLL_SECONDS = 0.2
"""Between two looks at the processes."""

_LOCK = "reproduce.lock"
_MOST_SHOWN = 6


def reproduce(config: ConfigDict, workdir: Path) -> int:
    """Runs the grid of `config.reproduce` and writes the report; goes on where it was stopped.

    Each run is an ordinary training run in `runs/<row>-s<seed>`, in a process of its own, with its output
    in `logs/` and how it ended in `records/`. Finished runs are not repeated: on a finished grid the command
    only writes the report anew. Failed runs are tried again.

    Args:
      config: the configuration that all rows share, and the section `reproduce`.
      workdir: folder of the grid.

    Returns:
      The exit status: 0, `EXIT_FAILED`, or 128 + signal when the grid was interrupted.

    Raises:
      UserError: settings or data that cannot be used, runs of other settings in `workdir`, or another grid
        at work there.
    """
    check(config)
    tables = chosen_tables(config.reproduce.tables)
    ways = directions(config, workdir) if TRANSFER in tables else [Direction(config, workdir)]
    status, done = 0, []
    for way in ways:
        of_way = tables if way is ways[0] else {TRANSFER: tables[TRANSFER]}
        grid, ended = _one_grid(way.config, of_way, way.workdir)
        status = max(status, ended)
        done.append((way, grid))
        if ended > EXIT_FAILED:
            return ended
    if TRANSFER in tables:
        _transfer(done, workdir)
    return status


def _one_grid(config: ConfigDict, tables: Mapping[str, Table], workdir: Path) -> tuple[Grid, int]:
    """Runs one grid and writes its report; the grid, and the exit status."""
    base = with_batch_size(with_preset(config), tables.values(), workdir)
    grid = plan(base, tables.values(), num_seeds=config.reproduce.seeds)
    _say_overruled(base, grid)
    for run in grid.runs:
        _check_same_run(workdir, run)
    with only_one(workdir) as kept_open:
        status = _run(grid, config.reproduce.jobs, workdir, kept_open)
        _report(grid, tables, base, workdir)
    return grid, status


def _transfer(done: Sequence[tuple[Direction, Grid]], workdir: Path) -> None:
    """Tests runs in the laboratory that they were not trained in."""
    with only_one(workdir), disk_errors(f"write to {workdir}", remedy="mend that and give the same command"):
        paths = write_transfer(done, workdir)
    if paths:
        print(f"in the other laboratory: {', '.join(map(str, paths))}. {NOTICE}")


def _say_overruled(base: ConfigDict, grid: Grid) -> None:
    """Says which of the given settings do not count, as a row has a recipe of its own."""
    for name in sorted(set(grid.run_as)):
        given = overruled(base, ROWS[name])
        if given:
            shown = [f"{field}={own} (not {value})" for field, (value, own) in given.items()]
            more = f" and {len(shown) - _MOST_SHOWN} more" * (len(shown) > _MOST_SHOWN)
            print(
                f"row {name} is trained by its own recipe {ROWS[name].file}, whatever is given: "
                f"{', '.join(shown[:_MOST_SHOWN])}{more}"
            )


def _run(grid: Grid, jobs: int, workdir: Path, kept_open: tuple[int, ...]) -> int:
    """Runs what is not finished; returns the exit status."""
    waiting = [run for run in grid.runs if not is_finished(workdir, run.name)]
    num_finished = len(grid.runs) - len(waiting)
    rows = len({run.row for run in grid.runs})
    print(f"{rows} rows x {len(grid.seeds)} seeds: {len(grid.runs)} runs, {num_finished} finished; {workdir}")
    if not waiting:
        return 0
    prepare(waiting, workdir)
    progress = Progress(
        grid.runs, num_finished, workdir, refresh_seconds=2.0 if sys.stderr.isatty() else 60.0
    )
    with (
        contextlib.closing(progress),
        interruption.watch() as stop,
        disk_errors(f"go on in {workdir}", remedy="mend that, then give the same command to go on"),
    ):
        run_all(
            waiting,
            choose_slots(jobs),
            workdir,
            start=lambda run, slot: TrainProcess(run, workdir, slot, kept_open=kept_open),
            stop=stop,
            progress=progress,
            poll_seconds=POLL_SECONDS,
        )
    if stop.requested:
        print("interrupted; the same command goes on from there.")
        return stop.exit_status
    return 0 if all(is_finished(workdir, run.name) for run in grid.runs) else EXIT_FAILED


def _report(grid: Grid, tables: Mapping[str, Table], base: ConfigDict, workdir: Path) -> None:
    results = read_results(grid, workdir, base.data)
    if results is None:
        print("no run is finished: there is nothing to report yet.")
        return
    report = build_report(grid, tables, results, base, workdir)
    with disk_errors(f"write the report to {workdir}", remedy="mend that and give the same command again"):
        write_pages(workdir, report, results)
    print(summary(report))
    print(f"written to {workdir / PAGE}, report.md, report.json and results.csv. {report['notice']}")


def _check_same_run(workdir: Path, run: PlannedRun) -> None:
    """Refuses a run of other settings where this one's would be."""
    folder = run_folder(workdir, run.name)
    if not (folder / CONFIG_FILE).exists():
        return
    check_same_config(folder, run.config, also=(*VALIDATED, "eval.batch_statistics", "eval.checkpoint"))


@contextlib.contextmanager
def only_one(workdir: Path) -> Iterator[tuple[int, ...]]:
    """Keeps a second grid out of `workdir`, also after this process was killed and its runs still go on.

    The lock belongs to the open file, whose descriptor is given: the runs inherit it, and the lock ends with
    the last of them. Windows has no such locks, nor do its processes inherit descriptors: none is given.

    Raises:
      UserError: `workdir` is taken or cannot be written to.
    """
    with disk_errors(f"write to {workdir}", remedy="choose another --workdir=DIR"):
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / _LOCK).open("w")
    with file:
        kept_open: tuple[int, ...] = (file.fileno(),)
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            kept_open = ()
        except OSError as error:
            raise UserError(
                f"another `reproduce`, or a run that one has left behind, is at work in {workdir}: wait "
                "until it has ended, or use another --workdir=DIR."
            ) from error
        yield kept_open
