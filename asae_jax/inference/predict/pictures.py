"""The pictures of the review page: blocks of text, each taken apart when a cell of it comes into view."""

from collections.abc import Iterator, Sequence

import numpy as np

from asae_jax.inference.records import Record
from asae_jax.pages import base64_text

PER_BLOCK = 50
"""Cells whose small pictures and maps are kept together."""
WHOLES_PER_BLOCK = 8
"""Cells whose large pictures are kept together."""


def predicted(records: Sequence[Record]) -> list[Record]:
    """The records that the page shows as cells: those with a prediction."""
    return [record for record in records if record.probabilities is not None]


def picture_blocks(records: Sequence[Record]) -> Iterator[str]:
    """The small pictures of `predicted(records)`, a line for each and `PER_BLOCK` lines in a block.

    A line is `JPEG HEIGHT WIDTH MAP`; JPEG and MAP (the attention, row by row from the top) are base64. It is
    `- 0 0 -` where there are no pictures. No character needs escaping in HTML.
    """
    return _blocks([_small(record) for record in predicted(records)], PER_BLOCK)


def whole_blocks(records: Sequence[Record]) -> Iterator[str]:
    """The large pictures of `predicted(records)`, a line of base64 for each; "-" where there is none."""
    return _blocks([base64_text(record.picture) for record in predicted(records)], WHOLES_PER_BLOCK)


def _blocks(lines: Sequence[str], size: int) -> Iterator[str]:
    for first in range(0, len(lines), size):
        yield "\n".join(lines[first : first + size])


def _small(record: Record) -> str:
    attention = np.zeros((0, 0), np.uint8) if record.attention is None else record.attention
    height, width = attention.shape
    return f"{base64_text(record.thumbnail)} {height} {width} {base64_text(attention.tobytes())}"
