"""The page of `predict`: the differential count, and the cells to look at and to label anew.

It is one self-contained file; its content security policy forbids the browser any request.
The template and the parts of its style and script are in `web`.
"""

import base64
import hashlib
import importlib.resources
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from asae_jax.files import write_text
from asae_jax.inference.predict.differential import Count, Differential, Share, Shares
from asae_jax.inference.predict.output import percent, ratio_text
from asae_jax.inference.predict.records import Record
from asae_jax.pages import NOTICE, environment, printable, script_hash, script_json

SHOWN_BAD = 500
"""Unreadable images listed; the file of predictions has all."""
PICTURES_PER_BLOCK = 50
"""Cells whose pictures are kept together; the page decodes a block when one of them comes into view."""

_WEB = importlib.resources.files("asae_jax.inference.predict") / "web"
_SCRIPTS = ("data", "numbers", "labels", "csv", "counts", "view", "gallery", "panel", "start")


def write_page(
    path: Path,
    records: Sequence[Record],
    class_names: Sequence[str],
    differential: Differential,
    *,
    title: str,
    network: str,
    attention_extent: float,
) -> None:
    """Writes one self-contained HTML file.

    Args:
      path: of the page.
      records: the images to show, in the order of the input; where there were very many, a selection of
        the `differential.overall.images` images.
      class_names: in the order of the probabilities.
      differential: the counts of all images and of each group.
      title: name of the input.
      network: identifier of what predicted, see `predictor.network_identity`.
      attention_extent: fraction of a thumbnail's side that its attention map covers, 0..1, centred.
    """
    bad = [record for record in records if record.error]
    data = page_data(path, records, class_names, differential, network=network)
    script = page_script()
    text = _environment().get_template("page.html").render(
        title=title,
        notice=NOTICE,
        notes=differential.notes,
        overall=data["counts"][0],
        groups=data["counts"][1:],
        classes=class_names,
        lines=line_names(differential.overall.everything),
        uncertainty=any(record.uncertainty for record in records),
        left_out=differential.overall.images - len(records),
        shown=len(data["cells"]),
        bad=bad[:SHOWN_BAD],
        style=Markup(_source("page.css")),
        script=Markup(script),
        script_hash=script_hash(script),
        data=Markup(script_json(data | {"title": title, "extent": attention_extent})),
        pictures=[Markup(block) for block in picture_blocks(records)],
    )  # fmt: skip
    write_text(path, text)


def page_script() -> str:
    """The page's script: its parts one after another, each after those that it uses."""
    return "\n".join(['"use strict";', *(_source(f"{name}.js") for name in _SCRIPTS)])


def _source(name: str) -> str:
    return (_WEB / name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    filters: dict[str, Callable] = {"count": "{:,}".format}
    return environment("asae_jax.inference.predict", filters, folder="web", finalize=printable)


def page_data(
    path: Path,
    records: Sequence[Record],
    class_names: Sequence[str],
    differential: Differential,
    *,
    network: str,
) -> dict[str, Any]:
    """Everything but the pictures, ready for JSON.

    Args:
      path: of the page. The browser stores a person's labels under a hash of it, each with the picture's
        content and `network`, so that they are found again when the page is written anew, and no other
        picture gets them.
      records: to show, in order; those without a prediction are left out.
      class_names: in the order of the probabilities.
      differential: the counts of all images and of each group.
      network: identifier of what predicted.

    Returns:
      `page` and `network`: identifiers; `classes`; `lineages` `[lineage, blast]` of each class; `counts`, see
      `count_data`, of all images and then of each group; `cells`, see `_cell`, whose `group` is a
      position in `counts`, 0 where the input names no group.
    """
    counts = (differential.overall, *differential.groups)
    places = {count.group: place for place, count in enumerate(counts)}
    return {
        "page": hashlib.sha256(bytes(path.absolute())).hexdigest()[:16],
        "network": network,
        "classes": list(class_names),
        "lineages": [[line.lineage, line.blast] for line in differential.overall.everything.classes],
        "counts": [count_data(count) for count in counts],
        "cells": [_cell(record, places) for record in predicted(records)],
    }


def predicted(records: Sequence[Record]) -> list[Record]:
    """The records that the page shows as cells: those with a prediction."""
    return [record for record in records if record.probabilities is not None]


def picture_blocks(records: Sequence[Record]) -> Iterator[str]:
    """The pictures of `predicted(records)`, a line for each and `PICTURES_PER_BLOCK` lines in a block.

    A line is `JPEG HEIGHT WIDTH MAP`; JPEG and MAP (the attention, row by row from the top) are base64. It is
    `- 0 0 -` where there are no pictures. No character needs escaping in HTML.
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
    """Names of the table's lines after those of the classes."""
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
    """`path`, `file`, `content`, `group`, `p` of each class, `label`; uncertainty estimates where known."""
    assert record.probabilities is not None  # `predicted` has dropped the others
    cell: dict[str, Any] = {
        "path": record.path,
        "file": record.file,
        "content": record.content,
        "group": places.get(record.group, 0),
        "p": [round(float(p), 4) for p in record.probabilities],
        "label": record.label,
    }
    if record.position is not None:
        cell["at"] = str(record.position)
    if (estimate := record.uncertainty) is not None:
        cell |= {"unsure": estimate.abstain, "unlike": estimate.ood}
        if estimate.ood_score is not None and np.isfinite(estimate.ood_score):
            cell["outlier_score"] = round(estimate.ood_score, 3)
        if estimate.conformal_set is not None:
            cell["set"] = list(estimate.conformal_set)
    return cell


def _picture(record: Record) -> str:
    attention = np.zeros((0, 0), np.uint8) if record.attention is None else record.attention
    height, width = attention.shape
    return f"{_base64(record.thumbnail or b'')} {height} {width} {_base64(attention.tobytes())}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii") or "-"
