"""What was understood of a data set, in a few lines, to be read before the work begins."""

import collections
from collections.abc import Iterator, Mapping

import numpy as np

from asae_jax.input.groups import counted_groups
from asae_jax.input.index import DataIndex, Skipped
from asae_jax.input.split import SPLITS

_MOST_REASONS = 5


def describe(index: DataIndex, splits: np.ndarray | None = None) -> str:
    """Classes with counts, split sizes, groups, what was left out, and how the source was understood.

    Args:
      index: the examples.
      splits: str `[N]`, the part of each; None where there are no parts.
    """
    return "\n".join(
        [*_counts(index), *_parts(index, splits), *_left_out(index), *map("note: {}".format, index.notes)]
    )


def _counts(index: DataIndex) -> Iterator[str]:
    counts = np.bincount(index.labels, minlength=index.num_classes)
    named = ", ".join(f"{name} {count:,}" for name, count in zip(index.class_names, counts, strict=True))
    classes = _number(index.num_classes, "class", "classes")
    yield f"data: {len(index):,} images of {classes} ({index.source}): {named}"


def _parts(index: DataIndex, splits: np.ndarray | None) -> Iterator[str]:
    groups = "groups (patients, slides) not known"
    if index.groups is not None:
        groups = counted_groups(index.groups)
    sizes = [] if splits is None else [f"{np.count_nonzero(splits == part):,} {part}" for part in SPLITS]
    yield f"  {', '.join([*sizes, groups])}"


def _left_out(index: DataIndex) -> Iterator[str]:
    if index.skipped:
        yield f"  left out: {said_reasons(count_reasons(index.skipped))}"


def plain_reason(reason: str) -> str:
    """A reason of `DataIndex.skipped` without what differs from file to file: the line of a CSV file."""
    return reason.partition(" (line ")[0]


def count_reasons(skipped: Skipped) -> dict[str, int]:
    """How many files were left out for each `plain_reason`, the most frequent first."""
    return dict(collections.Counter(plain_reason(reason) for _, reason in skipped).most_common())


def said_reasons(counts: Mapping[str, int]) -> str:
    """The first few of `count_reasons`, as a list in a sentence."""
    shown = [f"{reason} ({_number(count, 'file', 'files')})" for reason, count in counts.items()]
    return ", ".join(shown[:_MOST_REASONS]) + ", ..." * (len(shown) > _MOST_REASONS)


def _number(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"
