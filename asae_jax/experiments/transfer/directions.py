"""The table `transfer` of `reproduce`: from the own laboratory to the other one, and back."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from asae_jax.config import copy_with
from asae_jax.errors import UserError
from asae_jax.evaluation.uncertainty_files import matching_file
from asae_jax.experiments.grid import Grid, is_finished, run_folder
from asae_jax.experiments.rows import TABLES, TRANSFER
from asae_jax.experiments.transfer.cells import Listed, read_listed
from asae_jax.experiments.transfer.pages import Measured, write_pages
from asae_jax.experiments.transfer.scores import Trial, measure
from asae_jax.files import sha256, user_path
from asae_jax.inference.predictor import network_identity
from asae_jax.input.sources import configured_index, named_class_map
from asae_jax.json_files import read_json, write_sealed_json
from asae_jax.run.run import check_one_look, open_run

BACK = "back"
"""Folder of the grid that trains on the other laboratory."""

PAGES = "transfer"
"""Beginning of the names of the files with the table."""

_UNLABELLED = 1500  # images of the training part, at most


@dataclasses.dataclass(frozen=True)
class Direction:
    """From one laboratory to the other.

    Attributes:
      config: of the grid that trains on the one; `reproduce.other` is the other's list.
      workdir: of the grid.
    """

    config: ConfigDict
    workdir: Path

    def listed(self, class_names: Sequence[str]) -> Listed:
        """The other laboratory's cells, in the words of runs with these classes."""
        settings = self.config.reproduce
        class_map = named_class_map(settings.other_map) if settings.other_map else {}
        other = user_path(settings.other)
        return read_listed(other, class_map, class_names, most=_UNLABELLED, seed=self.config.seed)


def directions(config: ConfigDict, workdir: Path) -> list[Direction]:
    """The directions that `config.reproduce` asks for; of each the lists have been read.

    Raises:
      UserError: no other laboratory, lists that do not go together, or a test by several passes.
    """
    check_one_look(config, "reproduce --tables=transfer")
    settings, data = config.reproduce, config.data
    if not settings.other:
        raise UserError(
            "the table transfer needs the cells of another laboratory: give --other=FILE.csv "
            "(path,label,split), and --other_map=FILE where its classes have other names."
        )
    found = [Direction(config, workdir)]
    if settings.back:
        if data.source != "csv":
            raise UserError(
                "--back tests on this laboratory's cells: give them as a list path,label,split too "
                f"(config.data.source=csv, not {data.source})."
            )
        changes = {"data.path": settings.other, "data.class_map": settings.other_map}
        changes |= {"reproduce.other": data.path, "reproduce.other_map": data.class_map}
        found.append(Direction(copy_with(config, changes), workdir / BACK))
    for direction in found:
        listed = direction.listed(configured_index(direction.config.data).class_names)
        if listed.guesses:
            print(
                f"note: {listed.guesses} rows of {listed.source} are left out: nobody looked at their labels "
                "(seen=no), which are a network's guesses"
            )
    return found


def write_transfer(ways: Sequence[tuple[Direction, Grid]], workdir: Path) -> list[Path]:
    """Measures the finished runs of the table in both directions, and writes its pages into `workdir`.

    What was measured before, of the same network and thresholds on the same images, is not measured again.
    """
    measured = [found for direction, grid in ways for found in _measured(direction, grid)]
    return write_pages(workdir / PAGES, measured) if measured else []


def _measured(direction: Direction, grid: Grid) -> Iterator[Measured]:
    labels = {entry.row: entry.label for entry in TABLES[TRANSFER].entries}
    for row, label in labels.items():
        for run in grid.runs:
            if run.row == grid.run_as[row] and is_finished(direction.workdir, run.name):
                print(f"{run.name}: testing in the other laboratory", flush=True)
                yield _of_one(direction, run.name, label)


def _of_one(direction: Direction, name: str, label: str) -> Measured:
    """What the run called `name` is worth, measured now or before."""
    run = open_run(run_folder(direction.workdir, name))
    listed, trial = direction.listed(run.class_names), Trial(seed=direction.config.seed)
    file = direction.workdir / PAGES / f"{name}.json"
    key: dict[str, Any] = {
        "network": network_identity([run]),
        "estimates": None if (estimates := matching_file(run)) is None else sha256(estimates),
        "digest": listed.digest,
        "source": listed.source,
        "trial": repr(trial),
        "label": label,
    }
    if file.exists():
        before = read_json(file, remedy="remove it and give the same command again")
        if before["of"] == key:
            return before["measured"]
    measured = measure(run, listed, trial, name=label, after=lambda found: None)
    write_sealed_json(file, {"of": key, "measured": measured})
    return measured
