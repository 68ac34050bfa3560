"""The review page of `predict`: the differential count, and the cells to look at and to label anew.

It is one self-contained file; its content security policy forbids the browser any request.
The template and the parts of its style and script are in `web`.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from asae_jax.files import canonical_path, write_text
from asae_jax.inference.predict.count.corrected import Corrected
from asae_jax.inference.predict.count.differential import Differential
from asae_jax.inference.predict.count.page import count_data, count_table
from asae_jax.inference.predict.count.specimen import SPECIMENS
from asae_jax.inference.predict.gallery import CONTENT_DIGITS, SHOWN_BAD
from asae_jax.inference.predict.pictures import picture_blocks, predicted, whole_blocks
from asae_jax.inference.predict.similar import Similar
from asae_jax.inference.records import Record
from asae_jax.inference.uncertainty import Thresholds
from asae_jax.input.cell_classes import display_order
from asae_jax.pages import (
    NOTICE,
    base64_text,
    environment,
    printable,
    script_hash,
    script_json,
    web_files,
    web_script,
)

_PACKAGE = "asae_jax.inference.predict"
_STYLES = ("page.css", "counts.css", "cells.css", "report.css")
_SCRIPTS = (
    "data", "numbers", "tally", "labels", "csv", "counts", "view", "contour", "gallery", "selection",
    "viewer", "panel", "report", "start",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class ReviewPage:
    """What a review page shows.

    Attributes:
      records: the images to show, in the order of the input; where there were very many, a selection of
        the `differential.overall.images` images.
      class_names: in the order of the probabilities.
      differential: the counts of all images and of each group.
      title: name of the input.
      network: identifier of what predicted, see `predictor.network_identity`.
      attention_extent: of a picture's shorter side that its map covers, see `predictor.attention_extent`.
      key: what a browser keeps the labels under; empty: a new one, see `page_key`.
      made_by: what predicted and when, in words, for printed reports.
      thresholds: what probabilities and outlier scores are measured by; None where the run has no estimates.
      similar: training cells like each of `records`; None: the page shows none.
      megabytes: of large pictures that were allowed, said where cells lack one.
      corrected: the counts corrected for another mixture of classes; empty: the page has none.
      without_room: cells that are not among `records`, see `Gallery.dropped`, whose labels are kept.
    """

    records: Sequence[Record]
    class_names: Sequence[str]
    differential: Differential
    title: str
    network: str
    attention_extent: float
    key: str = ""
    made_by: str = ""
    thresholds: Thresholds | None = None
    similar: Similar | None = None
    megabytes: float = 0
    corrected: Sequence[Corrected] = ()
    without_room: Sequence[str] = ()


def write_page(path: Path, page: ReviewPage) -> None:
    """Writes `page` to `path` as one self-contained HTML file."""
    data = page_data(page)
    data |= {"title": page.title, "extent": page.attention_extent, "made": page.made_by, "notice": NOTICE}
    data |= _identifiers(path, page)
    html = _environment().get_template("page.html").render(
        title=page.title, notice=NOTICE,
        **_count_part(page, data),
        **_cells_part(page, data),
        **_pictures(page.records, page.similar),
        classes=page.class_names,
        **_style_and_script(),
        data=Markup(script_json(data | _without_room(page.without_room))),
    )  # fmt: skip
    write_text(path, html)


def _cells_part(page: ReviewPage, data: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of the cells and of images without a prediction."""
    records, of = page.records, page.differential.overall
    return {
        "thresholds": data["thresholds"],
        "left_out": of.images - of.unreadable - len(data["cells"]),
        "left_to_person_out": of.left_to_person - sum(record.left_to_person for record in records),
        "shown": len(data["cells"]),
        "small": _without_large(records),
        "megabytes": f"{page.megabytes:g}",
        "bad": [record for record in records if record.error][:SHOWN_BAD],
    }


def _without_room(contents: Sequence[str]) -> dict[str, Any]:
    """The cells that an earlier page may have had, and by how much of their contents they are known."""
    return {"without_room": sorted(set(contents)), "content_digits": CONTENT_DIGITS}


def _pictures(records: Sequence[Record], similar: Similar | None) -> dict[str, Any]:
    """What the template has of pictures."""
    return {
        "pictures": [Markup(block) for block in picture_blocks(records)],
        "wholes": [Markup(block) for block in whole_blocks(records)],
        "training": Markup("\n".join(map(base64_text, similar.pictures)) if similar else ""),
    }


def _count_part(page: ReviewPage, data: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of the count; notes on the specimen are apart, as another may be chosen."""
    found, uncertainty = page.differential, page.thresholds is not None
    of_specimen = found.specimen_notes()
    return {
        "notes": [note for note in found.notes if note not in of_specimen],
        "overall": data["counts"][0],
        "groups": data["counts"][1:],
        "table": count_table(found, uncertainty=uncertainty),
        "corrected": [(one, list(one.rows(found.classes))) for one in page.corrected],
        "specimen": found.specimen.name,
        "specimens": list(SPECIMENS),
        "uncertainty": uncertainty,
    }


def _style_and_script() -> dict[str, Any]:
    style, script = web_files(_PACKAGE, *_STYLES), page_script()
    return {"style": Markup(style), "script": Markup(script), "script_hash": script_hash(script)}


def page_script() -> str:
    """The page's script."""
    return web_script(_PACKAGE, *_SCRIPTS)


def _environment() -> jinja2.Environment:
    filters: dict[str, Callable] = {"count": "{:,}".format}
    return environment(_PACKAGE, filters, folder="web", finalize=printable)


def page_data(page: ReviewPage) -> dict[str, Any]:
    """Everything but the pictures and `_identifiers`, ready for JSON.

    Returns:
      `network`; `contents`, an identifier of all pictures on the page; `classes`, and
      `order`, their positions as they are listed; of the count, see `count.page.count_data`; `thresholds`;
      `training`: class of each training cell shown; `cells`, see `_cell`, whose `group` is a position in
      `counts`, 0 if the input names no group, and whose `near` are `[training cell, similarity]`.
    """
    differential, similar = page.differential, page.similar
    counts = (differential.overall, *differential.groups)
    places = {count.group: place for place, count in enumerate(counts)}
    return {
        "network": page.network,
        "contents": _of_all(page.records),
        "classes": list(page.class_names),
        "order": list(display_order(differential.classes)),
        **count_data(differential),
        "thresholds": None if page.thresholds is None else page.thresholds._asdict(),
        "training": list(similar.labels) if similar else [],
        "cells": [
            _cell(record, places) | _near(similar, place)
            for place, record in enumerate(page.records)
            if record.probabilities is not None
        ],
    }


def page_key(path: Path, network: str, records: Sequence[Record]) -> str:
    """What a browser keeps the labels of a new page under, however its path is spelled.

    Network and pictures are in it too: a page that was moved away keeps its key, and the next one of that
    path, of another network or of other pictures, must not get the same.
    """
    return _digest("\n".join([canonical_path(path), network, _of_all(records)]))


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def _identifiers(path: Path, page: ReviewPage) -> dict[str, Any]:
    """What a browser keeps labels under, each with the picture's content and the network.

    So they are found again when the page is written anew, and no other picture gets them. `page` is
    `page.key`, or a new one where that is empty; `former` are the others that earlier versions took: of the
    path, and of the path as it is spelled.
    """
    key = page.key or page_key(path, page.network, page.records)
    former = dict.fromkeys((_digest(canonical_path(path)), _digest(str(path.absolute()))))
    return {"page": key, "former": [one for one in former if one != key]}


def _of_all(records: Sequence[Record]) -> str:
    """Tells the pictures on the page from any others, in whatever order they come."""
    contents = "\n".join(sorted(record.content for record in predicted(records)))
    return hashlib.sha256(contents.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _without_large(records: Sequence[Record]) -> int:
    """Cells without a large picture, where others have one."""
    have = [record.picture is not None for record in predicted(records)]
    return have.count(False) if any(have) else 0


def _near(similar: Similar | None, place: int) -> dict[str, Any]:
    if similar is None:
        return {}
    return {"near": [[number, round(cosine, 3)] for number, cosine in similar.of[place]]}


def _cell(record: Record, places: Mapping[str, int]) -> dict[str, Any]:
    """`path`, `file`, `content`, `size`, `group`, `p` of each class, `label`; estimates where known."""
    assert record.probabilities is not None  # `predicted` has dropped the others
    cell: dict[str, Any] = {
        "path": record.path,
        "file": record.file,
        "content": record.content,
        "size": list(record.size),
        "group": places.get(record.group, 0),
        "p": [round(float(p), 4) for p in record.probabilities],
        "label": record.label,
    }
    if record.position is not None:
        cell["at"] = str(record.position)
    if (estimate := record.uncertainty) is not None:
        cell |= {"unsure": estimate.abstain, "unlike": estimate.is_outlier}
        if estimate.outlier_score is not None and np.isfinite(estimate.outlier_score):
            cell["outlier_score"] = round(estimate.outlier_score, 3)
        if estimate.conformal_set is not None:
            cell["set"] = list(estimate.conformal_set)
    return cell
