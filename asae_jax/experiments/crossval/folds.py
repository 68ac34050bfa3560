"""The runs of a cross-validation: one for each fold, all settings the same but for which fold is tested."""

import dataclasses
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from asae_jax.config import CONFIG_FILE, check_new, copy_with
from asae_jax.errors import UserError
from asae_jax.experiments.grid import PlannedRun, run_folder
from asae_jax.experiments.slots import devices_of_a_slot
from asae_jax.input.workers import default_workers
from asae_jax.run import batch_size
from asae_jax.run.data import batch_unit, load_index, new_split
from asae_jax.run.epochs import choose_epochs
from asae_jax.run.folder import with_chosen


@dataclasses.dataclass(frozen=True)
class FoldRun(PlannedRun):
    """The run that tests one fold; `row` is "fold0" and so on, and names it."""

    @property
    def name(self) -> str:
        """Names the run folder, the log and the record."""
        return self.row


def plan_folds(config: ConfigDict, workdir: Path) -> tuple[FoldRun, ...]:
    """The run of each fold, all of the same seed, split, batch size and epochs.

    Args:
      config: what is trained; `crossval.folds` says how many folds there are. A batch size and epochs of 0
        are those of the folds that `workdir` has; without any they are chosen for the
        cores of this machine, or the devices that each run has, and the training images of fold 0.
      workdir: folder of the cross-validation.

    Raises:
      UserError: folds given in two ways, data that cannot be divided into them, or other settings that
        cannot be used.
    """
    check_new(config)
    count = config.crossval.folds
    if config.data.folds not in (0, count) or config.data.fold:
        raise UserError(
            f"crossval trains every fold of {count} (--folds=): leave config.data.folds and config.data.fold "
            "out."
        )
    names = [f"fold{fold}" for fold in range(count)]
    begun = [folder for name in names if (folder := run_folder(workdir, name) / CONFIG_FILE).exists()]
    config = copy_with(config, {"data.folds": count})
    config = with_chosen(begun[0].parent, config) if begun else _chosen(config)
    runs = []
    for fold, name in enumerate(names):
        of_fold = copy_with(config, {"data.fold": fold})
        check_new(of_fold)
        runs.append(FoldRun(name, of_fold.seed, of_fold))
    return tuple(runs)


def _chosen(config: ConfigDict) -> ConfigDict:
    """`config` with the batch size and the epochs that it leaves to be chosen, for the images of fold 0."""
    index = load_index(config)
    if index.splits is not None and set(index.splits) != {"train"}:
        raise UserError(
            f"crossval cannot be used with these {index.source} data, which have a split of their own: take "
            "it out of them (a column `split`, folders such as `train` and `test`)."
        )
    splits = new_split(config, index)  # refuses more folds than can be made
    changes = {}
    if not config.train.batch_size:
        unit = batch_unit(config, index)
        changes["train.batch_size"] = batch_size.choose(unit, default_workers(), devices_of_a_slot())
    if not config.train.epochs:
        images = int(np.count_nonzero(splits == "train"))
        changes["train.epochs"] = choose_epochs(images, trained=bool(config.init.pretrained))
    return copy_with(config, changes)
