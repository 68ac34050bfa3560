"""Images that a list sets aside for a second test: no run trains on them, but maybe on copies of them.

They are compared with the others, for copies and for shared patients or slides, and counted nowhere else.
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from asae_jax.input.class_map import mapped_to, relabel
from asae_jax.input.groups import as_listed, one_by_one
from asae_jax.input.index import DataIndex
from asae_jax.input.manifest import ASIDE, second_test_index
from asae_jax.input.sources import named_class_map


@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """The examples and, behind them, the images of a second test, M in all.

    Attributes:
      table: all of them.
      splits: str `[M]`, the part of each; those of the second test are of `ASIDE`.
    """

    table: DataIndex
    splits: np.ndarray


def with_second_test(settings: ConfigDict, table: DataIndex, splits: np.ndarray) -> Compared:
    """What is looked through for copies and for patients or slides that are on two sides.

    Args:
      settings: the section `data`; its class map is applied to the second test, too.
      table: the examples, as `settings` describe them.
      splits: str `[N]`, the part of each.
    """
    second = _second_test(settings, table)
    if second is None:
        return Compared(table, splits)
    return Compared(_joined(table, second), np.array([*splits.tolist(), *[ASIDE] * len(second)]))


def _second_test(settings: ConfigDict, table: DataIndex) -> DataIndex | None:
    """With the classes of `table` first, and without those that a class map drops; None: there is none."""
    found = second_test_index(settings.path) if settings.source == "csv" else None
    if found is None:
        return None
    mapping = named_class_map(settings.class_map) if settings.class_map else {}
    told = [(name, mapped_to(name, mapping)) for name in found.class_names]
    targets = [name if target is None else target for name, target in told]
    names = tuple(dict.fromkeys([*table.class_names, *filter(None, targets)]))
    numbers = np.array([names.index(target) if target else -1 for target in targets], np.int32)
    found = relabel(found, names, numbers, "class {} is dropped by the class map")
    return found if len(found) else None


def _joined(table: DataIndex, second: DataIndex) -> DataIndex:
    count, groups = len(table), None
    names = np.concatenate([table.names, second.names])
    if not (table.groups is None and second.groups is None):
        listed = (np.full(len(t), "") if t.groups is None else as_listed(t.groups) for t in (table, second))
        groups = one_by_one(np.concatenate(list(listed)), names)
    return DataIndex(
        source=table.source,
        class_names=second.class_names,
        names=names,
        labels=np.concatenate([table.labels, second.labels]),
        read=lambda row: table.read(row) if row < count else second.read(row - count),
        groups=groups,
    )
