"""The record of a split in the run folder: written once, checked whenever it is used again."""

import csv
import os
from collections.abc import Iterator

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.split import SPLITS
from asae_jax.input.table import Table

SPLITS_FILE = "splits.csv"
"""Its name in a run folder."""

_HEADER = ["name", "label", "split"]


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
