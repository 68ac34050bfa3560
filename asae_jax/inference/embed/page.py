"""The page of `embed`: a map of the features on which every point is a cell to look at.

It is one self-contained file; its content security policy forbids the browser any request.
The template and the parts of its style and script are in `web`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from asae_jax.files import write_text
from asae_jax.inference.classifiers import nearest_rows
from asae_jax.inference.embed.embedding import Embedding
from asae_jax.inference.embed.projection import Projection, percent
from asae_jax.input.cell_classes import CellClass, display_order
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

SHOWN_BAD = 500
"""Unreadable images listed; the CSV file has all."""
ALIKE = 5
"""Cells shown beside a chosen one: those of the most similar features."""

_PACKAGE = "asae_jax.inference.embed"
_SCRIPTS = ("data", "colours", "map", "panel", "start")


def write_page(
    path: Path,
    embedding: Embedding,
    projection: Projection,
    thumbnails: Sequence[bytes | None],
    *,
    title: str,
    classes: Sequence[CellClass] = (),
) -> None:
    """Writes one self-contained HTML file.

    Args:
      path: of the page.
      embedding: N images, at least one of them usable.
      projection: places of the usable ones.
      thumbnails: JPEG of each of the N images; None where there is none to show.
      title: name of the input.
      classes: of the run; they are listed in display order, before those that only labels name.
    """
    usable = np.flatnonzero(embedding.usable)
    bad = np.flatnonzero(~embedding.usable)
    pictures = [thumbnails[row] for row in usable.tolist()]
    shown = np.array([picture is not None for picture in pictures])
    data = page_data(embedding, projection, shown, classes)
    script = page_script()
    text = _environment().get_template("page.html").render(
        title=title,
        notice=NOTICE,
        sentence=projection.sentence(),
        axes=_axes(projection),
        images=len(embedding.paths),
        points=len(usable),
        shown=int(shown.sum()),
        labelled=int((embedding.labels != "").sum()),
        ways=data["ways"],
        bad=[(str(embedding.paths[row]), str(embedding.errors[row])) for row in bad[:SHOWN_BAD]],
        unreadable=len(bad),
        style=Markup(web_files(_PACKAGE, "page.css")),
        script=Markup(script),
        script_hash=script_hash(script),
        data=Markup(script_json(data)),
        pictures=Markup("\n".join(map(base64_text, pictures))),
    )  # fmt: skip
    write_text(path, text)


def page_script() -> str:
    """The page's script."""
    return web_script(_PACKAGE, *_SCRIPTS)


def page_data(
    embedding: Embedding, projection: Projection, shown: np.ndarray, classes: Sequence[CellClass] = ()
) -> dict[str, Any]:
    """Everything but the pictures, ready for JSON.

    Args:
      embedding: n of its rows are usable; only these are on the page.
      projection: places of these n.
      shown: bool `[n]`, of which there are pictures.
      classes: of the run.

    Returns:
      `x`, `y`, `paths`, `probability` of each point; `ways`: how points can be coloured, each with `title`,
      and either `names`, `of` (a number in `names` for each point, -1 where it is not known) and `counts`, or
      `values` (None where it is not known); `alike`: of points with a picture the most similar others.
    """
    rows = np.flatnonzero(embedding.usable)
    return {
        "method": projection.method,
        "x": _numbers(projection.places[:, 0]),
        "y": _numbers(projection.places[:, 1]),
        "paths": [str(path) for path in embedding.paths[rows]],
        "probability": _numbers(embedding.probability[rows], 3),
        "ways": _ways(embedding, rows, classes),
        "alike": _alike(embedding.features[rows], shown),
    }


def _ways(
    embedding: Embedding, rows: np.ndarray, run_classes: Sequence[CellClass]
) -> dict[str, dict[str, Any]]:
    columns = {
        "label": ("label", embedding.labels),
        "predicted": ("predicted class", embedding.predicted),
        "group": ("folder or group", embedding.groups),
    }
    # A class has the same colour as label and as prediction.
    place = {run_classes[number].code: n for n, number in enumerate(display_order(run_classes))}
    found = {*embedding.labels[rows].tolist(), *embedding.predicted[rows].tolist()} - {""}
    classes = sorted(found, key=lambda name: (place.get(name, len(place)), name))
    ways = {}
    for name, (title, column) in columns.items():
        texts = column[rows].tolist()
        if any(texts):
            names = sorted(set(texts) - {""}) if name == "group" else classes
            numbers = {text: number for number, text in enumerate(names)}
            of = [numbers.get(text, -1) for text in texts]
            counts = [of.count(number) for number in range(len(names))]
            ways[name] = {"title": title, "names": names, "of": of, "counts": counts}
    scores = embedding.outlier_score[rows]
    if np.isfinite(scores).any():
        ways["outlier"] = {"title": "outlier score", "values": _numbers(scores)}
    return ways


def _alike(features: np.ndarray, shown: np.ndarray) -> list[list[int]]:
    """Of each point with a picture the `ALIKE` nearest others with one, nearest first; else nothing."""
    places = np.flatnonzero(shown)
    alike: list[list[int]] = [[] for _ in shown]
    if len(places):
        near, _ = nearest_rows(features[places], features[places], ALIKE + 1)
        for own, found in zip(places.tolist(), places[near].tolist(), strict=True):
            alike[own] = [place for place in found if place != own][:ALIKE]
    return alike


def _axes(projection: Projection) -> tuple[str, str]:
    if projection.explained is None:
        return "", ""
    first, second = (percent(share) for share in projection.explained)
    return f"component 1: {first} of the variance", f"component 2: {second} of the variance"


def _numbers(values: np.ndarray, digits: int = 5) -> list[float | None]:
    """With so many significant digits; None where not finite."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values.tolist()]


def _environment() -> jinja2.Environment:
    return environment(_PACKAGE, {"count": "{:,}".format}, folder="web", finalize=printable)
