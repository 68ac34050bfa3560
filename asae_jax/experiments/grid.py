"""The grid: which runs the chosen tables need, each once, where each lies, and how it ended."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from asae_jax.config import CONFIG_FILE, RUN_FILE, check, check_new, copy_with, read_run_config
from asae_jax.errors import UserError
from asae_jax.experiments.rows import ROWS, Row, Table
from asae_jax.experiments.settings import row_config, training_settings
from asae_jax.experiments.slots import devices_of_a_slot
from asae_jax.input.run_split import chosen_split
from asae_jax.input.sources import configured_index, configured_preparation
from asae_jax.input.workers import default_workers
from asae_jax.json_files import write_json
from asae_jax.run import batch_size, build
from asae_jax.run.data import prepare_index
from asae_jax.run.folder import check_same_data

FINISHED, FAILED, INTERRUPTED = "finished", "failed", "interrupted"

_RECORDS = "records"
_FORMER_RECORDS = "cells"  # grids begun before the folder was renamed go on


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One training run of the grid.

    Attributes:
      row: name of the row it was planned for; other rows may share it.
      seed: of the run.
      config: every setting of the run.
    """

    row: str
    seed: int
    config: ConfigDict

    @property
    def name(self) -> str:
        """Names the run folder, the log and the record."""
        return f"{self.row}-s{self.seed}"


@dataclasses.dataclass(frozen=True)
class Grid:
    """All runs, and which of them stand for each row of the tables.

    Attributes:
      runs: seed by seed, so that a grid that is cut short has all rows of its first seeds.
      run_as: row -> the row whose runs it shares (itself, unless an earlier one has the same settings).
      seeds: of every row.
    """

    runs: tuple[PlannedRun, ...]
    run_as: Mapping[str, str]
    seeds: tuple[int, ...]


def plan(base: ConfigDict, tables: Iterable[Table], *, num_seeds: int) -> Grid:
    """The grid of `tables`.

    Which of several equal rows names the runs depends on the order of `ROWS` alone, so that a table asked
    for later finds the runs that exist.

    Args:
      base: the configuration that all rows share; its seed is the first one.
      tables: whose rows to run.
      num_seeds: runs of every row, at least 1.

    Raises:
      UserError: a row that cannot be run with these settings.
    """
    wanted = {entry.row for table in tables for entry in table.entries}
    for name in sorted(wanted, key=list(ROWS).index):
        _check_row(base, name)
    first: dict[str, str] = {}
    run_as = {}
    for name, row in ROWS.items():
        if (settings := _settings_or_none(base, row)) is not None:
            run_as[name] = first.setdefault(settings, name)
    run_as = {name: shared for name, shared in run_as.items() if name in wanted}
    seeds = tuple(base.seed + number for number in range(num_seeds))
    check(copy_with(base, {"seed": seeds[-1]}))  # the first one was checked: all lie between
    names = [name for name in ROWS if name in set(run_as.values())]
    runs = tuple(PlannedRun(n, s, row_config(base, ROWS[n], seed=s)) for s in seeds for n in names)
    return Grid(runs, run_as, seeds)


def _check_row(base: ConfigDict, name: str) -> None:
    try:
        config = row_config(base, ROWS[name], seed=base.seed)
        check_new(config)
        build.create_network(config, 2)  # refuses names that do not go together
        build.check_normalisation_layers(config, 2)
    except UserError as error:
        raise UserError(f"row {name}: {error}") from error


def _settings_or_none(base: ConfigDict, row: Row) -> str | None:
    """What identifies the runs of `row`; None where it cannot be configured from `base`."""
    try:
        return training_settings(row_config(base, row, seed=base.seed))
    except UserError:
        return None


def with_batch_size(base: ConfigDict, tables: Iterable[Table], workdir: Path) -> ConfigDict:
    """`base` with a batch size that balanced batches can have, the same in all rows; a new one is printed.

    Where the given one is no multiple of the number of classes, the next smaller multiple is taken (the next
    larger where there is none). Where none is given, that of the runs in `workdir`, and without runs one that
    the cores of this machine share, or the devices that each run has.
    """
    rows = {entry.row for table in tables for entry in table.entries}
    balanced = any(row_config(base, ROWS[name], seed=0).data.sampler == "balanced" for name in rows)
    given = base.train.batch_size or _batch_size_of_runs(workdir)
    classes = configured_index(base.data).num_classes if balanced else 1
    if not given:
        given = batch_size.choose(classes, default_workers(), devices_of_a_slot())
        print(f"batches of {given} images in all rows (another size by --config.train.batch_size=N)")
    fitting = max(given // classes, 1) * classes
    if fitting != given:
        print(
            f"batches of {fitting} images in all rows instead of {given}: balanced ones hold a multiple of "
            f"{classes}"
        )
    return copy_with(base, {"train.batch_size": fitting})


def _batch_size_of_runs(workdir: Path) -> int:
    """That of the runs which the grid in `workdir` has begun; 0 where there are none."""
    begun = sorted((workdir / "runs").glob(f"*/{CONFIG_FILE}"))
    return read_run_config(begun[0].parent).train.batch_size if begun else 0


def prepare(runs: Sequence[PlannedRun], workdir: Path, *, begun: Sequence[PlannedRun] = ()) -> None:
    """Prepares the images that `runs` will read, once for each kind of preparation, and checks the split.

    Args:
      runs: those still to be done.
      workdir: of the grid.
      begun: runs that may have been begun before, whose images must be those of now: what is trained on
        others could not be compared with them.

    Raises:
      UserError: data that cannot be used, that have no test part, or that have changed since a run was begun.
    """
    settings = runs[0].config.data
    index = configured_index(settings)
    for folder in (run_folder(workdir, run.name) for run in begun):
        if (folder / RUN_FILE).exists():
            check_same_data(folder, index)
    splits = chosen_split(settings, run_folder(workdir, runs[0].name), index)
    if not np.count_nonzero(splits == "test"):
        raise UserError(
            "the data have no test part, by which rows are compared: set --config.data.test_fraction."
        )
    prepared = set()
    for run in runs:
        kind = configured_preparation(run.config.data).fingerprint()
        if run.config.data.cache and kind not in prepared:
            prepare_index(run.config, run_folder(workdir, run.name), index)
        prepared.add(kind)


def run_folder(workdir: Path, name: str) -> Path:
    """The folder of the run called `name`."""
    return workdir / "runs" / name


def log_file(workdir: Path, name: str) -> Path:
    """What the run called `name` printed."""
    return workdir / "logs" / f"{name}.log"


def scores_file(workdir: Path, name: str) -> Path:
    """The test scores of the run called `name`, once it is finished."""
    return run_folder(workdir, name) / "evaluation" / "test.json"


@dataclasses.dataclass(frozen=True)
class Record:
    """How the last attempt at a run ended.

    Attributes:
      status: "finished", "failed" or "interrupted".
      seconds: wall-clock time of all attempts together.
      peak_memory: largest resident memory of the process in bytes; 0 where it cannot be measured.
      error: why it failed, in one line.
      jobs: how many runs were going on side by side.
    """

    status: str
    seconds: float
    peak_memory: int = 0
    error: str = ""
    jobs: int = 1


def read_record(workdir: Path, name: str) -> Record | None:
    """The record of the run called `name`; None where there is none that can be read."""
    for folder in (_RECORDS, _FORMER_RECORDS):
        try:
            return Record(**json.loads((workdir / folder / f"{name}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # never begun, or damaged: it is run (again)
            continue
    return None


def write_record(workdir: Path, name: str, record: Record) -> None:
    """Replaces the record of the run called `name`."""
    write_json(workdir / _RECORDS / f"{name}.json", dataclasses.asdict(record))


def is_finished(workdir: Path, name: str) -> bool:
    """Whether the run called `name` came to its end and its scores exist.

    Scores without a record do not count: a run may have been killed between its last files. It is started
    once more, finds its training done, and scores again.
    """
    record = read_record(workdir, name)
    return record is not None and record.status == FINISHED and scores_file(workdir, name).exists()
