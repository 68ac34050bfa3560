"""`reproduce`: runs the rows of the chosen tables, several seeds of each, and writes a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from asae_jax.config import check
from asae_jax.experiments.grid import Grid, is_finished, plan, with_batch_size
from asae_jax.experiments.pages import PAGE, write_pages
from asae_jax.experiments.report import build_report, summary
from asae_jax.experiments.results import read_results
from asae_jax.experiments.rows import ROWS, TRANSFER, Table, chosen_tables
from asae_jax.experiments.settings import overruled, with_preset
from asae_jax.experiments.transfer.directions import Direction, directions, write_transfer
from asae_jax.experiments.unfinished import (
    EXIT_FAILED,
    check_same_run,
    check_to_the_end,
    only_one,
    run_unfinished,
)
from asae_jax.files import disk_errors
from asae_jax.pages import NOTICE
from asae_jax.run.folder import check_apart, refuse_linked_files

_COMMAND = "reproduce"
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
    check_to_the_end(config, _COMMAND)
    check_apart(workdir, config)  # before the lock makes a folder among the images
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
    refuse_linked_files(workdir)
    base = with_batch_size(with_preset(config), tables.values(), workdir)
    grid = plan(base, tables.values(), num_seeds=config.reproduce.seeds)
    _say_overruled(base, grid)
    for run in grid.runs:
        check_same_run(workdir, run)
    with only_one(workdir, _COMMAND) as kept_open:
        rows, finished = {run.row for run in grid.runs}, [is_finished(workdir, run.name) for run in grid.runs]
        print(
            f"{len(rows)} rows x {len(grid.seeds)} seeds: {len(finished)} runs, {sum(finished)} finished; "
            f"{workdir}"
        )
        jobs = config.reproduce.jobs
        status = run_unfinished(grid.runs, jobs, workdir, command=_COMMAND, kept_open=kept_open)
        _report(grid, tables, base, workdir)
    return grid, status


def _transfer(done: Sequence[tuple[Direction, Grid]], workdir: Path) -> None:
    """Tests runs in the laboratory that they were not trained in."""
    with (
        only_one(workdir, _COMMAND),
        disk_errors(f"write to {workdir}", remedy="mend that and give the same command"),
    ):
        paths = write_transfer(done, workdir)
    if paths:
        print(f"in the other laboratory: {', '.join(map(str, paths))}. {NOTICE}")


def _say_overruled(base: ConfigDict, grid: Grid) -> None:
    """Says which of the given settings do not count, as the rows say them themselves."""
    of_tables: dict[str, Any] = {}
    for name in sorted(set(grid.run_as)):
        given = overruled(base, ROWS[name])
        if not ROWS[name].file:
            of_tables |= {field: value for field, (value, _) in given.items()}
        elif given:
            shown = [f"{field}={own} (not {value})" for field, (value, own) in given.items()]
            print(
                f"row {name} is trained by its own recipe {ROWS[name].file}, whatever is given: "
                f"{_first(shown)}"
            )
    if of_tables:
        shown = [f"{field} (given: {value})" for field, value in of_tables.items()]
        print(f"each row of the tables says itself, whatever is given: {_first(shown)}")


def _first(shown: Sequence[str]) -> str:
    more = f" and {len(shown) - _MOST_SHOWN} more" * (len(shown) > _MOST_SHOWN)
    return f"{', '.join(shown[:_MOST_SHOWN])}{more}"


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
