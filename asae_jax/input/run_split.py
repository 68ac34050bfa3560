"""The split of a run: the one recorded in its folder, the source's own, or one drawn by `config.data`."""

import csv
import io
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from asae_jax.config import BY_NAME
from asae_jax.csv_cells import CsvWriter, csv_records
from asae_jax.errors import UserError
from asae_jax.files import open_text, write_bytes
from asae_jax.input.groups import counted_groups
from asae_jax.input.index import DataIndex
from asae_jax.input.split import SPLITS, add_validation, draw_split

SPLITS_FILE = "splits.csv"
"""Its name in a run folder."""

OTHER_IMAGES = " (to score other images: `evaluate --source=folder --path=DIR`)"
"""What users look for who give a run other data."""

_HEADER = ["name", "label", "split", "content"]
_OLD_HEADER = _HEADER[:-1]  # of runs started before contents were recorded


_LARGE = 0.34
"""Share of the images that are not tested, up to which a validation part takes not too many."""


def chosen_split(settings: ConfigDict, workdir: Path | None, index: DataIndex) -> np.ndarray:
    """The split that a run uses, str `[N]`: "train", "validation" or "test" for each row of `index`.

    The record in the run folder comes first, so that no later command can move an image from one side to
    the other. Next comes the source's own split, if it has more than a training part, completed by a
    validation part where it lacks one. Otherwise the split is drawn. Which of these, and whether by image
    or by group, is printed.

    Args:
      settings: the section `data` of the configuration.
      workdir: the run folder, which need not exist; None: a record there does not count.
      index: the examples.

    Raises:
      UserError: a record that does not fit the index, folds of a source that has its own split, a split by
        groups that are not known, or one that leaves nothing to test.
    """
    if workdir is not None and (workdir / SPLITS_FILE).exists():
        print(f"split: as recorded in {workdir / SPLITS_FILE}")
        return read_splits(workdir / SPLITS_FILE, index)
    if settings.split_by == "group" and index.groups is None:
        raise UserError(
            f"config.data.split_by='group' cannot be used: {index.source} data give no groups; add a column "
            "`group` to a CSV file, name a feature (--config.data.group_feature=), say that folders in class "
            "folders are patients (--config.data.groups=folders), or choose 'image'."
        )
    if index.splits is not None and set(index.splits) != {"train"}:
        return _own(settings, index, index.splits)
    return _drawn(settings, index)


def _own(settings: ConfigDict, index: DataIndex, splits: np.ndarray) -> np.ndarray:
    if settings.folds:
        raise UserError(
            f"config.data.folds={settings.folds} cannot be used: {index.source} data have a split of their "
            "own; take it out of them, or use --config.data.folds=0."
        )
    groups = None if settings.split_by == "image" else index.groups
    given = splits  # a validation part that is drawn by image was asked for
    said = f"split: given by the {index.source} data"
    own = ["test_fraction"] + ["validation_fraction"] * ("validation" in splits)
    for name in own:
        if settings[name] != BY_NAME[f"data.{name}"].default:
            said += f"; config.data.{name}={settings[name]:g} is not used"
    if "validation" not in splits and settings.validation_fraction:
        splits = add_validation(
            splits,
            index.labels,
            groups=groups,
            fraction=settings.validation_fraction,
            seed=settings.split_seed,
        )
        said += f"; validation: {_validation_share(splits):.0%} of its training part, {_unit(groups)}"
        _warn_of_validation(settings, splits, groups)
    print(said)
    if index.groups is not None:
        _warn_of_shared_groups(index.groups, splits == "test", splits != "test", _OF_TEST)
        _warn_of_shared_groups(index.groups, given == "validation", given == "train", _OF_VALIDATION)
    return splits


def _drawn(settings: ConfigDict, index: DataIndex) -> np.ndarray:
    groups = _groups(settings, index)
    fold = f", fold {settings.fold} of {settings.folds} as test part" if settings.folds else ""
    print(f"split: drawn {_unit(groups)}{fold}")
    splits = _draw(settings, index, groups)
    if settings.test_fraction and not settings.folds and "test" not in splits:
        raise UserError(_nothing_to_test(index, groups))
    _warn_of_validation(settings, splits, groups)
    return splits


def _validation_share(splits: np.ndarray) -> float:
    """Of the images that are not tested."""
    return float((splits[splits != "test"] == "validation").mean()) if (splits != "test").any() else 0.0


def _warn_of_validation(settings: ConfigDict, splits: np.ndarray, groups: np.ndarray | None) -> None:
    """Says where whole groups give no validation part, or one of many times the share that was asked for."""
    wanted, share = settings.validation_fraction, _validation_share(splits)
    if groups is None or not wanted or 0 < share <= max(2 * wanted, _LARGE):
        return
    instead = f"has {share:.0%} of the images" if share else "is empty"
    lacks = "" if share else " Without it no checkpoint is chosen, and no cell labelled without a person."
    number = counted_groups(groups[splits != "test"])
    warnings.warn(
        f"the validation part {instead}, instead of {wanted:.0%} of those that are not tested, which are of "
        f"{number}: groups are taken whole.{lacks} Give more slides or patients, or take images of one "
        "on both sides (--config.data.split_by=image), which makes estimates too good",
        stacklevel=2,
    )


def _nothing_to_test(index: DataIndex, groups: np.ndarray | None) -> str:
    """Why there is no test part, and what to do about it."""
    members, what = (np.arange(len(index)), "image") if groups is None else (groups, "group")
    single = [name for c, name in enumerate(index.class_names) if len(set(members[index.labels == c])) == 1]
    named = f" (in one alone: {', '.join(single)})" if single else ""
    by_image = "" if groups is None else ", split by image (--config.data.split_by=image)"
    return (
        f"the split leaves no image to test: a class would have no {what} to train on{named}; give more "
        f"{what}s, leave such classes out (--config.data.class_map=FILE){by_image}, or train without a test "
        "part (--config.data.test_fraction=0)."
    )


def _groups(settings: ConfigDict, index: DataIndex) -> np.ndarray | None:
    """The groups to split by, or None for images.

    Folds are split by group wherever groups are known: were it decided for each fold, they would overlap.
    """
    if settings.split_by == "image" or index.groups is None:
        return None
    if settings.split_by == "auto" and not settings.folds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # repeated when the split is drawn for use
            missing = _one_sided(settings, index, _draw(settings, index, index.groups))
        if missing:
            warnings.warn(
                f"the split is drawn by image: by group, class {', '.join(missing)} would not be in both the "
                "training and the test part. Images of one group are on both sides, so scores are better "
                "than on new groups; --config.data.split_by=group keeps groups apart all the same",
                stacklevel=2,
            )
            return None
    return index.groups


def _draw(settings: ConfigDict, index: DataIndex, groups: np.ndarray | None) -> np.ndarray:
    return draw_split(
        index.labels,
        groups=groups,
        test_fraction=settings.test_fraction,
        validation_fraction=settings.validation_fraction,
        folds=settings.folds,
        fold=settings.fold,
        seed=settings.split_seed,
        class_names=index.class_names,
    )


def _one_sided(settings: ConfigDict, index: DataIndex, splits: np.ndarray) -> list[str]:
    """Classes that have two images, and yet none to train on or none to test."""
    counts = {part: _count(index, splits == part) for part in SPLITS}
    absent = (counts["train"] == 0) | ((counts["test"] == 0) & (settings.test_fraction > 0))
    return [index.class_names[c] for c in np.flatnonzero(absent & (sum(counts.values()) > 1))]


def _count(index: DataIndex, rows: np.ndarray) -> np.ndarray:
    return np.bincount(index.labels[rows], minlength=index.num_classes)


def _unit(groups: np.ndarray | None) -> str:
    return "by image" if groups is None else f"by group ({counted_groups(groups)})"


_OF_TEST = "are on both sides of the split that the data give: scores are better than on new groups"
_OF_VALIDATION = (
    "are in the training and in the validation part that the data give: the checkpoint is chosen, and what "
    "is left to a person decided, on groups that were trained on"
)


def _warn_of_shared_groups(groups: np.ndarray, own: np.ndarray, others: np.ndarray, means: str) -> None:
    shared = np.intersect1d(groups[own], groups[others])
    if len(shared):
        first = ", ".join(shared[:3]) + ", ..." * (len(shared) > 3)
        warnings.warn(f"{len(shared)} groups ({first}) {means}", stacklevel=2)


def write_splits(path: str | os.PathLike, index: DataIndex, splits: np.ndarray) -> None:
    """Records `splits` (str `[N]`) as CSV `name,label,split,content`, the label as the class's name.

    The content (`DataIndex.contents`) tells when another picture has come under the name, and when an image
    elsewhere is one of these.
    """
    write_bytes(Path(path), splits_record(index, splits))


def splits_record(index: DataIndex, splits: np.ndarray) -> bytes:
    """The content of the file that `write_splits` writes."""
    with io.StringIO(newline="") as file:
        writer = CsvWriter(file)
        writer.writerow(_HEADER)
        for name, label, split, content in zip(
            index.names, index.labels, splits, index.contents.astype(str), strict=True
        ):
            writer.writerow([name, index.class_names[label], split, content])
        return file.getvalue().encode(errors="surrogateescape")


def read_splits(path: str | os.PathLike, index: DataIndex) -> np.ndarray:
    """The splits of `index`'s rows as `write_splits` recorded them, str `[N]`.

    Raises:
      UserError: no such file, not such a file, or it does not fit the index: the first differences
        are named.
    """
    recorded = read_records(path)
    if shown := first_differences(index, recorded):
        raise UserError(
            f"the split in {path} was made for other data ({shown}): restore the data, or use a new "
            f"--workdir{OTHER_IMAGES}"
        )
    return np.array([recorded[name].split for name in index.names], dtype="<U10")


class Recorded(NamedTuple):
    """What a split says of one image."""

    label: str
    split: str
    content: str = ""
    """What its file held; empty where it was not known."""


def read_records(path: str | os.PathLike) -> dict[str, Recorded]:
    """What `write_splits` recorded of each name.

    Raises:
      UserError: no such file, or not such a file.
    """
    try:
        with open_text(Path(path), "r") as file:
            header, *rows = list(csv_records(file)) or [[]]
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the split {path} ({error}): delete it to draw it anew") from error
    if header not in (_HEADER, _OLD_HEADER) or any(
        len(row) != len(header) or row[2] not in SPLITS for row in rows
    ):
        raise UserError(f"{path} is not a split (columns {','.join(_HEADER)}): delete it to draw it anew")
    return {name: Recorded(*values) for name, *values in rows}


def first_differences(index: DataIndex, recorded: Mapping[str, "Recorded"]) -> str:
    """In what an index is not that which a split was recorded of, the first three; empty where it is."""
    differences = [*_differences(index, recorded)]
    more = len(differences) - 3
    return "; ".join(differences[:3]) + (f"; and {more} more" if more > 0 else "")


def _differences(index: DataIndex, recorded: Mapping[str, Recorded]) -> Iterator[str]:
    contents = index.contents.astype(str)
    for name, number, content in zip(index.names, index.labels, contents, strict=True):
        label = index.class_names[number]
        if name not in recorded:
            yield f"{name} is new"
        elif recorded[name].label != label:
            yield f"{name} was {recorded[name].label}, is {label}"
        elif content and recorded[name].content not in ("", content):
            yield f"{name} was another picture"
    for name in sorted(recorded.keys() - set(index.names.tolist())):
        yield f"{name} is gone"
