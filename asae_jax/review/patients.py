"""Whose images the new ones are: patients kept out of training, and those of a second test.

Groups of images, be they of a patient or of a slide, are called patients here.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError, did_you_mean
from asae_jax.input.class_map import alike_names
from asae_jax.input.split import draw_split
from asae_jax.review.labels import Label
from asae_jax.review.old_data import PARTS, Known


@dataclasses.dataclass
class Named:
    """New images with their patients.

    Attributes:
      labels: those that may be trained on, each with its patient where one is known.
      left_out: the others, with the reason.
      notes: what to know, in a sentence each.
    """

    labels: list[Label] = dataclasses.field(default_factory=list)
    left_out: list[tuple[Label, str]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def named(new: Sequence[Label], known: Sequence[Known], *, rename: bool, grouped: bool) -> Named:
    """New images with their patients, without those whose patients are kept out of training.

    Args:
      new: labels of images that the old data have not.
      known: the old data.
      rename: whether a new patient who is called like an old one is another one.
      grouped: whether every old image names its patient: then new ones that do not are taken for one.
    """
    there = {row.group for row in known if row.group}
    protected = _kept_apart(known)
    result, unnamed, shared, renamed = Named(), collections.Counter[str](), set(), set()
    for label in new:
        group = label.group
        if not group and grouped:
            unnamed[label.origin] += 1
            label = dataclasses.replace(label, group=_new_name(label, "patient not named", there))
        elif group in there and rename:
            renamed.add(group)
            label = dataclasses.replace(label, group=_new_name(label, group, there))
        elif group in protected:
            result.left_out.append((label, f"of patient {group}, who is {PARTS[protected[group]]}"))
            continue
        elif group in there:
            shared.add(group)
        result.labels.append(label)
    result.notes += _notes_on_groups(unnamed, shared, renamed)
    result.notes += _notes_on_what_is_not_known(result.labels, known, protected, grouped=grouped)
    return result


def _new_name(label: Label, name: str, there: set[str]) -> str:
    """A patient's name that the old data have not: lists of several rounds may be called the same."""
    stem = Path(label.origin).stem
    later = (f"{stem} {number}: {name}" for number in itertools.count(2))
    names = itertools.chain([f"{stem}: {name}"], later)
    return next(name for name in names if name not in there)


def _kept_apart(known: Sequence[Known]) -> dict[str, str]:
    """Patients of the parts that nothing enters -> the part, where the split kept them out of training."""
    trained = {row.group for row in known if row.split == "train" and row.group}
    apart: dict[str, str] = {}
    for part in PARTS:
        groups = {row.group for row in known if row.split == part and row.group}
        if groups.isdisjoint(trained):
            apart |= {group: part for group in groups if group not in apart}
    return apart


def _notes_on_groups(unnamed: Mapping[str, int], shared: set[str], renamed: set[str]) -> Iterator[str]:
    for origin, count in unnamed.items():
        yield (
            f"{count:,} new images of {origin} name no patient or slide: they are taken for one. If they are "
            "of "
            "patients of the old test part, give a column `group`"
        )
    if shared:
        yield f"{_some(shared)}: named by old training images and by new ones, taken for the same patients"
    if renamed:
        yield f"{_some(renamed)}: named by old and new images, taken for other patients (rename)"


def _notes_on_what_is_not_known(
    new: Sequence[Label], known: Sequence[Known], protected: Mapping[str, str], *, grouped: bool
) -> Iterator[str]:
    test = [row for row in known if row.split == "test"]
    if new and test and not all(row.group for row in test):
        yield (
            "the old test images name no patients: whether new images are of the same patients cannot be "
            "told, "
            "and scores would be too high if they are"
        )
    elif new and test and not any(row.group in protected for row in test):
        yield "the old split has patients on both sides: new images of its test patients are trained on too"
    if not grouped and any(label.group for label in new):
        yield "patients are known of new images only: they stand in the column known_group"
    mine = {label.group for label in new if label.group}
    for names in alike_names(mine | set(protected)):
        if len(mine & set(names)) and len(set(protected) & set(names)):
            yield f"patients {' and '.join(map(repr, names))} are called nearly the same: are they one?"


def second_test(
    new: Sequence[Label], known: Sequence[Known], wanted: str, *, seed: int
) -> tuple[set[Label], list[str]]:
    """The new images of a second test, and what to know of it.

    Args:
      new: images that may be trained on.
      known: the old data, whose patients it has none of.
      wanted: names of patients, separated by commas, or the share of patients to draw, 0..1; empty: no test.
      seed: of the drawing.

    Raises:
      UserError: patients that no new image is of, or that the old data have too; a share out of range, or
        of patients none of whom can be spared.
    """
    wanted = wanted.strip()
    if not wanted:
        return set(), []
    there = {row.group for row in known if row.group}
    groups = {label.group for label in new if label.group}
    share = _share(wanted, groups)
    if share is None:
        return _named_patients(new, wanted, groups, there), []
    rows = [label for label in new if label.group not in there]
    if not rows:
        raise UserError(f"--new_test={wanted}: no new image is of a new patient: leave it out")
    by_group = all(label.group for label in rows)
    if by_group and len({label.group for label in rows}) < 2:
        raise UserError(
            f"--new_test={wanted}: all new images are of one patient ({rows[0].group}): leave it out, or "
            "name the patient to test on all of them"
        )
    drawn = _drawn(rows, share, by_group=by_group, seed=seed)
    if not drawn:
        what = "patient" if by_group else "image"
        raise UserError(
            f"--new_test={wanted}: none is drawn, as without any one {what} a class would have no new image "
            f"to train on: leave it out, or name the patients to test on"
        )
    return drawn, [] if by_group else [_BY_IMAGE]


_BY_IMAGE = (
    "the second test is drawn by image, as not every new image names a patient: cells of one patient may be "
    "on both sides, and scores on it are then better than on new patients"
)


def _drawn(rows: Sequence[Label], share: float, *, by_group: bool, seed: int) -> set[Label]:
    names = sorted({label.label for label in rows})
    splits = draw_split(
        np.array([names.index(label.label) for label in rows], np.int32),
        groups=np.array([label.group for label in rows]) if by_group else None,
        test_fraction=share,
        validation_fraction=0.0,
        folds=0,
        fold=0,
        seed=seed,
        class_names=names,
    )
    return {label for label, split in zip(rows, splits, strict=True) if split == "test"}


def _share(wanted: str, groups: set[str]) -> float | None:
    """The share that is asked for; None where patients are named."""
    if wanted in groups:
        return None
    try:
        share = float(wanted)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise UserError(f"--new_test={wanted}: give a share above 0 and below 1, or names of patients")
    return share


def _named_patients(new: Sequence[Label], wanted: str, groups: set[str], named: set[str]) -> set[Label]:
    names = {wanted} if wanted in groups else {name.strip() for name in wanted.split(",") if name.strip()}
    for name in sorted(names):
        if name not in groups:
            there = _some(groups) if groups else "none, as the labels have no column group, patient or slide"
            raise UserError(
                f"--new_test: no new image is of patient {name!r}.{did_you_mean(name, groups)} There are "
                f"{there}"
            )
        if name in named:
            raise UserError(
                f"--new_test: the old data have images of patient {name!r} too, so that a test on the new "
                "ones would "
                "not be on a new patient: name others, or say that it is another one (--shared_groups=rename)"
            )
    return {label for label in new if label.group in names}


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:4]) + ", ..." * (len(names) > 4)
