"""One picture in several places: under two labels, or on both sides of a split.

Files are compared by what they hold (`DataIndex.contents`), so that copies and links are found whatever they
are called. Pictures that were turned, scaled or encoded again are found by `audit` only.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.content import CONTENT_TYPE
from asae_jax.input.index import DataIndex
from asae_jax.input.run_split import read_records

_REMEDY = "remove them, or look at all of them with `audit`"


def warn_of_duplicates(index: DataIndex, splits: np.ndarray | None = None) -> None:
    """Warns where a picture of `index` has two labels, or is in two parts.

    Args:
      index: the examples, all of them readable: files that hold no picture may be equal.
      splits: str `[N]`, the part of each; None where there are no parts.
    """
    for text in _found(index, splits):
        warnings.warn(f"{text}: {_REMEDY}", stacklevel=2)


def is_among(contents: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of `contents` are among `known`: bool `[N]`; what is not known is not."""
    return (contents != b"") & np.isin(contents, known)


def is_first(contents: np.ndarray) -> np.ndarray:
    """Which of `contents` no earlier one is equal to: bool `[N]`; what is not known is equal to nothing."""
    found = contents == b""
    found[np.unique(contents, return_index=True)[1]] = True
    return found


def recorded_contents(path: Path, split: str) -> np.ndarray:
    """The contents of a part of the split that `run_split.write_splits` recorded.

    Empty where the file was made before contents were recorded, or there is none.
    """
    if not path.exists():
        return np.array([], np.bytes_)
    rows = [row.content for row in read_records(path).values() if row.split == split]
    try:
        return np.array([content for content in rows if content], CONTENT_TYPE)
    except UnicodeEncodeError as error:
        raise UserError(f"{path} is damaged, its contents are no digests: restore it from a copy") from error


def _found(index: DataIndex, splits: np.ndarray | None) -> Iterator[str]:
    rows = np.flatnonzero(index.contents != b"")
    _, first, inverse = np.unique(index.contents[rows], return_index=True, return_inverse=True)
    original = rows[first[inverse]]  # the first place of each picture
    contradicting = index.labels[rows] != index.labels[original]
    if contradicting.any():
        yield (
            f"{_number(contradicting)} there under another label too: "
            f"{_pair(index, rows, original, contradicting)}; at most one of the labels is right"
        )
    if splits is None:
        return
    part = splits[rows]
    yield from _in_both(
        index, rows[part == "test"], rows[part != "test"], "test", "the training or validation"
    )
    yield from _in_both(
        index, rows[part == "validation"], rows[part == "train"], "validation", "the training"
    )


def _in_both(index: DataIndex, own: np.ndarray, others: np.ndarray, part: str, parts: str) -> Iterator[str]:
    """Says which rows `own` hold a picture of the rows `others`."""
    shared = is_among(index.contents[own], index.contents[others])
    if shared.any():
        where = dict(zip(index.contents[others][::-1], others[::-1], strict=True))
        twins = np.array([where.get(content, -1) for content in index.contents[own]])
        yield (
            f"{shared.sum():,} of the {len(own):,} {part} images are in {parts} part too: "
            f"{_pair(index, own, twins, shared)}; {_MEANS[part]}"
        )


_MEANS = {
    "test": "scores are better than on new images",
    "validation": "the checkpoint is chosen on what was learnt; estimates of how sure it is leave them out",
}


def _number(which: np.ndarray) -> str:
    return "1 image is" if which.sum() == 1 else f"{which.sum():,} images are"


def _pair(index: DataIndex, rows: np.ndarray, twins: np.ndarray, which: np.ndarray) -> str:
    """The first of `which`, for messages."""
    place = int(np.flatnonzero(which)[0])
    shown = [
        f"{index.names[row]} ({index.class_names[index.labels[row]]})" for row in (twins[place], rows[place])
    ]
    return f"{shown[0]} and {shown[1]}" + (", ..." if which.sum() > 1 else "")
