"""`reproduce`: runs the rows of the chosen tables, several times each, and writes what came out."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.experiments.data import prepare, with_batch_size
from asae_jax.experiments.grid import Cell, Grid, plan
from asae_jax.experiments.pages import PAGE, write_pages
from asae_jax.experiments.places import choose_places
from asae_jax.experiments.process import TrainProcess
from asae_jax.experiments.progress import Progress
from asae_jax.experiments.records import is_finished, run_folder
from asae_jax.experiments.report import build_report, summary
from asae_jax.experiments.results import read_results
from asae_jax.experiments.runner import run_cells
from asae_jax.experiments.settings import with_preset
from asae_jax.experiments.tables import Table, chosen_tables
from asae_jax.training import interruption
from asae_jax.training.run_folder import CONFIG_FILE, check_same_config, read_config

EXIT_FAILED = 1
"""Exit status when a cell failed; the report says which, and why."""

_LOCK = "reproduce.lock"


def reproduce(config: ConfigDict, workdir: Path) -> int:
    """Runs the grid of `config.reproduce` and writes the report; goes on where it was stopped.

    Each cell is an ordinary training run in `runs/<row>-s<seed>`, in a process of its own, with its output
    in `logs/` and how it ended in `cells/`. Finished cells are not run again: on a finished grid the command
    only writes the report anew. Cells that failed are tried again.

    Args:
      config: what all rows have in common, and the section `reproduce`.
      workdir: folder of the grid.

    Returns:
      The exit status: 0, `EXIT_FAILED`, or 128 + signal when the grid was interrupted.

    Raises:
      UserError: settings or data that cannot be used, cells of other settings in `workdir`, or another grid
        at work there.
    """
    tables = chosen_tables(config.reproduce.tables)
    _check(config)
    base = with_batch_size(with_preset(config), tables.values())
    grid = plan(base, tables.values(), num_seeds=config.reproduce.seeds)
    for cell in grid.cells:
        _check_same_run(workdir, cell)
    with _only_one(workdir) as lock:
        status = _run(grid, config.reproduce.jobs, workdir, lock)
        _report(grid, tables, base, workdir)
    return status


def _check(config: ConfigDict) -> None:
    for field, least in (("seeds", 1), ("jobs", 0)):
        if config.reproduce[field] < least:
            value = config.reproduce[field]
            raise UserError(f"config.reproduce.{field}={value} cannot be used: it must be at least {least}.")


def _run(grid: Grid, jobs: int, workdir: Path, lock: int) -> int:
    """Runs what is not finished; returns the exit status."""
    waiting = [cell for cell in grid.cells if not is_finished(workdir, cell.name)]
    num_finished = len(grid.cells) - len(waiting)
    rows = len({cell.row for cell in grid.cells})
    print(
        f"{rows} rows x {len(grid.seeds)} seeds: {len(grid.cells)} cells, {num_finished} finished; {workdir}"
    )
    if not waiting:
        return 0
    prepare(waiting, workdir)
    progress = Progress(grid.cells, num_finished, workdir)
    with contextlib.closing(progress), interruption.watch() as stop:
        run_cells(
            waiting,
            choose_places(jobs),
            workdir,
            start=lambda cell, place: TrainProcess(cell, workdir, place, kept_open=(lock,)),
            stop=stop,
            watcher=progress,
        )
    if stop.requested:
        print("interrupted; the same command goes on from there.")
        return stop.exit_status
    return 0 if all(is_finished(workdir, cell.name) for cell in grid.cells) else EXIT_FAILED


def _report(grid: Grid, tables: Mapping[str, Table], base: ConfigDict, workdir: Path) -> None:
    results = read_results(grid, workdir, base.data)
    if results is None:
        print("no cell is finished: there is nothing to report yet.")
        return
    report = build_report(grid, tables, results, base, workdir)
    write_pages(workdir, report, results)
    print(summary(report))
    print(f"written to {workdir / PAGE}, report.md, report.json and results.csv. {report['notice']}")


def _check_same_run(workdir: Path, cell: Cell) -> None:
    """Refuses a run of other settings where this cell's would be."""
    folder = run_folder(workdir, cell.name)
    if not (folder / CONFIG_FILE).exists():
        return
    check_same_config(folder, cell.config)
    then, now = read_config(folder).eval, cell.config.eval
    for field in ("test_mode", "batch_statistics", "checkpoint", "select_by"):
        if field in then and then[field] != now[field]:
            raise UserError(
                f"{folder} was scored with eval.{field}={then[field]!r}, now it is {now[field]!r}; give the "
                "same settings to go on, or another --workdir=DIR."
            )


@contextlib.contextmanager
def _only_one(workdir: Path) -> Iterator[int]:
    """Keeps a second grid out of `workdir`, also after this process was killed and its cells still run.

    The lock belongs to the open file: the cells inherit it, and it ends with the last of them.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / _LOCK).open("w")
    except OSError as error:
        raise UserError(
            f"cannot write to {workdir} ({error.strerror}); choose another --workdir=DIR."
        ) from error
    with file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no such locks on this system
            pass
        except OSError as error:
            raise UserError(
                f"another `reproduce`, or a cell that one has left behind, is at work in {workdir}: wait "
                "until it has ended, or use another --workdir=DIR."
            ) from error
        yield file.fileno()
