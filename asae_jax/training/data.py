"""From configuration to examples ready to feed: table, split, prepared images, order of training."""

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.input.cache import Prepared, prepare_examples
from asae_jax.input.chosen_split import chosen_split
from asae_jax.input.configured import configured_preparation, configured_table
from asae_jax.input.feed import HostBatches, eval_batches, train_batches
from asae_jax.input.order import BalancedOrder, Order, ShuffledOrder, WeightedOrder
from asae_jax.input.split_record import SPLITS_FILE, write_splits
from asae_jax.input.table import Table
from asae_jax.training import parallel

SKIPPED_FILE = "skipped.csv"
SAMPLERS: dict[str, Callable[[np.ndarray, int, int], Order]] = {
    "balanced": BalancedOrder,
    "shuffled": ShuffledOrder,
    "weighted": WeightedOrder,
}


@dataclasses.dataclass(frozen=True)
class Data:
    """The examples of a run."""

    table: Table
    prepared: Prepared
    splits: np.ndarray
    """"train", "validation" or "test" for each row of the table."""

    def indices(self, split: str) -> np.ndarray:
        """Rows of the readable examples of `split`, in the order of the table; "all" for every split."""
        good = self.prepared.good
        return good if split == "all" else good[self.splits[good] == split]

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """int32 labels of rows `indices`."""
        return self.table.labels[indices]

    @property
    def class_counts(self) -> np.ndarray:
        """Readable training images of each class, int64 `[classes]`."""
        return np.bincount(self.labels(self.indices("train")), minlength=self.table.num_classes)

    def training_order(self, config: ConfigDict) -> Order:
        """The order in which training examples are drawn, as `config.data.sampler` says."""
        order = SAMPLERS[config.data.sampler]
        return order(self.labels(self.indices("train")), config.train.batch_size, config.seed)

    def training_batches(self, config: ConfigDict, *, start_step: int = 0) -> HostBatches:
        """Endless batches of the training part, from step `start_step` on."""
        indices = self.indices("train")
        return train_batches(
            self.prepared,
            indices,
            self.labels(indices),
            order=self.training_order(config),
            start_step=start_step,
            driver=config.data.driver,
            workers=config.data.workers or None,
        )

    def batches(self, config: ConfigDict, indices: np.ndarray, batch_size: int) -> HostBatches:
        """Every row of `indices` once, in order; the last batch padded with `mask` 0."""
        workers = config.data.workers or None
        return eval_batches(self.prepared, indices, self.labels(indices), batch_size, workers=workers)


def load_data(config: ConfigDict, workdir: Path) -> Data:
    """Table, split and prepared images as `config.data` says.

    The split is read from the run folder where it has one, so that no command after the first can move
    an image from one side to the other. Images that cannot be read are listed in `skipped.csv`.

    Raises:
      UserError: data that cannot be found or used.
    """
    table = configured_table(config.data)
    balanced = config.data.sampler == "balanced"
    parallel.check_batch_size(config.train.batch_size, table.num_classes if balanced else 1)
    splits = chosen_split(config.data, workdir, table)
    data = Data(table, prepare_table(config, workdir, table), splits)
    _check_classes(data)
    return data


def prepare_table(config: ConfigDict, workdir: Path, table: Table) -> Prepared:
    """The images of `table`, prepared and cached as `config.data` says.

    Raises:
      UserError: not one image can be used, or the cache cannot be written.
    """
    settings = config.data
    cache_dir = Path(settings.cache_dir or workdir.parent / "cache") if settings.cache else None
    return prepare_examples(
        table, configured_preparation(settings), cache_dir=cache_dir, workers=settings.workers, progress=True
    )


def write_data_record(data: Data, workdir: Path) -> None:
    """Writes the split, and what was left out, to the run folder; a split already there is kept."""
    if not (workdir / SPLITS_FILE).exists():
        write_splits(workdir / SPLITS_FILE, data.table, data.splits)
    write_skipped(data, workdir / SKIPPED_FILE)


def write_skipped(data: Data, path: Path) -> None:
    """Writes name and reason of everything that was left out as CSV; no file where there is nothing."""
    path.unlink(missing_ok=True)
    skipped = [*data.table.skipped, *((data.table.names[i], reason) for i, reason in data.prepared.bad)]
    if skipped:
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            csv.writer(file).writerows([("name", "reason"), *skipped])


def _check_classes(data: Data) -> None:
    empty = [data.table.class_names[c] for c in np.flatnonzero(data.class_counts == 0)]
    if empty:
        raise UserError(
            f"no readable training image of class {', '.join(empty)} in {data.table.source} data; "
            "add images or remove the class."
        )
