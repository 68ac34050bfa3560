"""Merging, renaming and dropping classes, as the paper merges 27 into 14."""

import dataclasses
import os
import re
import unicodedata
import warnings
from collections.abc import Iterable, Mapping

import numpy as np

from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.input.csv_rows import fault, read_rows
from asae_jax.input.groups import known_groups
from asae_jax.input.index import NO_VALUE, DataIndex, name_fault
from asae_jax.input.unicode_form import composed


def read_class_map(path: str | os.PathLike) -> dict[str, str]:
    """Reads a CSV file `from,to`: class -> new class, or "" for a class that is dropped; see `mapped_to`.

    Raises:
      UserError: naming file and line: not such a file (see `csv_rows.read_rows`), an empty `from`, a class
        that is mapped twice, or a `to` that is no name (see `name_fault`).
    """
    file = user_path(path)
    _, rows = read_rows(file, required=("from", "to"))
    mapping: dict[str, str] = {}
    for line, row in rows:
        if not row["from"]:
            raise fault(file, line, "empty from", "name a class of the data")
        if (name := composed(row["from"])) in mapping:
            raise fault(file, line, f"class {row['from']} is mapped twice", "keep one of the lines")
        if found := name_fault("to", row["to"]):
            raise fault(file, line, found[0], "name the new class, or leave it empty to drop the old one")
        mapping[name] = row["to"]
    return mapping


def mapped_to(name: str, mapping: Mapping[str, str]) -> str | None:
    """What a class map makes of a class: another, "" where it is dropped, None where it does not name it.

    The Unicode form does not matter: names of folders from a Mac have accents apart from their letters.
    """
    return mapping.get(name, mapping.get(composed(name)))


def map_classes(index: DataIndex, mapping: Mapping[str, str]) -> DataIndex:
    """`index` with its classes merged, renamed and dropped.

    A class that is not in `mapping` keeps its name. A new class takes the place of the first class merged
    into it. Examples of dropped classes are listed in `DataIndex.skipped`.

    A map may name classes that the data lack, as a laboratory's map does when the data hold only some of
    its classes. But if it also leaves out a class of the data, one of the two may be misspelt, and the map
    is refused.

    Raises:
      UserError: such a misspelling, or all classes are dropped.
    """
    there = {*index.class_names, *map(composed, index.class_names)}
    unknown = [name for name in mapping if name not in there]
    unmapped = [name for name in index.class_names if mapped_to(name, mapping) is None]
    if unknown and unmapped:
        raise UserError(
            f"the class map names classes that the data do not have ({', '.join(unknown)}), and leaves out "
            f"some that they have ({', '.join(unmapped)}): correct the former, or map the latter too"
        )
    found = [(name, mapped_to(name, mapping)) for name in index.class_names]
    targets = [name if target is None else target for name, target in found]
    class_names = tuple(dict.fromkeys(target for target in targets if target))
    if not class_names:
        raise UserError("the class map drops every class: keep some")
    numbers = np.array([class_names.index(target) if target else -1 for target in targets], np.int32)
    return relabel(index, class_names, numbers, "class {} is dropped by the class map")


def check_trainable_classes(index: DataIndex) -> None:
    """Refuses classes that nothing can be learned from, or that are one class in two spellings.

    Groups that look like one in two spellings are warned of: images of one patient would be on both sides
    of the split.

    Raises:
      UserError: a single class, classes of nearly the same name (see `alike_names`), or one that is what
        programs write for a value that is missing.
    """
    if index.num_classes < 2:
        raise UserError(
            f"the {index.source} data have one class only, {', '.join(index.class_names)}: give the folder "
            "or file that holds all classes, two at least"
        )
    if missing := next((name for name in index.class_names if name.lower() in NO_VALUE), ""):
        raise UserError(
            f"a class of the {index.source} data is called {missing}, which programs write for a value that "
            "is missing: give these images their class, or leave them out by a CSV file from,to with "
            f"{missing} and nothing behind its comma (--config.data.class_map=FILE)"
        )
    if alike := alike_names(index.class_names):
        pairs = "; ".join(" and ".join(map(repr, names)) for names in alike)
        raise UserError(
            f"classes that differ in {UNLIKE} only: {pairs}: give them one name in the "
            "data, or by a CSV file from,to (--config.data.class_map=FILE)"
        )
    if index.groups is not None and (alike := alike_names(known_groups(index.groups).tolist())):
        pairs = "; ".join(" and ".join(map(repr, names)) for names in alike[:_MOST_SHOWN])
        warnings.warn(
            f"groups that differ in {UNLIKE} only are taken as several: {pairs}"
            f"{', ...' * (len(alike) > _MOST_SHOWN)}: if each is one patient or slide, give it one name, or "
            "its images may be on both sides of the split",
            stacklevel=2,
        )


UNLIKE = "case, spaces, dashes, leading zeros, quotes or letters of two alphabets"
"""In what `alike_names` differ."""

_MOST_SHOWN = 5


def alike_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that are one to a reader, or to a program that takes them for numbers, those alike together.

    They differ only in case, spaces, dashes and underscores between words, surrounding quotes, leading zeros
    of numbers (001 and 1), zeros behind the point of a whole number (1.0 and 1), Unicode form, or Cyrillic
    and Greek letters that look like Latin ones.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_plain(name), []).append(name)
    return [tuple(group) for group in alike.values() if len(group) > 1]


# Cyrillic and Greek letters, and what they look like.
_LOOK_ALIKES = str.maketrans(
    "АВЕКМНОРСТУХІЈЅасеорхуіјѕԁΑΒΕΖΗΙΚΜΝΟΡΤΥΧο",  # noqa: RUF001
    "ABEKMHOPCTYXIJSaceopxyijsdABEZHIKMNOPTYXo",
)
_QUOTES = "'\"`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
_BETWEEN = re.compile(r"(?<=\w)[\s_\u2010-\u2015\u2212-]+(?=\w)")
_LEADING_ZEROS = re.compile(r"(?<![\d.,])0+(?=\d)")


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).translate(_LOOK_ALIKES).casefold()
    text = " ".join(text.strip(_QUOTES).split())
    if re.fullmatch(r"\d+\.0+", text):
        text = text.partition(".")[0]
    return _LEADING_ZEROS.sub("", _BETWEEN.sub(" ", text.replace("_", " ").strip()))


def relabel(
    index: DataIndex, class_names: tuple[str, ...], numbers: np.ndarray, why_dropped: str
) -> DataIndex:
    """`index` with other classes.

    Args:
      index: the examples.
      class_names: the new classes.
      numbers: int `[old classes]`, the number of the new class of each old one; -1 drops its examples.
      why_dropped: the reason listed in `DataIndex.skipped`, with `{}` for the old class's name.
    """
    labels = numbers[index.labels].astype(np.int32)
    skipped = tuple(
        (str(index.names[row]), why_dropped.format(index.class_names[index.labels[row]]))
        for row in np.flatnonzero(labels < 0)
    )
    kept = np.flatnonzero(labels >= 0)
    # The old labels would not fit the new classes: everything changes at once.
    selected = index.select(kept) if skipped else index
    return dataclasses.replace(
        selected, class_names=class_names, labels=labels[kept], skipped=(*index.skipped, *skipped)
    )
