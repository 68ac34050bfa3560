"""The examples of a run: data-set index, split, prepared images, and the order they are drawn in."""

import dataclasses
import os
import warnings
from collections.abc import Callable, Collection
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from asae_jax import shipped
from asae_jax.config import CONFIG_FILE, refused_places
from asae_jax.csv_cells import CsvWriter
from asae_jax.errors import UserError
from asae_jax.files import atomic_text, disk_errors, user_path
from asae_jax.input import class_map
from asae_jax.input.appearance import evenly
from asae_jax.input.cache import Prepared, prepare_examples
from asae_jax.input.description import describe
from asae_jax.input.exact_duplicates import warn_of_duplicates
from asae_jax.input.feed import HostBatches, eval_batches, train_batches
from asae_jax.input.index import DataIndex
from asae_jax.input.nucleus_sizes import MEASURED, NucleusSizes, measure_nuclei
from asae_jax.input.run_split import SPLITS_FILE, chosen_split, splits_record, write_splits
from asae_jax.input.sampler import BalancedSampler, Sampler, ShuffledSampler, WeightedSampler
from asae_jax.input.sources import configured_index, configured_preparation
from asae_jax.run import digests, hosts

SKIPPED_FILE = "skipped.csv"
SAMPLERS: dict[str, Callable[[np.ndarray, int, int], Sampler]] = {
    "balanced": BalancedSampler,
    "shuffled": ShuffledSampler,
    "weighted": WeightedSampler,
}


@dataclasses.dataclass(frozen=True)
class Data:
    """The examples of a run.

    Attributes:
      index: where each example is, its label and group.
      prepared: the images, decoded and prepared.
      splits: "train", "validation" or "test" for each row of the index, str `[N]`.
    """

    index: DataIndex
    prepared: Prepared
    splits: np.ndarray

    def indices(self, split: str) -> np.ndarray:
        """Rows of the readable examples of `split`, in the order of the index; "all" for every split."""
        good = self.prepared.good
        return good if split == "all" else good[self.splits[good] == split]

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """int32 labels of rows `indices`."""
        return self.index.labels[indices]

    @property
    def unreadable(self) -> dict[str, str]:
        """Name of each example that cannot be used -> the reason."""
        return {str(self.index.names[row]): reason for row, reason in self.prepared.bad}

    def num_unreadable(self, split: str) -> int:
        """How many examples of `split` cannot be used; "all" for every split."""
        rows = np.array([row for row, _ in self.prepared.bad], np.int64)
        return len(rows) if split == "all" else int(np.count_nonzero(self.splits[rows] == split))

    def without(self, names: Collection[str], reason: str) -> "Data":
        """The data in which the examples of these names cannot be used, for this `reason`."""
        rows = np.flatnonzero(np.isin(self.index.names, list(names))) if names else np.zeros(0, np.int64)
        bad = tuple(sorted([*self.prepared.bad, *((int(row), reason) for row in rows)]))
        good = np.setdiff1d(self.prepared.good, rows)
        return dataclasses.replace(self, prepared=dataclasses.replace(self.prepared, bad=bad, good=good))

    @property
    def class_counts(self) -> np.ndarray:
        """Readable training images of each class, int64 `[classes]`."""
        return np.bincount(self.labels(self.indices("train")), minlength=self.index.num_classes)

    def sampler(self, config: ConfigDict) -> Sampler:
        """What draws the training examples, as `config.data.sampler` says."""
        sampler = SAMPLERS[config.data.sampler]
        return sampler(self.labels(self.indices("train")), config.train.batch_size, config.seed)

    def training_batches(self, config: ConfigDict, *, start_step: int = 0) -> HostBatches:
        """Endless batches of the training part, from step `start_step` on; of each this host's part."""
        indices = self.indices("train")
        return train_batches(
            self.prepared,
            indices,
            self.labels(indices),
            sampler=self.sampler(config),
            start_step=start_step,
            driver=_driver(config.data.driver),
            workers=config.data.workers or None,
            process_index=hosts.index(),
            process_count=hosts.count(),
        )

    def batches(self, config: ConfigDict, indices: np.ndarray, batch_size: int) -> HostBatches:
        """Every row of `indices` once, in order; the last batch padded with `mask` 0; this host's part."""
        return eval_batches(
            self.prepared,
            indices,
            self.labels(indices),
            batch_size,
            workers=config.data.workers or None,
            process_index=hosts.index(),
            process_count=hosts.count(),
        )


def _driver(name: str) -> str:
    """What reads training batches: where the CPU computes, "auto" is the pool of threads.

    Loading TensorFlow takes 4 s of processor time and 500 MB, as much as all else of a second start. Threads
    took 0.6 of tf.data's processor time for an image of the cache, 0.7 for one that is decoded.
    """
    return "threads" if name == "auto" and jax.default_backend() == "cpu" else name


def load_index(config: ConfigDict) -> DataIndex:
    """The data-set index that `config.data` describes.

    Raises:
      UserError: data that cannot be found or used, one class only or two of nearly the same name.
    """
    index = configured_index(config.data)
    class_map.check_trainable_classes(index)
    return index


def data_root(config: ConfigDict) -> Path | None:
    """The folder that the names of the images are relative to; None where they are no files."""
    file = data_list(config)
    if file is not None:
        return file.parent
    return user_path(config.data.path) if config.data.source == "folder" else None


def data_list(config: ConfigDict) -> Path | None:
    """The list of the images; None where they are not listed in a file."""
    if config.data.source == "demo":
        return shipped.demo_cells()
    return user_path(config.data.path) if config.data.source == "csv" else None


def batch_unit(config: ConfigDict, index: DataIndex) -> int:
    """What batches must hold a multiple of: the classes where they are balanced, else 1."""
    return index.num_classes if config.data.sampler == "balanced" else 1


def load_data(
    config: ConfigDict,
    workdir: Path,
    index: DataIndex | None = None,
    *,
    splits: np.ndarray | None = None,
) -> Data:
    """Index, split and prepared images as `config.data` says.

    What they are is printed before any image is prepared; one picture in several places is warned of after
    that, as files that hold none may well be equal: empty ones, error pages of a server. The split is read
    from the run folder where it has one, so that no command after the first can move an image from one side
    to the other.

    Args:
      config: settings.
      workdir: the run folder, which need not exist.
      index: the data-set index; None: it is loaded.
      splits: of a new run, see `new_split`; None: that of the run folder, drawn where it has none.

    Raises:
      UserError: data that cannot be found or used.
    """
    index = configured_index(config.data) if index is None else index
    if splits is None:
        splits = np.asarray(hosts.first(lambda: _split(config, workdir, index)))
    print(describe(index, splits))
    data = Data(index, prepare_index(config, workdir, index), splits)
    readable = data.indices("all")
    warn_of_duplicates(index.select(readable), splits[readable])
    _check_classes(data)
    check_same_on_all_hosts(data)
    return data


def new_split(config: ConfigDict, index: DataIndex) -> np.ndarray:
    """The split of a new run, whatever its folder holds; of several hosts the first draws it."""
    return np.asarray(hosts.first(lambda: chosen_split(config.data, None, index).tolist()))


def _split(config: ConfigDict, workdir: Path, index: DataIndex) -> list[str]:
    digests.check_unchanged(workdir, SPLITS_FILE, missing_ok=True)
    splits = chosen_split(config.data, workdir, index)
    if not (workdir / SPLITS_FILE).exists():
        digests.check_made_again(workdir, SPLITS_FILE, splits_record(index, splits))
    return splits.tolist()


def check_same_on_all_hosts(data: Data) -> None:
    """Raises a UserError when the hosts see different images, or cannot read different ones of them."""
    if hosts.count() > 1:
        unreadable = list(data.unreadable)
        fingerprint = data.index.fingerprint(modified=False)
        hosts.check_same("images", {"their fingerprint": fingerprint, "the list of unreadable": unreadable})


def prepare_index(config: ConfigDict, workdir: Path, index: DataIndex) -> Prepared:
    """The images of `index`, prepared and cached as `config.data` says.

    Raises:
      UserError: not one image can be used, or the cache cannot be written.
    """
    given = config.data
    return prepare_examples(
        index,
        configured_preparation(given),
        cache_dir=cache_folder(config, workdir) if given.cache else None,
        workers=given.workers,
        progress=True,
    )


def cache_folder(config: ConfigDict, workdir: Path) -> Path:
    """The folder of all caches: `data.cache_dir`, or `cache` beside the run folder.

    Warns where the run names another, which is not there.
    """
    if config.data.cache_dir:
        return user_path(config.data.cache_dir)
    # Path(".") has no parent but itself, and the parent of ".." is ".".
    place, file = Path(os.path.abspath(workdir)).parent / "cache", workdir / CONFIG_FILE
    if lost := refused_places(file).get("data.cache_dir"):
        warnings.warn(
            f"the cache of prepared images that {file} names, {lost}, is not there: {place} is used instead "
            "(another by --config.data.cache_dir=DIR)",
            stacklevel=1,  # one place for all callers: it is said once
        )
    return place


def training_nuclei(data: Data) -> NucleusSizes | None:
    """How large nuclei are in prepared training images, some of them, evenly spaced."""
    rows: list[int] = evenly(data.indices("train"), MEASURED)
    return measure_nuclei(data.prepared.read(int(row)) for row in rows)


def write_data_record(data: Data, workdir: Path, *, replace: bool = False) -> None:
    """Writes the split, and what was left out, to the run folder.

    A split that is there already stays as it is, unless `replace` is set.

    Raises:
      UserError: the folder cannot be written.
    """
    with disk_errors(f"write to {workdir}", remedy="choose another --workdir=DIR"):
        if replace or not (workdir / SPLITS_FILE).exists():
            write_splits(workdir / SPLITS_FILE, data.index, data.splits)
        write_skipped(data, workdir / SKIPPED_FILE)


def write_skipped(data: Data, path: Path) -> None:
    """Writes name and reason of everything that was left out as CSV; no file where there is nothing."""
    skipped = [*data.index.skipped, *data.unreadable.items()]
    if skipped:
        with atomic_text(path) as file:
            CsvWriter(file).writerows([("name", "reason"), *skipped])
    else:
        path.unlink(missing_ok=True)


def _check_classes(data: Data) -> None:
    empty = [data.index.class_names[c] for c in np.flatnonzero(data.class_counts == 0)]
    if empty:
        raise UserError(
            f"no readable training image of class {', '.join(empty)} in {data.index.source} data; "
            "add images or remove the class."
        )
