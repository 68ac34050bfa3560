"""Whose images the new ones are: patients kept out of training, and those of a second test.

Groups of images, be they of a patient or of a slide, are called patients here.
"""

import collections
import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError, did_you_mean
from asae_jax.input.class_map import alike_names
from asae_jax.input.split import draw_split
from asae_jax.input.unicode_form import composed
from asae_jax.review.labels import Label
from asae_jax.review.run_images import PARTS, Known


@dataclasses.dataclass
class Named:
    """New images with their patients.

    Attributes:
      labels: those that may be trained on, each with its patient where one is known.
      left_out: the others, with the reason.
      notes: what to know, in a sentence each.
      made_up: names among those of patients that stand for all images of a list that name none.
    """

    labels: list[Label] = dataclasses.field(default_factory=list)
    left_out: list[tuple[Label, str]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    made_up: set[str] = dataclasses.field(default_factory=set)


Told = Mapping[str, Collection[str]]
"""Patients whom labels name of images of the run, where the old data do not -> parts of these images."""


def told_of(known: Iterable[Known], labels: Iterable[Label]) -> dict[str, set[str]]:
    """The patients whom labels name of images that the run has, beside those that the old data name.

    Rows that nobody looked at count too: the patient does not depend on the label.
    """
    rows: dict[str, list[Known]] = {}
    for row in known:
        if row.content:
            rows.setdefault(row.content, []).append(row)
    told: dict[str, set[str]] = {}
    for label in labels:
        for row in rows.get(label.content, []):
            if label.group and label.group != row.group:
                told.setdefault(label.group, set()).add(row.split)
    return told


def of_other_parts(known: Iterable[Known], told: Told, *, rename: bool) -> set[str]:
    """The patients of images outside of training; by labels alone where others are meant (rename)."""
    by_labels = {group for group, splits in told.items() if splits != {"train"}}
    return by_labels | {row.group for row in known if row.split != "train" and row.group and not rename}


def with_told(known: Iterable[Known], labels: Iterable[Label]) -> list[Known]:
    """`known`, those without a patient with the one whom labels name, in the column `known_group`.

    Else the next round would not know it any more.
    """
    told: dict[str, str] = {}
    for label in labels:
        if label.group and label.content:
            told.setdefault(label.content, label.group)
    return [
        dataclasses.replace(row, group=group, provenance={**row.provenance, "known_group": group})
        if not row.group and (group := told.get(row.content, ""))
        else row
        for row in known
    ]


def named(
    new: Sequence[Label],
    known: Sequence[Known],
    told: Told,
    *,
    rename: bool,
    grouped: bool,
    slides: bool = False,
) -> Named:
    """New images with their patients, without those whose patients are kept out of training.

    Args:
      new: labels of images that the old data have not.
      known: the old data.
      told: what labels say of them (`told_of`).
      rename: whether a new patient who is called like one of the old test or validation part is another one;
        not where a label says of an old image that it is this patient's.
      grouped: whether the old data name patients, but for images of none: new ones that name none are taken
        for one.
      slides: whether the groups of old images are slides or fields.
    """
    there = {row.group for row in known if row.group}
    parted = {row.group for row in known if row.split in PARTS and row.group}
    protected = _kept_apart(known, grouped=grouped)
    by_labels = _told_apart(known, told)
    result, unnamed, shared, names = Named(), collections.Counter[str](), set(), dict[str, str]()
    for label in new:
        group = label.group
        if not group and grouped:
            unnamed[label.origin] += 1
            label = dataclasses.replace(label, group=_new_name(label, "patient not named", there))
            result.made_up.add(label.group)
        elif group in parted and rename and group not in by_labels:
            # One name for the whole merge: two readers of a patient are not two patients.
            label = dataclasses.replace(label, group=names.setdefault(group, _new_name(label, group, there)))
        elif part := by_labels.get(group):
            says = ", as a label of an image there says"
            result.left_out.append((label, f"of patient {group}, who is {PARTS[part]}{says}"))
            continue
        elif part := protected.get(group):
            result.left_out.append((label, f"of patient {group}, who is {PARTS[part]}"))
            continue
        elif group in there or group in told:
            shared.add(group)
        result.labels.append(label)
    result.notes += _notes_on_groups(unnamed, shared, set(names))
    result.notes += _notes_on_told(known, told, by_labels)
    result.notes += _notes_on_kinds(result.labels, known, slides=grouped and slides, grouped=grouped)
    result.notes += _notes_on_what_is_not_known(result.labels, known, protected, grouped=grouped)
    return result


def _told_apart(known: Iterable[Known], told: Told) -> dict[str, str]:
    """Patients of images of the test, say, but of no training image, as labels name them -> the part."""
    trained = {row.group for row in known if row.split == "train"}
    parts = {
        group: next((part for part in PARTS if part in splits), "")
        for group, splits in told.items()
        if "train" not in splits and group not in trained
    }
    return {group: part for group, part in parts.items() if part}


def _new_name(label: Label, name: str, there: set[str]) -> str:
    """A patient's name that the old data have not: lists of several rounds may be called the same."""
    stem = Path(label.origin).stem
    later = (f"{stem} {number}: {name}" for number in itertools.count(2))
    names = itertools.chain([f"{stem}: {name}"], later)
    return next(name for name in names if name not in there)


def _kept_apart(known: Sequence[Known], *, grouped: bool) -> dict[str, str]:
    """Patients of the parts that nothing enters -> the part, where the split kept them out of training.

    Where the old data name patients and one of a part is trained on, their split did not go by patients, and
    protects none of the part. Patients whom labels told later had no say in the split: each stands for
    himself, and is kept apart if none of his images is known to be trained on.
    """
    in_split = [row for row in known if grouped and row.group and "known_group" not in row.provenance]
    drawn = {row.group for row in in_split if row.split == "train"}
    trained = {row.group for row in known if row.split == "train"}
    apart: dict[str, str] = {}
    for part in PARTS:
        by_split = {row.group for row in in_split if row.split == part}
        told = {row.group for row in known if row.split == part and row.group} - by_split - trained
        kept = told | (by_split if by_split.isdisjoint(drawn) else set())
        apart |= {group: part for group in kept if group not in apart}
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


def _notes_on_told(known: Sequence[Known], told: Told, by_labels: Mapping[str, str]) -> Iterator[str]:
    trained = {row.group for row in known if row.split == "train"}
    if by_labels:
        yield (
            f"{_some(by_labels)}: named by labels of images that are in the old test or validation part, or "
            "set aside: new images of them are left out"
        )
    sides = {group for group, splits in told.items() if group in trained or "train" in splits}
    if both := {group for group in sides if set(told[group]) & set(PARTS)}:
        yield (
            f"{_some(both)}: on both sides of the old split, as labels of old images say: new images of them "
            "are trained on too"
        )


def _notes_on_kinds(
    new: Sequence[Label], known: Sequence[Known], *, slides: bool, grouped: bool
) -> Iterator[str]:
    """Slides are compared with slides and patients with patients: of other pairs nothing can be told."""
    if not grouped or not any(row.split in PARTS for row in known):
        return
    counts = collections.Counter(label.origin for label in new if label.group and label.of_slide != slides)
    for origin, count in counts.items():
        old, mine = ("slides or fields", "patients") if slides else ("patients", "slides or fields")
        yield (
            f"{count:,} new images of {origin} name {mine}, and the old data name {old}: whether they are of "
            "patients of the old test part cannot be told, and scores would be too high if they are: give "
            f"both a column `{'slide' if slides else 'patient'}`"
        )


def _notes_on_what_is_not_known(
    new: Sequence[Label], known: Sequence[Known], protected: Mapping[str, str], *, grouped: bool
) -> Iterator[str]:
    test = [row for row in known if row.split == "test"]
    named = [row for row in test if row.group]
    if new and len(named) < len(test):
        some = f"{len(test) - len(named):,} of the {len(test):,} " if named else "the "
        yield (
            f"{some}old test images name no patients: whether new images are of the same patients cannot be "
            "told, and scores would be too high if they are"
        )
    if new and named and not any(row.group in protected for row in named):
        yield "the old split has patients on both sides: new images of its test patients are trained on too"
    if not grouped and any(label.group for label in new):
        yield "patients are known of some images only: they stand in the column known_group"
    mine = {label.group for label in new if label.group}
    for names in alike_names(mine | set(protected)):
        if len(mine & set(names)) and len(set(protected) & set(names)):
            yield f"patients {' and '.join(map(repr, names))} are called nearly the same: are they one?"


def second_test(
    new: Named, known: Sequence[Known], told: Told, wanted: str, *, seed: int
) -> tuple[set[Label], list[str]]:
    """The new images of a second test, and what to know of it.

    Images that name no patient, where the old data do, are of any: they are not set aside.

    Args:
      new: images that may be trained on.
      known: the old data, whose patients it has none of.
      told: what labels say of them (`told_of`): nor has it those.
      wanted: names of patients, separated by commas, or the share of patients to draw, 0..1; empty: no test.
      seed: of the drawing.

    Raises:
      UserError: patients that no new image is of, or that the old data have too; a share out of range, or
        of patients none of whom can be spared.
    """
    wanted = composed(wanted.strip())
    if not wanted:
        return set(), []
    there = {row.group for row in known if row.group} | set(told)
    named = [label for label in new.labels if label.group not in new.made_up]
    unnamed = len(named) < len(new.labels)
    groups = {label.group for label in named if label.group}
    share = _share(wanted, groups)
    if share is None:
        return _named_patients(named, wanted, groups, there), _cautions(named, unnamed=unnamed)
    rows = [label for label in named if label.group not in there]
    if not rows:
        raise UserError(f"--new_test={wanted}: no new image names a new patient: leave it out")
    by_group = all(label.group for label in rows)
    if by_group and len({label.group for label in rows}) < 2:
        raise UserError(
            f"--new_test={wanted}: the new images name one new patient alone ({rows[0].group}): leave it "
            "out, or name the patient to test on all of them"
        )
    drawn = _drawn(rows, share, by_group=by_group, seed=seed)
    if not drawn:
        what = "patient" if by_group else "image"
        of = " of a named patient" if unnamed else ""
        raise UserError(
            f"--new_test={wanted}: none is drawn, as without any one {what} a class would have no new "
            f"image{of} to train on: leave it out, or name the patients to test on"
        )
    return drawn, _cautions(rows, unnamed=unnamed) if by_group else [_BY_IMAGE]


def _cautions(named: Sequence[Label], *, unnamed: bool) -> list[str]:
    """What may put one patient on both sides of a second test by patients; `unnamed`: others name none."""
    unnamed = unnamed or not all(label.group for label in named)
    return [_SOME_UNNAMED] * unnamed + [_BY_SLIDE] * any(label.of_slide for label in named if label.group)


_SOME_UNNAMED = (
    "not every new image names a patient: those that do not are trained on, and if they are of patients of "
    "the second test, scores on it are better than on new patients"
)

_BY_SLIDE = (
    "new images name slides or fields, not patients (column `slide`): cells of one patient may be on both "
    "sides of the second test, and scores on it are then better than on new patients"
)

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
                "ones would not be on a new patient: name others, or, if it is another patient of the same "
                "name, give it another one in the file of labels"
            )
    return {label for label in new if label.group in names}


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:4]) + ", ..." * (len(names) > 4)
