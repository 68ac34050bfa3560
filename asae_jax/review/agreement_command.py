"""`agreement`: the labels of two or more people compared, and a network's with each person's."""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax.config import check
from asae_jax.errors import UserError, quoted
from asae_jax.evaluation.bootstrap import few_resamples, interval_unit
from asae_jax.files import canonical_path, disk_errors, together, user_path
from asae_jax.input.cell_classes import CellClass, cell_classes, display_order
from asae_jax.input.class_map import alike_names
from asae_jax.input.content import image_content
from asae_jax.input.csv_rows import files_of_labels
from asae_jax.input.decode import BadImage, read_image
from asae_jax.input.groups import NO_GROUP, one_by_one
from asae_jax.input.unicode_form import composed
from asae_jax.json_files import read_json, write_json
from asae_jax.pages import NOTICE
from asae_jax.review.agreement import Compared, Measure, Pair, Several, alpha, compare, numbered
from asae_jax.review.agreement_page import PAGE, in_words, often_different, used_classes, write_page
from asae_jax.review.labels import Label, group_name, read_labels
from asae_jax.review.output import LIST_DIGEST, MADE_FROM, digest, is_changed, table, write_or_remove
from asae_jax.review.people import LEFT_OUT, Person, check_people, people_of, share_images

RECORD = "agreement.json"
DISAGREEMENTS = "disagreements.csv"
_NETWORK = "the network"


def agreement(config: ConfigDict, workdir: Path) -> int:
    """Compares the labels of `agreement.reviewed`; writes numbers, disagreements and a page into a folder.

    Args:
      config: the sections `agreement` and `eval.bootstrap`.
      workdir: the folder to write to where `agreement.output` names none; made if missing.

    Returns:
      The exit status, 0.

    Raises:
      UserError: a setting that cannot work, files that cannot be read, nothing to compare, a class in two
        spellings, or a folder with something else in it.
    """
    check(config)
    given, resamples = config.agreement, config.eval.bootstrap
    folder = user_path(given.output) if given.output else workdir
    files = files_of_labels(given.reviewed, "--reviewed")
    made_from = [canonical_path(file) for file in files]
    _check_place(folder, made_from)
    labels = [_composed(label) for file in files for label in _some_labels(file)]
    people, said = people_of(labels)
    check_people(people, said)
    _refuse_spellings(people)
    classes = _classes(people, user_path(given.classes) if given.classes else None)
    names = [one.code for one in classes]
    compared = list(_compare_all(people, names, resamples))
    several = _alpha(people, names, resamples) if len(people) > 2 and share_images(people) else None
    rows = list(_disagreements(people))
    listed = _listed(rows, group_name(labels))
    record: dict[str, Any] = {
        MADE_FROM: made_from,
        LIST_DIGEST: digest(listed),
        "people": [_of_person(person) for person in people],
        "classes": names,
        "pairs": [_recorded(one) for one in compared],
        "krippendorff_alpha": None if several is None else _of_several(several),
        "disagreements": len(rows),
        "notes": said,
        "notice": NOTICE,
    }
    notes = [*said, *_notes(several, people, compared, resamples)]
    with disk_errors(f"write to {folder}", remedy="choose another --output=DIR"), together():
        write_json(folder / RECORD, record)  # first: the same command may then write over the rest
        write_or_remove(folder / DISAGREEMENTS, listed)
        name = quoted(folder / DISAGREEMENTS)
        write_page(folder / PAGE, people, classes, compared, several, rows, notes, listed=name)
    print("\n".join([*_summary(people, names, compared, several), "", *notes]))
    print(_written(folder, rows))
    return 0


def _check_place(folder: Path, made_from: Sequence[str]) -> None:
    there = [folder / name for name in (RECORD, DISAGREEMENTS, PAGE) if (folder / name).exists()]
    if not there:
        return
    try:
        recorded = read_json(folder / RECORD, remedy="")
        # Earlier versions recorded paths as they were spelled.
        is_own = [canonical_path(file) for file in recorded[MADE_FROM]] == made_from
    except (UserError, LookupError, TypeError, ValueError):
        is_own = False
    if not is_own:
        raise UserError(
            f"{there[0]} was made from other files and would be lost: choose another --output=DIR"
        )
    if is_changed(folder / DISAGREEMENTS, recorded):
        raise UserError(
            f"{folder / DISAGREEMENTS} has changed since it was made, and would be lost: choose another "
            "--output=DIR, or move it away"
        )


def _some_labels(file: Path) -> list[Label]:
    """The rows of a file; one without any would be a person who is passed over."""
    labels = read_labels(file, look=False)
    if not labels:
        raise UserError(
            f"{file} has no rows: label cells on the review page, save the CSV file, or leave it out"
        )
    return labels


def _composed(label: Label) -> Label:
    """The label under names whose accents are part of their letters: those from a Mac may have them apart."""
    names = {name: composed(text) for name, text in label.provenance.items() if name == "predicted"}
    provenance = {**label.provenance, **names}
    return dataclasses.replace(label, label=composed(label.label), provenance=provenance)


def _class_names(people: Sequence[Person]) -> set[str]:
    """The classes that anybody named, a network too; `LEFT_OUT` among them."""
    given = {person.given(c) for person in people for c in person.labels}
    return (given | {person.predicted(c) for person in people for c in person.labels}) - {""}


def _refuse_spellings(people: Sequence[Person]) -> None:
    """Raises a UserError where one class has two names, which would count as a disagreement each time."""
    for names in alike_names(sorted(_class_names(people) - {LEFT_OUT})):
        every = [label for person in people for label in person.labels.values()]
        first = {
            name: next(label for label in every if name in (label.label, label.provenance.get("predicted")))
            for name in names
        }
        places = ", ".join(
            f"{name!r} ({os.path.basename(label.listed_in)}, line {label.line})"
            for name, label in first.items()
        )
        raise UserError(
            f"{places} are one class to a reader, but would be compared as several: give them one name in "
            "the files"
        )


def _classes(people: Sequence[Person], table: Path | None) -> list[CellClass]:
    """The classes that anybody named, in the order to show."""
    named = _class_names(people)
    names = sorted(named - {LEFT_OUT})
    classes = cell_classes(names, table)
    shown = [classes[number] for number in display_order(classes)]
    return [*shown, CellClass(LEFT_OUT)] if LEFT_OUT in named else shown


def _compare_all(people: Sequence[Person], names: Sequence[str], resamples: int) -> Iterator[Compared]:
    for first, second in itertools.combinations(people, 2):
        both = [content for content in first.labels if content in second.labels]
        if both:
            given = [[person.given(content) for content in both] for person in (first, second)]
            groups = _groups([first, second], both)
            pair = _pair(given[0], given[1], names, groups, resamples)
            yield Compared(first.name, second.name, pair, _unit(groups, resamples))
    for person in people:
        proposed = [content for content in person.labels if person.predicted(content)]
        if proposed:
            labels = [person.given(content) for content in proposed]
            network = [person.predicted(content) for content in proposed]
            groups = _groups([person], proposed)
            pair = _pair(labels, network, names, groups, resamples)
            yield Compared(person.name, _NETWORK, pair, _unit(groups, resamples))


def _pair(
    first: Sequence[str],
    second: Sequence[str],
    names: Sequence[str],
    groups: np.ndarray | None,
    resamples: int,
) -> Pair:
    numbers = numbered(first, names), numbered(second, names)
    return compare(*numbers, len(names), groups=groups, resamples=resamples)


def _labelled(people: Sequence[Person]) -> list[str]:
    """Images that anybody labelled, in order."""
    return list(dict.fromkeys(content for person in people for content in person.labels))


def _groups(people: Sequence[Person], contents: Sequence[str]) -> np.ndarray | None:
    """Patient or slide of each image, see `groups.one_by_one`; None where none is known."""
    groups = [
        next((p.labels[c].group for p in people if c in p.labels and p.labels[c].group), "") for c in contents
    ]
    return one_by_one(np.array(groups), np.array(contents))


def _alpha(people: Sequence[Person], names: Sequence[str], resamples: int) -> Several:
    """Of the images that two or more labelled: what one alone labelled is of no patient that counts."""
    contents = [c for c in _labelled(people) if sum(c in person.labels for person in people) > 1]
    votes = np.stack([numbered([person.given(c) for c in contents], names) for person in people], 1)
    groups = _groups(people, contents)
    measured = alpha(votes, len(names), groups=groups, resamples=resamples)
    return Several(len(contents), measured, interval_unit(groups, resamples))


def _unit(groups: np.ndarray | None, resamples: int) -> str:
    """What the intervals of two people are over; without resamples Wilson's alone is left, of the share."""
    if groups is None and not resamples:
        return "images, of the share alone (eval.bootstrap=0)"
    return interval_unit(groups, resamples)


def _disagreements(people: Sequence[Person]) -> Iterator[dict[str, str]]:
    """A row for each image that two people labelled otherwise.

    Where no image was labelled by two it is one for each that a person labelled otherwise than the network.
    """
    alone = not share_images(people)
    for content in _labelled(people):
        given = {person.name: person.given(content) for person in people}
        said = {label for label in given.values() if label}
        proposed = next((p.predicted(content) for p in people if p.predicted(content)), "")
        if len(said) > 1 or (alone and proposed and said != {proposed}):
            labels = [person.labels[content] for person in people if content in person.labels]
            group = next((label.group for label in labels if label.group), "")
            yield {"path": _file(labels), "group": group, "content": content, "proposed": proposed} | {
                f"by {name}": value for name, value in given.items()
            }


def _file(labels: Sequence[Label]) -> str:
    """The first file that holds the image: some paths may be those of another computer.

    Else the first that exists, else the first.
    """
    there = [label for label in labels if os.path.exists(label.file)]
    return next((label.file for label in there if _holds(label)), (there or labels)[0].file)


def _holds(label: Label) -> bool:
    try:
        return image_content(read_image(label.file)) == label.content
    except BadImage:
        return False


def _listed(rows: Sequence[Mapping[str, str]], group: str) -> str:
    """The rows as CSV, the column of their groups called `group`; empty where there are none."""
    if any(row["group"] for row in rows):  # a list with a column for groups needs one in every row
        rows = [{**row, "group": row["group"] or NO_GROUP} for row in rows]
    return table(rows, group)


def _of_person(person: Person) -> dict[str, Any]:
    return {"name": person.name, "images": len(person.labels), "unused": dict(person.unused)}


def _recorded(one: Compared) -> dict[str, Any]:
    pair = one.pair
    return {
        "first": one.first,
        "second": one.second,
        "images": pair.images,
        "same": pair.same,
        "intervals_over": one.over,
        "agreement": _numbers(pair.agreement),
        "cohen_kappa": _numbers(pair.kappa),
        "table": pair.table.tolist(),
    }


def _of_several(several: Several) -> dict[str, Any]:
    return {"images": several.images, "intervals_over": several.over, **_numbers(several.alpha)}


def _numbers(measure: Measure) -> dict[str, float | None]:
    return {"value": measure.value, "low": measure.low, "high": measure.high}


def _summary(
    people: Sequence[Person],
    names: Sequence[str],
    compared: Sequence[Compared],
    several: Several | None,
) -> Iterator[str]:
    for person in people:
        unused = "".join(f"; not used: {count:,}, {reason}" for reason, count in person.unused.items())
        yield f"{person.name}: {len(person.labels):,} images labelled{unused}"
    for one in compared:
        yield ""
        yield from _described(one, names)
    if several is not None:
        yield ""
        yield (
            f"all {len(people)}: Krippendorff's alpha {several.alpha.said()} over {several.images:,} images "
            "that two or more labelled"
        )


def _notes(
    several: Several | None, people: Sequence[Person], compared: Sequence[Compared], resamples: int
) -> Iterator[str]:
    """What a reader of the numbers must know."""
    of_alpha = ""
    if several is not None:
        over = in_words(several.over)
        none = over.removeprefix("none: ")
        of_alpha = f" Alpha has none: {none}." if none != over else f" Of alpha they are over {over}."
    yield (
        f"In brackets 95 % intervals.{of_alpha} Kappa and alpha are 0 where people agree as often as their "
        "shares of classes would by chance, and 1 where they always agree."
    )
    units = [one.over for one in compared] + ([] if several is None else [several.over])
    if (few := few_resamples(resamples)) and not all(unit.startswith("none") for unit in units):
        yield f"{few.capitalize()}."
    if len(people) > 1 and not share_images(people):
        names = ", ".join(person.name for person in people)
        yield f"No image was labelled by two of {names}: each is compared with the network alone."
    if any(one.second == _NETWORK for one in compared):
        yield (
            "Whoever labels on the page sees what the network proposes: agreement with it is higher than of "
            "a person who does not."
        )


def _described(one: Compared, names: Sequence[str]) -> Iterator[str]:
    pair = one.pair
    yield (
        f"{one.first} and {one.second}: the same label for {pair.same:,} of {pair.images:,} images, "
        f"{pair.agreement.said(percent=True)}; Cohen's kappa {pair.kappa.said()}; intervals over: "
        f"{in_words(one.over)}"
    )
    if most := often_different(pair, names):
        yield f"  most often different: {most}"
        yield f"  rows: {one.first}, columns: {one.second}"
        yield from _table(pair.table, names)


def _table(table: np.ndarray, names: Sequence[str]) -> Iterator[str]:
    """Rows and columns of the classes that occur."""
    used = used_classes(table)
    width = max(len(f"{table.max():,}"), *(len(names[number]) for number in used))
    yield "  " + " ".join([" " * width, *(f"{names[number]:>{width}}" for number in used)])
    for row in used:
        cells = [f"{table[row, column]:,}" if table[row, column] else "." for column in used]
        yield "  " + " ".join([f"{names[row]:<{width}}", *(f"{cell:>{width}}" for cell in cells)])


def _written(folder: Path, rows: Sequence[Any]) -> str:
    where = f"written to {folder / PAGE} (to be read in a browser) and {RECORD}"
    if not rows:
        return f"{where}. {NOTICE}"
    path = folder / DISAGREEMENTS
    return (
        f"{where}; {path}: {len(rows):,} image{'s' * (len(rows) > 1)} to look at together "
        f"(asae predict --workdir=RUN --input={quoted(path)} makes a page of them). {NOTICE}"
    )
