"""The gallery of explanations: one page that needs nothing but itself; no script, no request."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jinja2

from asae_jax.inference.explain.explanation import Explanation
from asae_jax.inference.explain.panels import panels
from asae_jax.pages import environment, image_uri
from asae_jax.training.figures import NOTICE

_QUALITY = 85


class Shown(NamedTuple):
    """One image on the page."""

    explanation: Explanation
    file: str
    """Its PNG file, relative to the page."""


def write_page(
    path: Path,
    shown: Sequence[Shown],
    class_names: tuple[str, ...],
    *,
    title: str,
    facts: Sequence[str],
    report: Mapping[str, Any] | None,
    figures: Mapping[str, Path],
    bad: Sequence[tuple[str, str]],
) -> None:
    """Writes the page.

    Args:
      path: where to.
      shown: the images, in order.
      class_names: of the run.
      title: what was explained.
      facts: sentences on what was done, shown on top.
      report: the test of faithfulness (see `command`), or None.
      figures: caption -> PNG file to show.
      bad: (name, reason) of images that could not be read.
    """
    text = _environment().get_template("page.html").render(
        title=title,
        notice=NOTICE,
        facts=facts,
        report=report,
        figures={caption: image_uri("png", file.read_bytes()) for caption, file in figures.items()},
        images=[_image(one, class_names) for one in shown],
        bad=bad,
    )  # fmt: skip
    path.write_text(text, encoding="utf-8", errors="replace")


def _image(one: Shown, class_names: tuple[str, ...]) -> dict[str, Any]:
    explanation = one.explanation
    return {
        "name": explanation.name,
        "file": one.file,
        "true": class_names[explanation.label] if explanation.known else "",
        "predicted": class_names[explanation.predicted],
        "wrong": explanation.known and explanation.label != explanation.predicted,
        "probability": float(explanation.probabilities.max()),
        "true_probability": float(explanation.probabilities[explanation.label]) if explanation.known else 0.0,
        "panels": [(panel.caption, _jpeg(panel.picture)) for panel in panels(explanation, class_names)],
    }


def _jpeg(picture: Any) -> str:
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return image_uri("jpeg", data.tobytes())


def _environment() -> jinja2.Environment:
    filters: dict[str, Callable] = {
        "three": "{:.3f}".format,
        "signed": "{:+.3f}".format,
        "percent": "{:.0%}".format,
    }
    return environment("asae_jax.inference.explain", filters)
