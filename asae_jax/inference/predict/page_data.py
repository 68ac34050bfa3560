"""What the page of `predict` is told, in the form in which its script reads it."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.inference.predict.records import Count, Differential, Record, Share, Shares
from asae_jax.inference.predict.summary import percent, ratio_text

PICTURES_PER_BLOCK = 50
"""Cells whose pictures are kept together; the page takes a block apart when one of them comes into view."""


def page_data(
    path: Path, records: Sequence[Record], class_names: Sequence[str], differential: Differential
) -> dict[str, Any]:
    """Everything but the pictures, ready for JSON.

    Args:
      path: of the page. What a person says of the cells is kept in the browser under its name, so that it
        is found again when the page is written anew.
      records: to show, in order; those without a prediction are left out.
      class_names: of the run.
      differential: of all images.

    Returns:
      `page`: an identifier; `classes`; `lineages` `[lineage, blast]` of each class; `counts`, see
      `count_data`, of all images and then of each group; `cells`, see `_cell`, of which `group` is a
      place in `counts`, 0 where the input names no group.
    """
    counts = (differential.overall, *differential.groups)
    places = {count.group: place for place, count in enumerate(counts)}
    return {
        "page": hashlib.sha256(bytes(path.absolute())).hexdigest()[:16],
        "classes": list(class_names),
        "lineages": [[line.lineage, line.blast] for line in differential.overall.everything.classes],
        "counts": [count_data(count) for count in counts],
        "cells": [_cell(record, places) for record in predicted(records)],
    }


def predicted(records: Sequence[Record]) -> list[Record]:
    """Those that the page shows as cells."""
    return [record for record in records if record.probabilities is not None]


def script_json(data: Any) -> str:
    """JSON for a script element: ASCII, as a file name need not be Unicode, and without "<", its end."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def picture_blocks(records: Sequence[Record]) -> Iterator[str]:
    """The pictures of `predicted(records)`, a line for each and `PICTURES_PER_BLOCK` lines in a block.

    A line is `JPEG HEIGHT WIDTH MAP`, the first and the last in base64, MAP the attention in rows from the
    top; `- 0 0 -` where there are none. No character of it means anything to HTML.
    """
    shown = predicted(records)
    for first in range(0, len(shown), PICTURES_PER_BLOCK):
        yield "\n".join(_picture(record) for record in shown[first : first + PICTURES_PER_BLOCK])


def count_data(count: Count) -> dict[str, Any]:
    """The differential count of one group: numbers, and the texts of its table.

    Returns:
      `group`, `images`, `left`, `strange`, `unreadable`; `sure` and `everything`: `[number, text]` of every
      line of the table, which are the classes, blasts and M:E ratio where the run defines them, and the
      cells counted; `cells`: all cells of each class; `bars`: of each class `[share, low, high]` of all
      cells, or None where it does not count.
    """
    of_all = [line.cells for line in count.everything.classes]
    return {
        "group": count.group,
        "images": count.images,
        "left": count.left_to_person,
        "strange": count.out_of_distribution,
        "unreadable": count.unreadable,
        "sure": _lines(count.sure),
        "everything": _lines(count.everything),
        "cells": [cells.count for cells in of_all],
        "bars": [_bar(cells) for cells in of_all],
    }


def line_names(shares: Shares) -> list[str]:
    """What the lines of the table after those of the classes are."""
    blasts = [] if shares.blasts is None else ["blasts"]
    return [*blasts, *([] if shares.myeloid_erythroid is None else ["M:E ratio"]), "cells counted"]


def _lines(shares: Shares) -> list[list[str]]:
    lines = [[f"{line.cells.count:,}", percent(line.cells)] for line in shares.classes]
    if shares.blasts is not None:
        lines.append([f"{shares.blasts.count:,}", percent(shares.blasts)])
    if shares.myeloid_erythroid is not None:
        lines.append(["", ratio_text(shares.myeloid_erythroid)])
    return [*lines, [f"{shares.counted:,}", ""]]


def _bar(cells: Share) -> list[float] | None:
    if cells.share is None or cells.low is None or cells.high is None:
        return None
    return [round(value, 4) for value in (cells.share, cells.low, cells.high)]


def _cell(record: Record, places: Mapping[str, int]) -> dict[str, Any]:
    """`path`, `file`, `group`, `p` of each class, `label`; and what trust says where there is any."""
    assert record.probabilities is not None  # `predicted` has left those out
    cell: dict[str, Any] = {
        "path": record.path,
        "file": record.file,
        "group": places.get(record.group, 0),
        "p": [round(float(p), 4) for p in record.probabilities],
        "label": record.label,
    }
    if (trusted := record.trusted) is not None:
        cell |= {"unsure": trusted.abstain, "unlike": trusted.ood}
        if trusted.ood_score is not None and np.isfinite(trusted.ood_score):
            cell["strangeness"] = round(trusted.ood_score, 3)
        if trusted.conformal_set is not None:
            cell["set"] = list(trusted.conformal_set)
    return cell


def _picture(record: Record) -> str:
    attention = np.zeros((0, 0), np.uint8) if record.attention is None else record.attention
    height, width = attention.shape
    return f"{_base64(record.thumbnail or b'')} {height} {width} {_base64(attention.tobytes())}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii") or "-"
