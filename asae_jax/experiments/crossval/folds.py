"""The runs of a cross-validation: one for each fold, all settings the same but for which fold is tested."""

import dataclasses

from ml_collections import ConfigDict

from asae_jax.config import check_new, copy_with
from asae_jax.errors import UserError
from asae_jax.experiments.grid import PlannedRun


@dataclasses.dataclass(frozen=True)
class FoldRun(PlannedRun):
    """The run that tests one fold; `row` is "fold0" and so on, and names it."""

    @property
    def name(self) -> str:
        """Names the run folder, the log and the record."""
        return self.row


def plan_folds(config: ConfigDict) -> tuple[FoldRun, ...]:
    """The run of each fold, all of the same seed and split.

    Args:
      config: what is trained; `crossval.folds` says how many folds there are.

    Raises:
      UserError: folds given in two ways, or other settings that cannot be used.
    """
    check_new(config)
    count = config.crossval.folds
    if config.data.folds not in (0, count) or config.data.fold:
        raise UserError(
            f"crossval trains every fold of {count} (--folds=): leave config.data.folds and config.data.fold "
            "out."
        )
    runs = []
    for fold in range(count):
        of_fold = copy_with(config, {"data.folds": count, "data.fold": fold})
        check_new(of_fold)
        runs.append(FoldRun(f"fold{fold}", of_fold.seed, of_fold))
    return tuple(runs)
