"""The cells of the grid: which runs the chosen tables need, each once."""

import dataclasses
from collections.abc import Iterable, Mapping

from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.experiments.rows import ROWS, Row
from asae_jax.experiments.settings import row_config, training_settings
from asae_jax.experiments.tables import Table
from asae_jax.training import build


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training run.

    Attributes:
      row: name of the row it was planned for; others may share it.
      seed: of the run.
      config: every setting of the run.
    """

    row: str
    seed: int
    config: ConfigDict

    @property
    def name(self) -> str:
        """Of the run folder, the log and the record."""
        return f"{self.row}-s{self.seed}"


@dataclasses.dataclass(frozen=True)
class Grid:
    """All cells, and where the rows of the tables find theirs.

    Attributes:
      cells: seed by seed, so that a grid that is cut short has whole columns.
      runs_of: row -> the row whose runs it shares (itself, unless an earlier one has the same settings).
      seeds: of every row.
    """

    cells: tuple[Cell, ...]
    runs_of: Mapping[str, str]
    seeds: tuple[int, ...]

    def cells_of(self, row: str) -> tuple[Cell, ...]:
        """The cells of a row, seed by seed."""
        return tuple(cell for cell in self.cells if cell.row == self.runs_of[row])


def plan(base: ConfigDict, tables: Iterable[Table], *, num_seeds: int) -> Grid:
    """The grid of `tables`.

    Which of several equal rows gives its name to the runs depends on the order of `ROWS` alone, so that
    a table asked for later finds the runs that are there.

    Args:
      base: what all rows have in common; its seed is the first one.
      tables: whose rows to run.
      num_seeds: runs of every row.

    Raises:
      UserError: a row that cannot be run with these settings.
    """
    wanted = {entry.row for table in tables for entry in table.entries}
    for name in sorted(wanted, key=list(ROWS).index):
        _checked(base, name)
    first: dict[str, str] = {}
    runs_of = {}
    for name, row in ROWS.items():
        if (settings := _settings_or_none(base, row)) is not None:
            runs_of[name] = first.setdefault(settings, name)
    runs_of = {name: runs for name, runs in runs_of.items() if name in wanted}
    seeds = tuple(base.seed + number for number in range(num_seeds))
    names = [name for name in ROWS if name in set(runs_of.values())]
    cells = tuple(Cell(n, s, row_config(base, ROWS[n], seed=s)) for s in seeds for n in names)
    return Grid(cells, runs_of, seeds)


def _checked(base: ConfigDict, name: str) -> None:
    try:
        config = row_config(base, ROWS[name], seed=base.seed)
        build.check(config)
        build.create_network(config, num_classes=2)  # knows whether there is such a model
    except UserError as error:
        raise UserError(f"row {name}: {error}") from error


def _settings_or_none(base: ConfigDict, row: Row) -> str | None:
    """What identifies the runs of `row`; None where it cannot be configured here."""
    try:
        return training_settings(row_config(base, row, seed=base.seed))
    except UserError:
        return None
