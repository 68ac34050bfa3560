"""Who labelled what: the labels of every person, image by image, from the files of several."""

import collections
import dataclasses
import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from asae_jax.errors import UserError
from asae_jax.review.labels import Label, usable

LEFT_OUT = "(left out)"
"""What stands for a class where a person left the image out."""


@dataclasses.dataclass(frozen=True)
class Person:
    """One person's labels.

    Attributes:
      name: by the column `reviewer`, else the name of the file, with its folder where two are called alike.
      labels: content of the image -> what was said of it; one label for an image.
      unused: reason -> number of rows that say nothing.
    """

    name: str
    labels: Mapping[str, Label]
    unused: Mapping[str, int]

    def given(self, content: str) -> str:
        """The class that was given to an image, or `LEFT_OUT`; empty where none was."""
        label = self.labels.get(content)
        return "" if label is None else label.label or LEFT_OUT

    def predicted(self, content: str) -> str:
        """What the network had proposed for an image that was labelled; empty where it is not known."""
        label = self.labels.get(content)
        return "" if label is None else label.provenance.get("predicted", "")


def people_of(labels: Iterable[Label]) -> tuple[list[Person], list[str]]:
    """The people who gave labels, in the order in which they come, and what a reader must know of them.

    The same name in two files is one person twice, told apart by the file: somebody may look at the same
    cells again. One decision that is in two files is no second opinion (`_take_out_repeats`). Rows without a
    name are another person's than those with one: a page leaves unsigned what somebody else may have said.

    Args:
      labels: the rows of all files.

    Returns:
      The people, and sentences: which decisions count once, and which rows lack a name beside others.
    """
    rows: _Rows = {}
    for label in labels:
        rows.setdefault((label.listed_in, label.reviewer), []).append(label)
    files = told_apart({file for file, _ in rows})
    every = _named(rows, files)
    repeats = _take_out_repeats(rows)
    _join_unseen(rows, {file for (file, _), _ in repeats})
    names = every | _named(rows, files)  # what is taken out needs no telling apart
    people = [_person(names[key], given) for key, given in rows.items()]
    return people, [*_said_of_repeats(repeats, names, files), *_said_of_nameless(rows, names, files)]


_Key = tuple[str, str]  # file, reviewer
_Rows = dict[_Key, list[Label]]


def _named(rows: _Rows, files: Mapping[str, Path]) -> dict[_Key, str]:
    plain = {(file, reviewer): reviewer or files[file].with_suffix("").as_posix() for file, reviewer in rows}
    folded = collections.Counter(name.casefold() for name in plain.values())
    return {
        key: f"{name if key[1] else 'no name'} ({files[key[0]].as_posix()})"
        if folded[name.casefold()] > 1
        else name
        for key, name in plain.items()
    }


def _take_out_repeats(rows: _Rows) -> collections.Counter[tuple[_Key, _Key]]:
    """Takes out decisions that another file has too: same image, label and second, whoever signed them.

    A page writes every label that it keeps. Whoever goes on in the browser of somebody else saves that
    person's labels with their own, and signs those without a name. A decision stays in the file that ends
    first: it was saved before the other, in whatever order they are named. People of whom nothing is left
    are none.

    Where an image has another label at the very same time, a copy was edited elsewhere, and its times are
    not those of its labels: all of its rows stay.

    Returns:
      (whose rows were taken out, who keeps the decisions) -> number of rows.
    """
    met: dict[tuple[str, datetime.datetime | None], tuple[Label, _Key]] = {}
    repeats: collections.Counter[tuple[_Key, _Key]] = collections.Counter()
    for key in sorted(rows, key=lambda key: _end(rows, key[0])):
        timed = [label for label in usable(rows[key]) if label.moment]
        again = [(label, *met[when]) for label in timed if (when := (label.content, label.moment)) in met]
        if any(label.label != earlier.label for label, earlier, _ in again):
            again = []
        repeats.update((key, keeper) for _, _, keeper in again)
        taken = {id(label) for label, _, _ in again}
        rows[key] = [label for label in rows[key] if id(label) not in taken]
        for label in timed:
            met.setdefault((label.content, label.moment), (label, key))
    for key in {key for key, _ in repeats}:
        if not rows[key] or (key[1] and not usable(rows[key])):
            del rows[key]
    return repeats


def _end(rows: _Rows, file: str) -> float:
    """When the last label of a file was given, in seconds; 0 where it does not say."""
    times = [label.time for key, given in rows.items() if key[0] == file for label in given if label.time]
    return max(times).timestamp() if times else 0.0


def _join_unseen(rows: _Rows, repeating: Collection[str]) -> None:
    """Rows that nobody looked at are no other person's, and nobody's where all else repeats another file."""
    for file in {file for file, _ in rows}:
        nameless = rows.get((file, ""), [])
        signed = next((key for key in rows if key[0] == file and key[1]), None)
        if not nameless or usable(nameless) or not (signed or file in repeating):
            continue
        if signed:
            rows[signed] += nameless
        del rows[file, ""]


def _said_of_repeats(
    repeats: Mapping[tuple[_Key, _Key], int], names: Mapping[_Key, str], files: Mapping[str, Path]
) -> Iterator[str]:
    for ((file, _), keeper), count in repeats.items():
        yield (
            f"Labels of {files[file].as_posix()} that {files[keeper[0]].as_posix()} has too, given to the "
            f"same image at the same time, are one decision and count once, for {names[keeper]}: {count:,}."
        )


def _said_of_nameless(rows: _Rows, names: Mapping[_Key, str], files: Mapping[str, Path]) -> Iterator[str]:
    for (file, reviewer), given in rows.items():
        others = [names[key] for key in rows if key[0] == file and key[1]]
        if not reviewer and others and usable(given):
            yield (
                f"Labels of {files[file].as_posix()} that name no reviewer count as another person's, not "
                f"for {' or '.join(others)}: {len(usable(given)):,}. The page can sign them (Sign as ...)."
            )


def told_apart(files: Collection[str]) -> dict[str, Path]:
    """The shortest end of each path that no other has, such as ann/labels.csv."""
    paths = {file: Path(file) for file in files}
    return {
        file: next(
            end
            for parts in range(1, len(path.parts) + 1)
            if (end := Path(*path.parts[-parts:]))
            and sum(other.parts[-parts:] == end.parts for other in paths.values()) == 1
        )
        for file, path in paths.items()
    }


def _person(name: str, given: Sequence[Label]) -> Person:
    unused = collections.Counter(label.fault for label in given if label.fault)
    by_image: dict[str, list[Label]] = {}
    for label in given:
        if not label.fault:
            by_image.setdefault(label.content, []).append(label)
    for content, same in list(by_image.items()):
        if len({label.label for label in same}) > 1:
            unused["labelled in contradicting ways, under several names"] += len(by_image.pop(content))
    return Person(name, {content: same[0] for content, same in by_image.items()}, unused)


def check_people(people: Sequence[Person], notes: Sequence[str] = ()) -> None:
    """Raises a UserError where nothing can be compared; `notes` are those of `people_of`."""
    for person in people:
        if not person.labels:
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in person.unused.items()) or "no rows"
            raise UserError(f"{person.name} labelled no image that can be compared ({reasons})")
    if share_images(people) or any(
        person.predicted(content) for person in people for content in person.labels
    ):
        return
    if len(people) > 1:
        raise UserError(
            f"no image was labelled by two of {', '.join(person.name for person in people)}: images are "
            f"matched by what they hold, so let them label the same images (the same page){_added(notes)}"
        )
    raise UserError(
        f"only {people[0].name} labelled images, and the file does not say what a network proposed "
        f"(column predicted): name the file of a second person too (--reviewed=FILE,FILE){_added(notes)}"
    )


def _added(notes: Sequence[str]) -> str:
    return f". {' '.join(notes)}" if notes else ""


def share_images(people: Sequence[Person]) -> bool:
    """Whether two of them labelled the same image."""
    return any(set(a.labels) & set(b.labels) for a in people for b in people if a is not b)
