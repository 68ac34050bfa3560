"""Which examples are trained on: a stratified, seeded split, and its record in the run folder."""

import csv
import os
import warnings
from collections.abc import Iterator

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.shuffle import permutation
from asae_jax.input.table import Table

SPLITS = ("train", "validation", "test")

_HEADER = ["name", "label", "split"]


def split_table(
    labels: np.ndarray, *, test_fraction: float = 0.2, validation_fraction: float = 0.0, seed: int
) -> np.ndarray:
    """Draws the test images of each class, then the validation images from what is left for training.

    The number of each class in each part is within one image of its exact share, and the whole part's
    too where the two rules below allow it. Each class keeps a training image; each class of two or more
    gets a test image. A class of one image is trained on and not tested, with a warning.

    Args:
      labels: int `[N]`.
      test_fraction: of all images, 0 <= fraction < 1.
      validation_fraction: of those not for testing, 0 <= fraction < 1. It is for choosing a checkpoint,
        which the test images must not do.
      seed: of the draw.

    Returns:
      str `[N]`: "train", "validation" or "test".

    Raises:
      UserError: a fraction out of range.
    """
    _check_fraction("test_fraction", test_fraction)
    _check_fraction("validation_fraction", validation_fraction)
    classes, counts = np.unique(labels, return_counts=True)
    tested = _shares(counts, test_fraction, least=1)
    validated = _shares(counts - tested, validation_fraction, least=0)
    if test_fraction and (counts == 1).any():
        single = classes[counts == 1].tolist()
        warnings.warn(f"classes number {single} have one image each: none to test", stacklevel=2)
    splits = np.full(len(labels), "train", dtype="<U10")
    for label, test, validation in zip(classes, tested, validated, strict=True):
        members = np.flatnonzero(labels == label)
        members = members[permutation(len(members), seed, "split", int(label))]
        splits[members[:test]] = "test"
        splits[members[test : test + validation]] = "validation"
    return splits


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UserError(f"{name} is {value}: choose 0 <= fraction < 1 (--config.data.{name}=)")


def _shares(counts: np.ndarray, fraction: float, *, least: int) -> np.ndarray:
    """How many of each class to take: largest remainders, then at least `least` and at most all but one."""
    exact = counts * fraction
    shares = np.floor(exact + 1e-9).astype(np.int64)  # 0.1 * 30 is 3.0000000000000004, 0.7 * 10 is 7 - 1e-15
    missing = int(np.floor(exact.sum() + 0.5)) - shares.sum()
    largest_remainders = np.argsort(shares - exact, kind="stable")
    shares[largest_remainders[: max(missing, 0)]] += 1
    return np.clip(shares, min(least, 1 if fraction else 0), None).clip(max=counts - 1)


def write_splits(path: str | os.PathLike, table: Table, splits: np.ndarray) -> None:
    """Records `splits` (str `[N]`) as CSV `name,label,split`, the label as the class's name."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        for name, label, split in zip(table.names, table.labels, splits, strict=True):
            writer.writerow([name, table.class_names[label], split])


def read_splits(path: str | os.PathLike, table: Table) -> np.ndarray:
    """The splits of `table`'s rows as `write_splits` recorded them, str `[N]`.

    Raises:
      UserError: no such file, not such a file, or it does not fit the table: the first differences
        are named.
    """
    recorded = _read_records(path)
    differences = [*_differences(table, recorded)]
    if differences:
        more = len(differences) - 3
        shown = "; ".join(differences[:3]) + (f"; and {more} more" if more > 0 else "")
        raise UserError(
            f"the split in {path} was made for other data ({shown}): restore the data, or use a new --workdir"
        )
    return np.array([recorded[name][1] for name in table.names], dtype="<U10")


def _read_records(path: str | os.PathLike) -> dict[str, tuple[str, str]]:
    """name -> (label, split)."""
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the split {path} ({error}): delete it to draw it anew") from error
    if header != _HEADER or any(len(row) != len(_HEADER) or row[2] not in SPLITS for row in rows):
        raise UserError(f"{path} is not a split (columns {','.join(_HEADER)}): delete it to draw it anew")
    return {name: (label, split) for name, label, split in rows}


def _differences(table: Table, recorded: dict[str, tuple[str, str]]) -> Iterator[str]:
    for name, number in zip(table.names, table.labels, strict=True):
        label = table.class_names[number]
        if name not in recorded:
            yield f"{name} is new"
        elif recorded[name][0] != label:
            yield f"{name} was {recorded[name][0]}, is {label}"
    for name in recorded.keys() - set(table.names.tolist()):
        yield f"{name} is gone"
