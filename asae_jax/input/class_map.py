"""Merging, renaming and dropping classes, as the paper merges 27 into 14."""

import dataclasses
import os
import unicodedata
from collections.abc import Iterable, Mapping

import numpy as np

from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.input.index import DataIndex
from asae_jax.input.manifest import fault, read_rows


def read_class_map(path: str | os.PathLike) -> dict[str, str]:
    """Reads a CSV file `from,to`: class -> new class, or "" for a class that is dropped.

    Raises:
      UserError: naming file and line: not such a file (see `manifest.read_rows`), an empty `from`, or a
        class that is mapped twice.
    """
    file = user_path(path)
    _, rows = read_rows(file, required=("from", "to"))
    mapping: dict[str, str] = {}
    for line, row in rows:
        if not row["from"]:
            raise fault(file, line, "empty from", "name a class of the data")
        if row["from"] in mapping:
            raise fault(file, line, f"class {row['from']} is mapped twice", "keep one of the lines")
        mapping[row["from"]] = row["to"]
    return mapping


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
    unknown = [name for name in mapping if name not in index.class_names]
    unmapped = [name for name in index.class_names if name not in mapping]
    if unknown and unmapped:
        raise UserError(
            f"the class map names classes that the data do not have ({', '.join(unknown)}), and leaves out "
            f"some that they have ({', '.join(unmapped)}): correct the former, or map the latter too"
        )
    targets = [mapping.get(name, name) for name in index.class_names]
    class_names = tuple(dict.fromkeys(target for target in targets if target))
    if not class_names:
        raise UserError("the class map drops every class: keep some")
    numbers = np.array([class_names.index(target) if target else -1 for target in targets], np.int32)
    return relabel(index, class_names, numbers, "class {} is dropped by the class map")


def check_classes(index: DataIndex) -> None:
    """Refuses classes that nothing can be learned from, or that are one class in two spellings.

    Raises:
      UserError: a single class, or classes that differ in case, spaces or Unicode form only.
    """
    if index.num_classes < 2:
        raise UserError(
            f"the {index.source} data have one class only, {', '.join(index.class_names)}: give the folder "
            "or file that holds all classes, two at least"
        )
    if alike := alike_names(index.class_names):
        pairs = "; ".join(" and ".join(map(repr, names)) for names in alike)
        raise UserError(
            f"classes that differ in case, spaces or Unicode form only: {pairs}: give them one name in the "
            "data, or by a CSV file from,to (--config.data.class_map=FILE)"
        )


def alike_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ in case, surrounding or repeated space or Unicode form only, those alike together."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_plain(name), []).append(name)
    return [tuple(group) for group in alike.values() if len(group) > 1]


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


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
