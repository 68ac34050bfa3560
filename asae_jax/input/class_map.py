"""Merging, renaming and dropping classes, as the paper merges 27 into 14."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.rows import fault, read_rows
from asae_jax.input.table import Table


def read_class_map(path: str | os.PathLike) -> dict[str, str]:
    """Class -> new class, or empty where it is dropped, from a CSV file `from,to`.

    Raises:
      UserError: naming file and line: not such a file (see `rows.read_rows`), an empty `from`, or one that
        is there twice.
    """
    file = Path(path).expanduser()
    _, rows = read_rows(file, required=("from", "to"))
    mapping: dict[str, str] = {}
    for line, row in rows:
        if not row["from"]:
            raise fault(file, line, "empty from", "name a class of the data")
        if row["from"] in mapping:
            raise fault(file, line, f"class {row['from']} is mapped twice", "keep one of the lines")
        mapping[row["from"]] = row["to"]
    return mapping


def map_classes(table: Table, mapping: Mapping[str, str]) -> Table:
    """`table` with its classes merged, renamed and dropped.

    A class that is not in `mapping` keeps its name. New classes stand in the order in which their first
    class stood. Examples of dropped classes are listed in `Table.skipped`.

    A map may name classes that the table has not, as a laboratory's map does when only some of its classes
    are at hand; but not while it leaves one out that the table has, for that may be the same, misspelt.

    Raises:
      UserError: such a misspelling, or all classes are dropped.
    """
    unknown = [name for name in mapping if name not in table.class_names]
    unmapped = [name for name in table.class_names if name not in mapping]
    if unknown and unmapped:
        raise UserError(
            f"the class map names classes that the data do not have ({', '.join(unknown)}), and leaves out "
            f"some that they have ({', '.join(unmapped)}): correct the former, or map the latter too"
        )
    targets = [mapping.get(name, name) for name in table.class_names]
    class_names = tuple(dict.fromkeys(target for target in targets if target))
    if not class_names:
        raise UserError("the class map drops every class: keep some")
    numbers = np.array([class_names.index(target) if target else -1 for target in targets], np.int32)
    return relabel(table, class_names, numbers, "class {} is dropped by the class map")


def relabel(table: Table, class_names: tuple[str, ...], numbers: np.ndarray, why_dropped: str) -> Table:
    """`table` with other classes.

    Args:
      table: the examples.
      class_names: the new classes.
      numbers: int `[old classes]`, the new class of each old one; -1 drops its examples.
      why_dropped: reason for `Table.skipped`, with `{}` for the old class.
    """
    labels = numbers[table.labels].astype(np.int32)
    skipped = tuple(
        (str(table.names[row]), why_dropped.format(table.class_names[table.labels[row]]))
        for row in np.flatnonzero(labels < 0)
    )
    kept = np.flatnonzero(labels >= 0)
    # The old labels would not fit the new classes: everything changes at once.
    selected = table.select(kept) if skipped else table
    return dataclasses.replace(
        selected, class_names=class_names, labels=labels[kept], skipped=(*table.skipped, *skipped)
    )
