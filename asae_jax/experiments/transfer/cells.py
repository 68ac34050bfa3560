"""The labelled list of another laboratory's cells."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.inference.inputs import Item
from asae_jax.input.class_map import mapped_to
from asae_jax.input.content import file_contents
from asae_jax.input.groups import NO_GROUP, one_by_one
from asae_jax.input.manifest import UNSEEN, read_entries
from asae_jax.input.unicode_form import composed

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
      shared_groups: slides or patients of test images that images of the training part are of too.
    """

    items: Mapping[str, Sequence[Item]]
    labels: Mapping[str, np.ndarray]
    groups: np.ndarray | None
    source: str
    guesses: int = 0
    shared_groups: int = 0

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
    """Reads a list of the other laboratory's cells, as training would (`manifest.read_entries`).

    Labels that nobody looked at (`manifest.is_guess`) are no truth: their rows are left out.

    Args:
      path: the file; images lie relative to its folder.
      class_map: its labels -> the run's classes. Cells of other classes stay in the training part, without
        label, as they would among unlabelled images.
      class_names: of the run.
      most: images of the training part that are taken, at random.
      seed: of that choice.

    Raises:
      UserError: a file that cannot be read, an image that it lists twice, or of which it has a copy in both
        parts, or one without images of two common classes in one of its parts.
    """
    _, _, entries = read_entries(path, unseen=False)
    guesses = sum(entry.fault == UNSEEN for entry in entries)
    items: dict[str, list[Item]] = {part: [] for part in PARTS}
    labels: dict[str, list[int]] = {part: [] for part in PARTS}
    for entry in entries:
        number = _class_of(entry.label, class_map, class_names)
        if entry.fault == UNSEEN or (entry.fault and entry.size):  # files that are missing are refused later
            continue
        if entry.split == "train" or (entry.split == "test" and number >= 0):
            group = "" if entry.group == NO_GROUP else entry.group
            items[entry.split].append(Item(entry.name, str(path.parent / entry.name), group))
            labels[entry.split].append(number)
    for part in PARTS:
        if len(set(labels[part]) - {-1}) < 2:
            raise UserError(
                f"{path}: its part {part!r} has no two of the classes {', '.join(class_names)}"
                + f" without the {guesses} rows whose label nobody looked at (seen=no)" * bool(guesses)
                + ": give a class map from its labels to them, and a column split with train and test."
            )
    _check_apart(path, items)
    order = np.random.default_rng(seed).permutation(len(items["train"]))[:most]
    taken = {"train": [items["train"][row] for row in order], "test": items["test"]}
    return Listed(
        taken,
        {"train": np.array(labels["train"])[order], "test": np.array(labels["test"])},
        one_by_one(np.array([i.group for i in items["test"]]), np.array([i.path for i in items["test"]])),
        path.name,
        guesses,
        len(set.intersection(*({composed(i.group) for i in taken[part] if i.group} for part in PARTS))),
    )


def _check_apart(path: Path, items: Mapping[str, Sequence[Item]]) -> None:
    """Raises a UserError where an image of the part "train" is in the part "test" too, under another name."""
    names: dict[str, str] = {}
    for item, content in zip(items["train"], file_contents(i.file for i in items["train"]), strict=True):
        names.setdefault(content, item.path)
    contents = file_contents(item.file for item in items["test"])
    found = [
        (item.path, names[content])
        for item, content in zip(items["test"], contents, strict=True)
        if content and content in names
    ]
    if found:
        raise UserError(
            f"{path}: {len(found)} of its test images are in its part 'train' too, from which labels are "
            f"taken ({found[0][0]} is {found[0][1]}): list each picture once."
        )


def _class_of(label: str, class_map: Mapping[str, str], class_names: Sequence[str]) -> int:
    """Number of the class that a label belongs to; -1 where the run has none."""
    mapped = mapped_to(label, class_map)
    name = label if mapped is None else mapped
    return class_names.index(name) if name in class_names else -1
