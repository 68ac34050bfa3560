"""Self-contained HTML pages: templates that lie in a package, pictures that travel inside the page."""

import base64
import functools
import hashlib
import importlib.resources
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup

NOTICE = "For research, not a diagnosis."
"""Stands on every page, figure and file that a user might take to a clinic."""

BASE = "base.html"
"""The template that those of all pages extend, by its blocks `title`, `style` and `body`."""

_WEB = importlib.resources.files("asae_jax") / "web"


def environment(
    package: str,
    filters: Mapping[str, Callable],
    *,
    folder: str = "",
    autoescape: bool = True,
    finalize: Callable[[Any], Any] | None = None,
) -> jinja2.Environment:
    """Where the templates of `package` are found and how they are filled in; a name not given is an error.

    Args:
      package: dotted name, such as "asae_jax.audit".
      filters: added to jinja2's own.
      folder: of the package, where the templates lie; empty for the package itself.
      autoescape: for HTML; False for plain text.
      finalize: applied to every value before it is printed, such as `printable`.
    """
    own = importlib.resources.files(package) / folder
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(
            lambda name: ((_WEB if name == BASE else own) / name).read_text(encoding="utf-8")
        ),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    made.filters |= filters
    made.globals["base_style"] = Markup(base_style())
    return made


@functools.cache
def base_style() -> str:
    """The style sheet that all pages share, `web/page.css`; templates have it as `base_style`."""
    return (_WEB / "page.css").read_text(encoding="utf-8")


@functools.cache
def colours(*, dark: bool = False) -> dict[str, str]:
    """The style sheet's colours by name without dashes, "#rgb" or "#rrggbb": for figures beside the pages.

    "good" and "bad" (blue and orange) differ for colour-blind readers too, "amber" warns, "purple" is plain;
    "first", "second" and "third" are for lines and bars side by side.
    """
    light, night = re.findall(r":root \{ (?:color-scheme: light dark; )?(--ink[^}]*)", base_style())
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", night if dark else light))


def printable(value: object) -> object:
    """`value` with U+FFFD in place of those bytes of a file name that are not UTF-8."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    return value


def web_files(package: str, *names: str) -> str:
    """The text of files in the folder `web` of a package, one after another."""
    folder = importlib.resources.files(package) / "web"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def web_script(package: str, *names: str) -> str:
    """A page's script: its parts NAME.js in the folder `web`, each after those that it uses."""
    return f'"use strict";\n{web_files(package, *(f"{name}.js" for name in names))}'


def script_json(data: Any) -> str:
    """JSON for a script element: ASCII, as file names need not be Unicode, and without "<", its end."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def script_hash(script: str) -> str:
    """What a content security policy calls a script element of this text: `sha256-<script_hash>`."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def encode_jpeg(image: np.ndarray, *, quality: int) -> bytes:
    """An RGB image, uint8 `[height, width, 3]`, as JPEG of `quality` 1..100."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def jpeg_uri(image: np.ndarray, *, quality: int) -> str:
    """An RGB image, uint8 `[height, width, 3]`, as an address that holds it as JPEG of `quality` 1..100."""
    return image_uri("jpeg", encode_jpeg(image, quality=quality))


def thumbnail_uri(image: np.ndarray, *, side: int, quality: int) -> str:
    """`jpeg_uri` of the image with `side` pixels along its longer side."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return jpeg_uri(cv2.resize(image, size, interpolation=method), quality=quality)


def base64_text(data: bytes | None) -> str:
    """A picture as text for a page's script; "-" for none."""
    return base64.b64encode(data or b"").decode("ascii") or "-"


def image_uri(kind: str, data: bytes) -> str:
    """A picture as an address that holds it; `kind` is "png" or "jpeg"."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
