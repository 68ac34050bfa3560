"""The page of `predict`: the differential count, and the cells to look at and to label anew.

It is one file that needs nothing but itself and asks for nothing: its policy forbids the browser any request.
The template and the parts of its style and script are in `web`.
"""

import base64
import hashlib
import importlib.resources
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from asae_jax.inference.predict.page_data import line_names, page_data, picture_blocks, script_json
from asae_jax.inference.predict.records import Differential, Record
from asae_jax.pages import environment
from asae_jax.training.figures import NOTICE

SHOWN_BAD = 500
"""Unreadable images listed; the file of predictions has all."""

_WEB = importlib.resources.files("asae_jax.inference.predict") / "web"
_SCRIPTS = ("data", "numbers", "labels", "csv", "counts", "view", "gallery", "panel", "start")


def write_page(
    path: Path,
    records: Sequence[Record],
    class_names: Sequence[str],
    differential: Differential,
    *,
    title: str,
    attention_extent: float,
) -> None:
    """Writes one self-contained HTML file.

    Args:
      path: where to.
      records: the images to show, in the order of the input; not all, where there were very many
        (`differential.overall.images` tells how many).
      class_names: of the run.
      differential: the counts of all images and of each group.
      title: what was predicted.
      attention_extent: share of a thumbnail's side that its attention map covers, 0..1, around its middle.
    """
    bad = [record for record in records if record.error]
    data = page_data(path, records, class_names, differential)
    script = page_script()
    text = _environment().get_template("page.html").render(
        title=title,
        notice=NOTICE,
        notes=differential.notes,
        overall=data["counts"][0],
        groups=data["counts"][1:],
        classes=class_names,
        lines=line_names(differential.overall.everything),
        trusted=any(record.trusted for record in records),
        left_out=differential.overall.images - len(records),
        shown=len(data["cells"]),
        bad=bad[:SHOWN_BAD],
        style=Markup(_source("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        data=Markup(script_json(data | {"title": title, "extent": attention_extent})),
        pictures=[Markup(block) for block in picture_blocks(records)],
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")


def page_script() -> str:
    """The page's script: its parts behind each other, in an order in which each uses those before it."""
    return "\n".join(['"use strict";', *(_source(f"{name}.js") for name in _SCRIPTS)])


def _source(name: str) -> str:
    return (_WEB / name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    filters: dict[str, Callable] = {"count": "{:,}".format}
    return environment("asae_jax.inference.predict", filters, folder="web", finalize=_printable)


def _printable(value: object) -> object:
    """A file name need not be Unicode: what is not is shown as the sign for that."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    return value
