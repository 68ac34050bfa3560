"""The data of the grid, looked at once before any cell is started."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.experiments.grid import Cell
from asae_jax.experiments.records import run_folder
from asae_jax.experiments.rows import ROWS
from asae_jax.experiments.settings import changed, row_config
from asae_jax.experiments.tables import Table
from asae_jax.input.run_split import chosen_split
from asae_jax.input.sources import configured_index, configured_preparation
from asae_jax.training.data import prepare_table


def with_batch_size(base: ConfigDict, tables: Iterable[Table]) -> ConfigDict:
    """`base` with a batch size that balanced batches can have, the same in all rows.

    Where the given one is no multiple of the number of classes, the next smaller multiple is taken (the next
    larger where there is none) and printed.
    """
    rows = {entry.row for table in tables for entry in table.entries}
    samplers = {row_config(base, ROWS[name], seed=0).data.sampler for name in rows}
    if "balanced" not in samplers:
        return base
    classes, given = configured_index(base.data).num_classes, base.train.batch_size
    if given % classes == 0:
        return base
    fitting = max(given // classes, 1) * classes
    print(
        f"batches of {fitting} images in all rows instead of {given}: balanced ones hold a multiple of "
        f"{classes}"
    )
    return changed(base, {"train.batch_size": fitting})


def prepare(cells: Sequence[Cell], workdir: Path) -> None:
    """Prepares the images that `cells` will read, each kind once, and checks that the split can be scored.

    Raises:
      UserError: data that cannot be used, or that leave nothing to test on.
    """
    settings = cells[0].config.data
    table = configured_index(settings)
    splits = chosen_split(settings, run_folder(workdir, cells[0].name), table)
    if not np.count_nonzero(splits == "test"):
        raise UserError(
            "the data have no test part, by which rows are compared: set --config.data.test_fraction."
        )
    prepared = set()
    for cell in cells:
        kind = configured_preparation(cell.config.data).fingerprint()
        if cell.config.data.cache and kind not in prepared:
            prepare_table(cell.config, run_folder(workdir, cell.name), table)
        prepared.add(kind)
