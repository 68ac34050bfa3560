"""Which split is used: the one a run has recorded, the source's own, or one drawn as `config.data` says."""

import warnings
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.input.split import SPLITS, add_validation, split_table
from asae_jax.input.split_record import SPLITS_FILE, read_splits
from asae_jax.input.table import Table


def chosen_split(settings: ConfigDict, workdir: Path, table: Table) -> np.ndarray:
    """The part of each row of `table`, str `[N]`: "train", "validation" or "test".

    The record in the run folder comes first, so that no command after the first can move an image from
    one side to the other. Then the source's own split, if it is one (more than a training part), completed
    by a validation part where it lacks one. Else the split is drawn. Which of them, and whether by image
    or by group, is printed.

    Args:
      settings: the section `data` of the configuration.
      workdir: the run folder, which need not exist.
      table: the examples.

    Raises:
      UserError: a record that does not fit the table, folds of a source that has its own split, or a
        split by groups that are not known.
    """
    if (workdir / SPLITS_FILE).exists():
        return read_splits(workdir / SPLITS_FILE, table)
    if settings.split_by == "group" and table.groups is None:
        raise UserError(
            f"config.data.split_by='group' cannot be used: {table.source} data give no groups; add a column "
            "`group` to a CSV file, name a feature (--config.data.group_feature=), or choose 'image'."
        )
    if table.splits is not None and set(table.splits) != {"train"}:
        return _own(settings, table, table.splits)
    return _drawn(settings, table)


def _own(settings: ConfigDict, table: Table, splits: np.ndarray) -> np.ndarray:
    if settings.folds:
        raise UserError(
            f"config.data.folds={settings.folds} cannot be used: {table.source} data have a split of their "
            "own; take it out of them, or use --config.data.folds=0."
        )
    groups = None if settings.split_by == "image" else table.groups
    said = f"split: given by the {table.source} data"
    if "validation" not in splits and settings.validation_fraction:
        splits = add_validation(
            splits,
            table.labels,
            groups=groups,
            fraction=settings.validation_fraction,
            seed=settings.split_seed,
        )
        said += f"; validation: {settings.validation_fraction:.0%} of its training part, {_unit(groups)}"
    print(said)
    if table.groups is not None:
        _warn_of_shared_groups(table.groups, splits == "test")
    return splits


def _drawn(settings: ConfigDict, table: Table) -> np.ndarray:
    groups = _groups(settings, table)
    fold = f", fold {settings.fold} of {settings.folds} as test part" if settings.folds else ""
    print(f"split: drawn {_unit(groups)}{fold}")
    return _draw(settings, table, groups)


def _groups(settings: ConfigDict, table: Table) -> np.ndarray | None:
    """The groups to split by, or None for images.

    Folds are split by group wherever groups are known: were it decided for each fold, they would overlap.
    """
    if settings.split_by == "image" or table.groups is None:
        return None
    if settings.split_by == "auto" and not settings.folds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is said again when the split is drawn in earnest
            missing = _one_sided(settings, table, _draw(settings, table, table.groups))
        if missing:
            warnings.warn(
                f"the split is drawn by image: by group, class {', '.join(missing)} would not be in both the "
                "training and the test part. Images of one group are on both sides, so scores are better "
                "than on new groups; --config.data.split_by=group keeps groups apart all the same",
                stacklevel=2,
            )
            return None
    return table.groups


def _draw(settings: ConfigDict, table: Table, groups: np.ndarray | None) -> np.ndarray:
    return split_table(
        table.labels,
        groups=groups,
        test_fraction=settings.test_fraction,
        validation_fraction=settings.validation_fraction,
        folds=settings.folds,
        fold=settings.fold,
        seed=settings.split_seed,
    )


def _one_sided(settings: ConfigDict, table: Table, splits: np.ndarray) -> list[str]:
    """Classes that have two images, and yet none to train on or none to test."""
    counts = {part: _count(table, splits == part) for part in SPLITS}
    absent = (counts["train"] == 0) | ((counts["test"] == 0) & (settings.test_fraction > 0))
    return [table.class_names[c] for c in np.flatnonzero(absent & (sum(counts.values()) > 1))]


def _count(table: Table, rows: np.ndarray) -> np.ndarray:
    return np.bincount(table.labels[rows], minlength=table.num_classes)


def _unit(groups: np.ndarray | None) -> str:
    return "by image" if groups is None else f"by group ({len(np.unique(groups))} groups)"


def _warn_of_shared_groups(groups: np.ndarray, test: np.ndarray) -> None:
    shared = np.intersect1d(groups[test], groups[~test])
    if len(shared):
        first = ", ".join(shared[:3]) + ", ..." * (len(shared) > 3)
        warnings.warn(
            f"{len(shared)} groups ({first}) are on both sides of the split that the data give: scores are "
            "better than on new groups",
            stacklevel=2,
        )
