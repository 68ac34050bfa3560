"""The page of `agreement`: numbers, tables of two people's labels, and the cells that they differ on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.files import write_text
from asae_jax.input.cell_classes import CellClass
from asae_jax.input.content import image_content
from asae_jax.input.decode import BadImage, read_image
from asae_jax.pages import NOTICE, environment, printable, thumbnail_uri
from asae_jax.review.agreement import Compared, Pair, Several
from asae_jax.review.people import Person

PAGE = "agreement.html"
SHOWN = 60
"""Cells with a picture on the page; `disagreements.csv` has all."""

_THUMBNAIL = 192  # pixels, longer side; twice what is shown, for fine displays
_JPEG_QUALITY = 82
_MOST_PAIRS = 5


def write_page(
    path: Path,
    people: Sequence[Person],
    classes: Sequence[CellClass],
    compared: Sequence[Compared],
    several: Several | None,
    rows: Sequence[Mapping[str, str]],
    notes: Sequence[str],
    *,
    listed: str,
) -> None:
    """Writes the page to `path`.

    Args:
      path: of the page.
      people: who labelled.
      classes: of the tables, K of them, in the order to show.
      compared: all pairs, tables `[K, K]`.
      several: Krippendorff's alpha; None for fewer than three people.
      rows: the images labelled differently, with `path`, `group`, `content`, `proposed` and `by NAME` each.
      notes: what a reader of the numbers must know, a sentence each.
      listed: the list of `rows`, as a word of a command line.
    """
    names = [one.code for one in classes]
    text = _environment().get_template("agreement.html").render(
        people=people,
        classes=classes,
        compared=compared,
        several=several,
        tables=[_table(one.pair) for one in compared],
        often=[often_different(one.pair, names) for one in compared],
        cells=[_cell(row) for row in rows[:SHOWN]],
        total=len(rows),
        listed=listed,
        notes=notes,
        notice=NOTICE,
    )  # fmt: skip
    write_text(path, text)


def in_words(over: str) -> str:
    """What intervals are over (`bootstrap.interval_unit`), for a reader."""
    return over.replace("groups", "patients or slides")


def used_classes(table: np.ndarray) -> list[int]:
    """Numbers of the classes that occur in a table `[K, K]`."""
    return [number for number in range(len(table)) if table[number].any() or table[:, number].any()]


def often_different(pair: Pair, names: Sequence[str]) -> str:
    """ "BNE and SNE 12, MY and MMY 3": the most frequent differences; empty where there is none.

    Args:
      pair: of two people, the first one's class being named first.
      names: of the classes.
    """
    off = pair.table * (1 - np.eye(len(names), dtype=np.int64))
    order = np.argsort(-off, axis=None, kind="stable")[:_MOST_PAIRS]
    places = [divmod(int(place), len(names)) for place in order if off.flat[place]]
    return ", ".join(f"{names[a]} and {names[b]} {off[a, b]:,}" for a, b in places)


def _table(pair: Pair) -> dict[str, Any]:
    """The classes that occur, and rows of counts with their share of the largest one, percent."""
    used = used_classes(pair.table)
    part = pair.table[np.ix_(used, used)]
    shades = np.round(100 * part / max(int(part.max()), 1)).astype(int)
    rows = [list(zip(counts, shade, strict=True)) for counts, shade in
            zip(part.tolist(), shades.tolist(), strict=True)]  # fmt: skip
    return {"used": used, "rows": rows, "first": part.sum(1).tolist(), "second": part.sum(0).tolist()}


def _cell(row: Mapping[str, str]) -> dict[str, Any]:
    given = {name.removeprefix("by "): label for name, label in row.items() if name.startswith("by ")}
    return {
        "path": row["path"],
        "group": row["group"],
        "given": {name: label for name, label in given.items() if label},
        "proposed": row["proposed"],
        "picture": _picture(row["path"], row["content"]),
    }


def _picture(file: str, content: str) -> str:
    """A small JPEG as an address that holds it; empty where the file lacks the picture that was labelled."""
    try:
        image = read_image(file)
    except BadImage:
        return ""
    if content and image_content(image) != content:
        return ""
    return thumbnail_uri(image, side=_THUMBNAIL, quality=_JPEG_QUALITY)


def _environment() -> Any:
    filters: dict[str, Callable] = {"count": "{:,}".format, "in_words": in_words}
    return environment("asae_jax.review", filters, finalize=printable)
