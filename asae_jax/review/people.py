"""Who labelled what: the labels of every person, image by image, from the files of several."""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from asae_jax.errors import UserError
from asae_jax.review.labels import Label

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


def people_of(labels: Iterable[Label]) -> list[Person]:
    """The people who gave labels, in the order in which they come.

    The same name in two files is one person twice, told apart by the file: somebody may look at the same
    cells again.
    """
    rows: dict[tuple[str, str], list[Label]] = {}
    for label in labels:
        rows.setdefault((label.listed_in, label.reviewer), []).append(label)
    _join_unseen(rows)
    files = _told_apart({file for file, _ in rows})
    plain = [reviewer or files[file].with_suffix("").as_posix() for file, reviewer in rows]
    names = [
        f"{name if reviewer else 'no name'} ({files[file].as_posix()})" if plain.count(name) > 1 else name
        for name, (file, reviewer) in zip(plain, rows, strict=True)
    ]
    return [_person(name, given) for name, given in zip(names, rows.values(), strict=True)]


def _join_unseen(rows: dict[tuple[str, str], list[Label]]) -> None:
    """Rows without a name are not another person's where nobody looked at them, or where one name is given.

    A page asks for the name once, and whoever gives it late has labelled without one before.
    """
    for file in {file for file, _ in rows}:
        there = [key for key in rows if key[0] == file]
        nameless = rows.get((file, ""), [])
        if nameless and (len(there) == 2 or (len(there) > 2 and all(label.fault for label in nameless))):
            rows[next(key for key in there if key[1])] += rows.pop((file, ""))


def _told_apart(files: Collection[str]) -> dict[str, Path]:
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


def check_people(people: Sequence[Person]) -> None:
    """Raises a UserError where nothing can be compared."""
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
            "matched by what they hold, so let them label the same images (the same page)"
        )
    raise UserError(
        f"only {people[0].name} labelled images, and the file does not say what a network proposed "
        "(column predicted): name the file of a second person too (--reviewed=FILE,FILE)"
    )


def share_images(people: Sequence[Person]) -> bool:
    """Whether two of them labelled the same image."""
    return any(set(a.labels) & set(b.labels) for a in people for b in people if a is not b)
