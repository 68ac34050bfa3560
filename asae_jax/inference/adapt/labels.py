"""Labels that people gave to images of the other laboratory, as files of the review page list them."""

import collections
import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from asae_jax.errors import UserError, did_you_mean
from asae_jax.files import in_real_folder
from asae_jax.folders import LEFTOVER
from asae_jax.inference.adapt.cells import Cells
from asae_jax.inference.inputs import Item
from asae_jax.input.class_map import mapped_to
from asae_jax.input.content import read_contents
from asae_jax.input.csv_rows import files_of_labels
from asae_jax.input.groups import NO_GROUP, in_one_form
from asae_jax.input.manifest import ASIDE, CORRECTED, Entry, read_entries
from asae_jax.input.unicode_form import composed

FEWEST = 10
"""Labelled images below which nothing is trained: not one threshold could be set."""


@dataclasses.dataclass(frozen=True)
class Given:
    """A label that somebody gave.

    Attributes:
      item: the image, where the list says that it is.
      label: the class, under the run's names.
      content: what the image held when it was labelled; empty where the list does not say.
    """

    item: Item
    label: str
    content: str


class Labels(NamedTuple):
    """What lists of labels say.

    Attributes:
      given: the usable labels, each image once.
      settled: images that need no label any more, as somebody has looked at them or they are kept for a
        validation or a test: what they hold, or their path (`in_real_folder`) where the list does not say it.
      kept_apart: such paths and contents of those that are kept for a validation or a test.
      left_out: contents of those that a person left out, or that the class map drops -> their names.
    """

    given: list[Given]
    settled: frozenset[str]
    kept_apart: frozenset[str] = frozenset()
    left_out: Mapping[str, str] = MappingProxyType({})


def read_given(text: str, class_names: Sequence[str], class_map: Mapping[str, str]) -> Labels:
    """The labels of `adapt.labels`.

    Left out, with a warning that counts them: rows that nobody looked at, images that a person left out or
    that are not there, what a system left beside images, images that any of the lists keeps for a validation
    or a test, also for a second one (by path or by what they hold), and classes that the run does not know.

    Args:
      text: CSV files `path,label[,group][,split][,seen][,content]`, separated by commas.
      class_names: of the run.
      class_map: label -> class of the run, or "" to drop it.

    Raises:
      UserError: no such file, one that is none, an image with two labels, or one that a person labelled and
        another left out, or too few labels.
    """
    files = files_of_labels(text, "--labels")
    rows = list(_with_contents([row for file in files for row in _rows(file, class_map, class_names)]))
    kept_apart = {key: row.entry.split for row in rows if row.entry.split != "train" for key in row.keys}
    _refuse_contradictions(rows)
    found: list[Given] = []
    known: dict[str, Given] = {}  # by path and by content: a list of one kind may repeat one of the other
    left: collections.Counter[str] = collections.Counter()
    for row in rows:
        entry, path = row.entry, row.path
        part = next((kept_apart[key] for key in row.keys if key in kept_apart), entry.split)
        if reason := _unusable(entry, row.label, class_names, part):
            left[reason] += 1
            continue
        given = Given(Item(path, path, _group(entry)), row.label, entry.content)
        others = [known[key] for key in row.keys if key in known]
        if not others or (entry.content and all(o.content not in ("", entry.content) for o in others)):
            found.append(given)
        elif entry.content and not others[0].content:  # it says more than the label of before
            found[found.index(others[0])] = given
        else:
            given = others[0]
        known |= dict.fromkeys(row.keys, given)
    if left:
        counts = "; ".join(f"{count:,} {reason}" for reason, count in left.items())
        warnings.warn(f"labels left out: {counts}", stacklevel=2)
    _refuse_few(found, class_names)
    settled = {r.entry.content or r.path for r in rows if r.entry.seen or r.entry.split != "train"}
    left_out = {row.entry.content: row.entry.name for row in rows if row.is_left_out and row.entry.content}
    left_out = {content: name for content, name in left_out.items() if content not in kept_apart}
    return Labels(found, frozenset(settled), frozenset(kept_apart), left_out)


class _Row(NamedTuple):
    """A row of a list: `in_real_folder` of its file, and its label as a class of the run where it is one."""

    entry: Entry
    path: str
    label: str

    @property
    def keys(self) -> list[str]:
        """What its image is known by: path, and what it held where the list says it."""
        return [key for key in (self.path, self.entry.content) if key]

    @property
    def is_left_out(self) -> bool:
        """Whether a person left the image out, or the class map drops it; not of those kept for a test."""
        return self.entry.seen and self.entry.split == "train" and not self.label


def _rows(file: Path, class_map: Mapping[str, str], class_names: Sequence[str]) -> Iterator[_Row]:
    forms = {composed(name): name for name in class_names}
    for entry in read_entries(file, unseen=False)[2]:
        mapped = mapped_to(entry.label, class_map)
        label = entry.label if mapped is None else mapped
        yield _Row(entry, in_real_folder(file.parent / entry.name), forms.get(composed(label), label))


def _with_contents(rows: Sequence[_Row]) -> Iterator[_Row]:
    """The rows, those of images not to be trained on with what these hold, also where the list does not say.

    A copy of such an image may be labelled under another name.
    """
    not_trained = (row for row in rows if row.entry.split != "train" or row.is_left_out)
    unread = [r for r in not_trained if not r.entry.content and not r.entry.fault.startswith(LEFTOVER)]
    read = read_contents([row.path for row in unread], "reading images that are left out or kept for a test")
    held = {row.path: content for row, (content, _) in zip(unread, read, strict=True) if content}
    if unknown := sum(row.entry.split != "train" and row.path not in held for row in unread):
        warnings.warn(
            f"{unknown} images that are kept for a test cannot be read, and what they held is not known: "
            "labels of copies of them are trained on",
            stacklevel=2,
        )
    for row in rows:
        content = row.entry.content or held.get(row.path, "")
        yield row._replace(entry=dataclasses.replace(row.entry, content=content))


def _refuse_contradictions(rows: Sequence[_Row]) -> None:
    """Raises a UserError where two people say other things of one image, be it that it is left out."""
    said: dict[str, str] = {}
    for row in rows:
        entry, label = row.entry, row.label or "left out"
        if not entry.seen or entry.split != "train" or (entry.fault and entry.label):
            continue
        for key in row.keys:
            if said.setdefault(key, label) != label:
                raise UserError(f"{entry.name} has two labels, {said[key]} and {label} (--labels=): keep one")


def _group(entry: Entry) -> str:
    """Slide or patient; empty where it is not known."""
    names = (entry.group, entry.provenance.get("known_group", ""))
    return composed(next((name for name in names if name not in ("", NO_GROUP)), ""))


def _unusable(entry: Entry, label: str, class_names: Sequence[str], part: str) -> str:
    """Why a row gives no label to train on, as it follows a count of such rows; empty where it gives one.

    `part` is that of its image, which another row may tell.
    """
    if not entry.seen:
        return f"that nobody looked at ({CORRECTED})"
    if not entry.label:
        return "of images that a person left out"
    if entry.fault:
        if entry.fault.startswith(LEFTOVER):
            return "of thumbnails or notes that a system left"
        return "of files listed by another name too" if entry.identity else "of files that are not there"
    if part == ASIDE:
        return "set aside for a second test"
    if part != "train":
        return f"of the list's {part} part"
    if not label:
        return "of classes that the class map drops"
    if label in class_names:
        return ""
    near = f"{did_you_mean(label, class_names)} ".lstrip()
    return f"of {label}, which the run does not know ({near}--class_map=FILE)"


def _refuse_few(given: Sequence[Given], class_names: Sequence[str]) -> None:
    classes = {one.label for one in given}
    if len(given) < FEWEST or len(classes) < 2:
        raise UserError(
            f"{len(given)} labels of {len(classes)} classes can be used (--labels=): label {FEWEST} images "
            f"at least, of two of the run's classes ({', '.join(class_names)})"
        )


def matched(labels: Labels, cells: Cells) -> np.ndarray:
    """Row of `labels.given` for each of `cells`, int `[N]`; -1 where the file holds another picture now.

    Of files that hold the same picture the first counts: a second would be in another fold than the first.
    Copies of images that are kept for a validation or a test are -1 too, with a warning that counts them.

    Args:
      labels: those whose items were read.
      cells: what could be read of them.

    Raises:
      UserError: a picture with two labels, or one that a person left out under another name.
    """
    given = labels.given
    by_path: dict[str, list[int]] = {}
    for number, one in enumerate(given):
        by_path.setdefault(one.item.path, []).append(number)
    rows, hold_good = np.full(len(cells.items), -1, np.int64), set()
    first: dict[str, tuple[int, Given]] = {}
    for place, (item, held) in enumerate(zip(cells.items, cells.contents, strict=True)):
        fitting = [number for number in by_path[item.path] if given[number].content in ("", held)]
        if not fitting:
            continue
        hold_good.update(fitting)
        one = given[fitting[0]]
        if held in labels.left_out:
            raise UserError(
                f"{item.path} has the label {one.label}, and the same picture is left out as "
                f"{labels.left_out[held]} (--labels=): keep one"
            )
        other = first.setdefault(held, (place, one))[1]
        if other.label != one.label:
            raise UserError(
                f"{item.path} and {other.item.path} are one picture with two labels, {one.label} and "
                f"{other.label} (--labels=): keep one"
            )
        if first[held][0] == place:
            rows[place] = fitting[0]
    apart = np.isin(cells.contents, list(labels.kept_apart)) & (rows >= 0)
    if apart.any():
        warnings.warn(f"{apart.sum()} labels are not used: copies of images kept for a test", stacklevel=2)
    if repeated := len(hold_good) - int((rows >= 0).sum()):
        warnings.warn(f"{repeated} labels are not used: their picture is labelled already", stacklevel=2)
    if lost := len(given) - len(hold_good):
        warnings.warn(
            f"{lost} of {len(given)} labelled images are not used: the file cannot be read, or holds another "
            "picture now (column content)",
            stacklevel=2,
        )
    return np.where(apart, -1, rows)


def with_groups(items: Sequence[Item], of_input: Mapping[str, str]) -> list[Item]:
    """Labelled images with the slide or patient that their list names, or else the input.

    Both may call one patient otherwise, the input by the name of a folder. Where images have both names, the
    input's stands for the list's; if it stands for several, its other images stay together under the input's.

    Args:
      items: as the lists of labels name them.
      of_input: `Item.file` -> group, as the input names it.
    """
    meant: dict[str, set[str]] = {}
    for item in items:
        if item.group and (name := of_input.get(item.file)):
            meant.setdefault(name, set()).add(item.group)
    listed = {item.group for item in items if item.group}
    found, alone = [], 0
    for item in items:
        name = "" if item.group else of_input.get(item.file, "")
        names = meant.get(name, {name})
        group = item.group or (min(names) if len(names) == 1 else name)
        found.append(dataclasses.replace(item, group=group))
        alone += bool(name) and name not in meant and name not in listed
    nameless = {of_input.get(item.file, "") for item in items if not item.group}
    if mixed := sorted(name for name in nameless if len(meant.get(name, ())) > 1):
        warnings.warn(
            f"the lists (--labels=) name several slides or patients in {mixed[0]} of --input "
            f"({', '.join(sorted(meant[mixed[0]])[:3])}): its images without a name are taken for one "
            "more, though they may be of these",
            stacklevel=2,
        )
    if alone and listed:
        warnings.warn(
            f"the slide or patient of {alone} labelled images is named by --input alone, of others by their "
            "list (--labels=): one with two names is taken for two",
            stacklevel=2,
        )
    return found


def groups_of(items: Sequence[Item]) -> np.ndarray | None:
    """What may not be divided: slide or patient of each image `[N]`, the image itself where unknown.

    A name in two Unicode forms is one. None where there are no two slides or patients.
    """
    groups = in_one_form(np.array([item.group or item.path for item in items], np.str_))
    if not any(item.group for item in items) or len(np.unique(groups)) < 2:
        return None
    return groups
