"""The labelled list of another laboratory's cells."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.inference.predict.inputs import Item
from asae_jax.input.class_map import mapped_to
from asae_jax.input.content import file_contents
from asae_jax.input.csv_rows import Row, listed_file, read_rows
from asae_jax.input.manifest import GROUP_COLUMNS, GUESS_COLUMNS, group_column, is_guess

PARTS = ("train", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Listed:
    """Cells of another laboratory, in the words of a run.

    Attributes:
      items: part -> its images; of "test" only those of the run's classes.
      labels: part -> number of each one's class, int `[N]`, -1 where the run has none.
      groups: slide or patient of each test image, `[N]`; None where the list does not tell.
      source: name of the list.
      guesses: rows of it that were left out, as nobody looked at their labels.
    """

    items: Mapping[str, Sequence[Item]]
    labels: Mapping[str, np.ndarray]
    groups: np.ndarray | None
    source: str
    guesses: int = 0

    @functools.cached_property
    def digest(self) -> str:
        """64 hexadecimal digits, equal for lists of the same images, classes and groups in the same order.

        Images are the same that have one name and hold the same (`file_contents`).
        """
        rows = [
            (part, item.path, int(label), item.group, content)
            for part in PARTS
            for item, label, content in zip(
                self.items[part],
                self.labels[part],
                file_contents(item.file for item in self.items[part]).tolist(),
                strict=True,
            )
        ]
        return hashlib.sha256(repr(rows).encode("utf-8", "surrogateescape")).hexdigest()


def read_listed(
    path: Path, class_map: Mapping[str, str], class_names: Sequence[str], *, most: int, seed: int
) -> Listed:
    """Reads a CSV file `path,label,split` of the other laboratory.

    Labels that nobody looked at (`manifest.is_guess`) are no truth: their rows are left out.

    Args:
      path: the file; images lie relative to its folder.
      class_map: its labels -> the run's classes. Cells of other classes stay in the training part, without
        label, as they would among unlabelled images.
      class_names: of the run.
      most: images of the training part that are taken, at random.
      seed: of that choice.

    Raises:
      UserError: a file that cannot be read, or without images of two common classes in one of its parts.
    """
    columns, listed = read_rows(
        path, required=("path", "label", "split"), optional=GROUP_COLUMNS, also=(*GUESS_COLUMNS, "x", "y")
    )
    every = list(listed)
    rows = [row for row in every if not is_guess(path, *row)]
    grouped, guesses = group_column(columns), len(every) - len(rows)
    items: dict[str, list[Item]] = {part: [] for part in PARTS}
    labels: dict[str, list[int]] = {part: [] for part in PARTS}
    for row in rows:
        part, number = row[1]["split"].lower(), _class_of(row, class_map, class_names)
        if part == "train" or (part == "test" and number >= 0):
            file = listed_file(path.parent, row[1]["path"])
            items[part].append(Item(row[1]["path"], file, row[1].get(grouped, "")))
            labels[part].append(number)
    for part in PARTS:
        if len(set(labels[part]) - {-1}) < 2:
            raise UserError(
                f"{path}: its part {part!r} has no two of the classes {', '.join(class_names)}"
                + f" without the {guesses} rows whose label nobody looked at (seen=no)" * bool(guesses)
                + ": give a class map from its labels to them, and a column split with train and test."
            )
    order = np.random.default_rng(seed).permutation(len(items["train"]))[:most]
    groups = np.array([item.group for item in items["test"]])
    return Listed(
        {"train": [items["train"][row] for row in order], "test": items["test"]},
        {"train": np.array(labels["train"])[order], "test": np.array(labels["test"])},
        groups if all(groups) else None,
        path.name,
        guesses,
    )


def _class_of(row: Row, class_map: Mapping[str, str], class_names: Sequence[str]) -> int:
    """Number of the class that the row's label belongs to; -1 where the run has none."""
    label = row[1]["label"]
    mapped = mapped_to(label, class_map)
    name = label if mapped is None else mapped
    return class_names.index(name) if name in class_names else -1
