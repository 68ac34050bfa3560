"""Joins what people labelled with the images of a run, by rules that are stated and counted.

The test and validation images stay as they are, in their order and under their labels: else the new run could
not be compared with the old one. An image that is one of them, by what it holds, never enters training, and
neither does another image of their patients where the split kept these apart. Everything else is trained on.
"""

import collections
import dataclasses
import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from asae_jax.errors import UserError, did_you_mean
from asae_jax.files import in_real_folder
from asae_jax.input.class_map import alike_names
from asae_jax.input.manifest import ASIDE, LEFT_OUT
from asae_jax.input.unicode_form import composed
from asae_jax.review import patients
from asae_jax.review.labels import Label, read_time
from asae_jax.review.run_images import PARTS, Known


@dataclasses.dataclass(frozen=True)
class Rules:
    """What counts where labels, classes or patients meet: the fields of the section `merge`.

    Attributes:
      prefer: "newest", "old" or "drop": which of contradicting labels counts.
      new_classes: "refuse", "add" or "drop": what to do with classes that the run does not know.
      shared_groups: "drop" or "rename": images of patients that the old test or validation part names.
      new_test: names of patients, or a share, of a second test; empty for none.
      seed: of the drawing of a share.
    """

    prefer: str = "newest"
    new_classes: str = "refuse"
    shared_groups: str = "drop"
    new_test: str = ""
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Change:
    """A label that was given and that another one contradicts.

    Attributes:
      given: the label.
      other: the class that contradicts it.
      used: the class that counts now; empty where the image was taken out.
      why: the rule, in a few words.
    """

    given: Label
    other: str
    used: str
    why: str


@dataclasses.dataclass
class Joined:
    """The data of the next run, and what became of every label.

    Attributes:
      rows: the old images in their order, then the new ones in the order of the files; those of split `ASIDE`
        are the second test.
      added: new images that are trained on.
      aside: new images of the second test.
      confirmed: labels of training images that say what was known.
      changed: labels of training images that replaced the old one.
      left_out: every other label, with the reason.
      contradictions: labels against labels, whichever counts.
      removed: training images taken out because their labels contradict each other.
      notes: what to know, in a sentence each.
    """

    rows: list[Known] = dataclasses.field(default_factory=list)
    added: list[Label] = dataclasses.field(default_factory=list)
    aside: list[Label] = dataclasses.field(default_factory=list)
    confirmed: list[Label] = dataclasses.field(default_factory=list)
    changed: list[Label] = dataclasses.field(default_factory=list)
    left_out: list[tuple[Label, str]] = dataclasses.field(default_factory=list)
    contradictions: list[Change] = dataclasses.field(default_factory=list)
    removed: list[Known] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def join(
    known: Sequence[Known],
    labels: Sequence[Label],
    class_names: Sequence[str],
    rules: Rules,
    *,
    grouped: bool,
    slides: bool = False,
) -> Joined:
    """The data of a run with the labels that people gave since.

    Every label is in exactly one of `added`, `aside`, `confirmed`, `changed` and `left_out` of the result.

    Args:
      known: the run's images.
      labels: in the order of their files and lines.
      class_names: of the run.
      rules: what counts where they meet.
      grouped: whether the run's data name patients or slides, if not of every image in `known`.
      slides: whether these are slides or fields.

    Raises:
      UserError: classes that the run does not know (unless `new_classes` says what to do), or patients for
        the second test that there are none of.
    """
    joined, rename = Joined(), rules.shared_groups == "rename"
    told = patients.told_of(known, labels)
    labels, disputed = _with_patients(labels, patients.of_other_parts(known, told, rename=rename))
    rows = patients.with_told(known, labels)
    chosen, torn = _one_for_each_image(_in_the_runs_words(labels, class_names, rules), rules, joined)
    outvoted, joined.contradictions = joined.contradictions, []
    _check_classes(chosen, known, class_names, rules)
    places = _places(rows)
    for same in torn:
        _drop(same, places.get(same[0].content, []), rows, joined)
    new = list(_compared_with_old(chosen, places, rows, rules, joined))
    new = list(_under_new_names(new, rows, joined))
    taken = patients.named(new, known, told, rename=rename, grouped=grouped, slides=slides)
    new, joined.notes = taken.labels, taken.notes
    joined.left_out += taken.left_out
    aside, said = patients.second_test(taken, known, told, rules.new_test, seed=rules.seed)
    joined.notes += said + disputed
    joined.rows = [row for row in rows if row.label]
    for label in new:
        where = joined.aside if label in aside else joined.added
        where.append(label)
        joined.rows.append(_row(label, ASIDE if where is joined.aside else "train", grouped=grouped))
    joined.contradictions[:0] = _as_it_became(outvoted, chosen, rows, joined)
    joined.notes += _notes_on_classes(joined, class_names)
    return joined


def _in_the_runs_words(labels: Iterable[Label], class_names: Sequence[str], rules: Rules) -> Iterator[Label]:
    """The labels with the run's name of their class where that is written in another Unicode form.

    Where new classes are dropped, labels of such say so: an image of one is no image of the run's classes.

    Raises:
      UserError: one would be dropped that is a class of the run in another spelling.
    """
    forms = {composed(name): name for name in class_names}
    for label in labels:
        if label.label in ("", *class_names) or label.fault or label.dropped:
            yield label
        elif (name := composed(label.label)) in forms:
            yield dataclasses.replace(label, label=forms[name])
        elif rules.new_classes == "drop":
            for known in class_names:
                if alike_names([known, label.label]):
                    raise _one_to_a_reader(label, [known, label.label])
            yield dataclasses.replace(label, dropped=f"class {label.label} is not one of the run's")
        else:
            yield label


def _with_patients(labels: Sequence[Label], apart: Collection[str]) -> tuple[list[Label], list[str]]:
    """The labels with the patient that any label of their image names; and notes.

    People settle a label in a list that may know less of the image than the lists that it settles.

    Args:
      labels: of all lists.
      apart: patients who are kept apart: where any label of an image names one, all labels of it do.
    """
    named: dict[str, dict[str, bool]] = {}
    for label in labels:
        if label.group and label.content:
            named.setdefault(label.content, {}).setdefault(label.group, label.of_slide)
    found, disputed = [], []
    for groups in named.values():
        # A patient says more than a slide: the two are no contradiction.
        kinds = [[group for group in groups if groups[group] == of_slide] for of_slide in (False, True)]
        disputed += [" and ".join(kind) for kind in kinds if len(kind) > 1]
    for label in labels:
        groups = named.get(label.content, {})
        kept_apart = next((group for group in groups if group in apart), "")
        own = "" if label.of_slide and not all(groups.values()) else label.group
        widest = next(iter(sorted(groups, key=lambda group: groups[group])), label.group)
        group = kept_apart or own or widest
        if group != label.group:
            label = dataclasses.replace(label, group=group, of_slide=groups[group])
        found.append(label)
    if not disputed:
        return found, []
    count = "1 image has" if len(disputed) == 1 else f"{len(disputed):,} images have"
    return found, [
        f"{count} labels that name different patients ({', '.join(disputed[:3])}). The patient of the label "
        "that counts is taken; one who is in the old test or validation part comes first"
    ]


def _one_for_each_image(
    labels: Iterable[Label], rules: Rules, joined: Joined
) -> tuple[list[Label], list[list[Label]]]:
    """The label that counts of each image that people labelled, and the images of which none counts.

    The latter are the labels that contradict each other, image by image, where the rule is to drop these.
    """
    by_image: dict[str, list[Label]] = {}
    for label in labels:
        if label.fault:
            joined.left_out.append((label, label.fault))
        else:
            by_image.setdefault(label.content, []).append(label)
    chosen, torn = [], []
    for same in by_image.values():
        if rules.prefer == "drop" and len({label.verdict for label in same}) > 1:
            torn.append(same)
            continue
        counts = _order(same, rules)[-1]
        chosen.append(counts)
        for label in same:
            if label is not counts:
                _outvote(label, counts, rules, joined)
    return chosen, torn


def _outvote(label: Label, counts: Label, rules: Rules, joined: Joined) -> None:
    if label.verdict == counts.verdict:
        joined.left_out.append((label, "the same image and label are listed again"))
        return
    which = _which(label, counts, rules)
    joined.contradictions.append(Change(label, counts.label, counts.verdict, f"the {which} label counts"))
    joined.left_out.append((label, f"{OUTVOTED}, the {which}"))


OUTVOTED = "another label of the image counts"
"""How the reason of a label begins that was left out for another one that people gave."""


def _which(label: Label, counts: Label, rules: Rules) -> str:
    """What the label that counts is beside another one of its image."""
    if rules.prefer == "old":
        return "first"
    timed = label.time is not None and counts.time is not None
    return "newest" if timed and counts.time > label.time else "last listed"  # type: ignore[operator]


def _order(same: Sequence[Label], rules: Rules) -> list[Label]:
    """Labels of one image, the one that counts last.

    Labels without a time stay where they are listed; those with one take the other places in its order.
    """
    timed = iter(sorted((one for one in same if one.time is not None), key=lambda one: one.time))  # type: ignore[arg-type, return-value]
    ordered = [label if label.time is None else next(timed) for label in same]
    return ordered[::-1] if rules.prefer == "old" else ordered


def _check_classes(
    labels: Iterable[Label], known: Iterable[Known], class_names: Sequence[str], rules: Rules
) -> None:
    kept = {row.content for row in known if row.split != "train"}
    known_names = {"", *class_names}
    unknown = [one for one in labels if one.verdict not in known_names and one.content not in kept]
    counts = collections.Counter(label.label for label in unknown)
    for names in alike_names([*counts, *class_names]):
        first = next((label for label in unknown if label.label in names), None)
        if first is not None and rules.new_classes == "add":
            raise _one_to_a_reader(first, names)
    if unknown and rules.new_classes == "refuse":
        listed = ", ".join(f"{name} ({count:,})" for name, count in counts.most_common())
        raise UserError(
            f"{_place(unknown[0])}: class {unknown[0].label!r} is not one of the run's."
            f"{did_you_mean(unknown[0].label, class_names)} Not known: {listed}; the run has "
            f"{', '.join(class_names)}: correct them, map them by a CSV file from,to (--class_map=FILE), or "
            "take them as "
            "new classes (--new_classes=add) or leave them out (--new_classes=drop)"
        )


def _one_to_a_reader(label: Label, names: Iterable[str]) -> UserError:
    return UserError(
        f"{_place(label)}: classes {' and '.join(map(repr, names))} are one to a reader: give them one name, "
        "or map one to the other by a CSV file from,to (--class_map=FILE)"
    )


def _place(label: Label) -> str:
    return f"{label.origin}, line {label.line}"


def _places(rows: Iterable[Known]) -> dict[str, list[int]]:
    """What images hold -> where they stand in `rows`."""
    places: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if row.content:
            places.setdefault(row.content, []).append(number)
    return places


def _protected(old: Iterable[int], rows: Sequence[Known]) -> Known | None:
    """The first row of the part that keeps an image as it is; None where all are of the training part."""
    there = [rows[number] for number in old]
    return next((row for part in PARTS for row in there if row.split == part), None)


def _drop(same: Sequence[Label], old: Sequence[int], rows: list[Known], joined: Joined) -> None:
    """Takes out an image whose labels contradict each other; one of another part than training stays."""
    stays = _protected(old, rows)
    named = " and ".join(dict.fromkeys(label.label or "left out" for label in same))
    used, why = (stays.label, _stays(PARTS[stays.split])) if stays else ("", "drop")
    for label in same:
        other = next(other.label for other in same if other.verdict != label.verdict)
        joined.contradictions.append(Change(label, other, used, why))
        joined.left_out.append((label, PARTS[stays.split] if stays else f"labelled {named}"))
    if not stays:
        _take_out(old, rows, joined)


def _take_out(old: Iterable[int], rows: list[Known], joined: Joined) -> None:
    for number in old:
        joined.removed.append(rows[number])
        rows[number] = dataclasses.replace(rows[number], label="")


def _compared_with_old(
    chosen: Iterable[Label],
    places: Mapping[str, Sequence[int]],
    rows: list[Known],
    rules: Rules,
    joined: Joined,
) -> Iterator[Label]:
    """The labels of images that the run has not; those of its training images act on `rows`."""
    for label in chosen:
        old = places.get(label.content, [])
        if stays := _protected(old, rows):
            _keep(label, stays, joined)
        elif not label.verdict and not old:
            joined.left_out.append((label, _said_no(label)))
        elif old:
            _act_on_old(label, old, rows, rules, joined)
        else:
            yield label


def _under_new_names(new: Iterable[Label], rows: Iterable[Known], joined: Joined) -> Iterator[Label]:
    """Those of files that no row lists: a file that holds another picture now would be listed twice."""
    listed = {in_real_folder(row.file) for row in rows if row.label}
    for label in new:
        if in_real_folder(label.file) in listed:
            joined.left_out.append((label, "the old run's list has another picture under its name"))
        else:
            yield label


def _said_no(label: Label) -> str:
    return label.dropped or f"{LEFT_OUT}: {label.provenance.get('reason', 'no reason given')}"


def _keep(label: Label, row: Known, joined: Joined) -> None:
    joined.left_out.append((label, PARTS[row.split]))
    if label.label != row.label:
        joined.contradictions.append(Change(label, row.label, row.label, _stays(PARTS[row.split])))


def _stays(part: str) -> str:
    return f"{part}, which stays as it was"


def _act_on_old(label: Label, old: Sequence[int], rows: list[Known], rules: Rules, joined: Joined) -> None:
    """What a label does to training images of the run that hold what it is of."""
    differing = [rows[number] for number in old if rows[number].label != label.verdict]
    row = (differing or [rows[old[0]]])[0]
    why = _why_old_counts(row, label, rules)
    if not differing:
        joined.confirmed.append(label)
    elif not why and (rules.prefer == "drop" or not label.verdict):
        said = _said_no(label) if not label.verdict else "drop"
        joined.contradictions.append(Change(label, row.label, "", said))
        joined.left_out.append((label, "contradicts the old label, and the old image was taken out"))
        _take_out(old, rows, joined)
        return
    elif why:
        joined.contradictions.append(Change(label, row.label, row.label, why))
        joined.left_out.append((label, f"contradicts the old label: {why}"))
        return
    else:
        joined.contradictions.append(Change(label, row.label, label.label, "the newest label counts"))
        joined.changed.append(label)
    for number in old:
        rows[number] = _relabelled(rows[number], label)


def _relabelled(row: Known, label: Label) -> Known:
    """A training image under a label that counts; where it had the label before, the later word stays."""
    if row.label == label.label and not _says_more(label, row):
        return row
    patient = {name: row.provenance[name] for name in ("known_group",) if name in row.provenance}
    provenance = {**patient, **label.provenance, "origin": label.origin}
    return dataclasses.replace(row, label=label.label, provenance=provenance)


def _says_more(label: Label, row: Known) -> bool:
    """Whether the confirmation is later than the label.

    If neither has a time, whether only the confirmation names a reviewer.
    """
    then = _reviewed(row)
    if label.time is None:
        return then is None and bool(label.reviewer) and "reviewer" not in row.provenance
    return then is None or label.time > then


def _why_old_counts(row: Known, label: Label, rules: Rules) -> str:
    """Why the label of a training image of the run stays; empty where another one counts."""
    if rules.prefer == "old":
        return "the old label counts"
    then = _reviewed(row)
    newer = label.time is not None and then is not None and label.time < then
    return "the old label is newer" if newer and rules.prefer == "newest" else ""


def _reviewed(row: Known) -> datetime.datetime | None:
    """When a person labelled the image; None where that is not known."""
    try:
        return read_time(row.provenance["reviewed"])
    except (KeyError, ValueError):
        return None


def _as_it_became(
    outvoted: Iterable[Change], chosen: Collection[Label], rows: Iterable[Known], joined: Joined
) -> Iterator[Change]:
    """Contradictions among the given labels, with the class that counts now.

    The label that counts among them may itself be left out, as of a test image; then that is the reason.
    """
    used = {row.content: row.label for row in rows if row.split == "train"}
    used |= {row.content: row.label for row in rows if row.split != "train"}
    used |= {label.content: label.label for label in (*joined.added, *joined.aside)}
    counts = set(chosen)
    reasons = {label.content: reason for label, reason in joined.left_out if label in counts}
    for change in outvoted:
        now = used.get(change.given.content, "")
        if now != change.used:
            would = change.why.replace(" counts", " would count, but was left out: ")
            why = would + reasons[change.given.content]
            change = dataclasses.replace(change, used=now, why=why)
        yield change


def _notes_on_classes(joined: Joined, class_names: Sequence[str]) -> Iterator[str]:
    trained = {row.label for row in joined.rows if row.split == "train"}
    if new := sorted(trained - set(class_names)):
        yield f"new classes: {', '.join(new)}; the old test set has none, so its scores say nothing of them"
    if lost := [name for name in class_names if name not in trained]:
        yield f"no training image is left of {', '.join(lost)}: training will refuse the list"


def _row(label: Label, split: str, *, grouped: bool) -> Known:
    provenance = {**label.provenance, "origin": label.origin}
    if label.group and not grouped:
        provenance["known_group"] = label.group
    return Known(label.file, label.label, label.group, split, label.content, provenance)
