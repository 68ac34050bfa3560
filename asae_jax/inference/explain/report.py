"""What `explain` writes: the faithfulness test in numbers with intervals, and the page of explanations."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asae_jax.csv_cells import CsvWriter
from asae_jax.evaluation.bootstrap import bootstrap_intervals, few_resamples, interval_unit
from asae_jax.files import atomic_text, write_text
from asae_jax.inference.alignment import Alignment
from asae_jax.inference.explain import answers
from asae_jax.inference.explain.explanations import ClassMaps, Explanation
from asae_jax.inference.explain.faithfulness import Measured
from asae_jax.inference.explain.figures import SIDE, Panel, class_panels, layer_panels, panels
from asae_jax.input.cell_classes import CellClass, display_order
from asae_jax.json_files import write_json
from asae_jax.pages import NOTICE, environment, jpeg_uri

FAITHFULNESS = ("faithfulness.json", "faithfulness.csv")
"""Files of the test of faithfulness: its result, and a row for each image."""

MIN_IMAGES = 8
"""With fewer there is no interval: percentiles of the bootstrap are too close together.

Of pure noise 95 % intervals exclude zero for 48 % of classes of 2 images, 14 % of 5 and 11 % of 8.
"""

PAIRS = (
    ("peak", "random"),
    ("gradcam", "random"),
    ("centre", "random"),
    ("peak", "gradcam"),
    ("peak", "centre"),
)
"""Places compared with each other, image by image."""


def summarise(
    measured: Measured,
    class_names: Sequence[str],
    *,
    groups: np.ndarray | None,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Means over the images with 95 % percentile intervals of the bootstrap.

    Args:
      measured: the images.
      class_names: name of every class.
      groups: slide or patient of each measured image, `[n]`: whole groups are drawn; None: images are.
      resamples: number of bootstrap resamples; 0: no intervals.
      seed: the same seed and images give the same intervals.

    Returns:
      `num_images`; `hidden_share`, the share of an image's pixels that the top peak's region has;
      `hidden_shares`, that share in every place; `intervals_over`, see `interval_unit`; `resamples`;
      `overall`, and `per_class` by name for the classes that have images. Each of these has `num_images`;
      `probability`, of the true class with nothing occluded; `loss`: measure -> place -> `{mean, interval}`,
      with the places "peak", "gradcam", "centre" and "random"; `difference`: measure -> "peak - random" and
      so on, paired; `peak_above_random`, the share of the images that lose more probability by the peak than
      on average at random; `change`: place -> mean absolute change of the occluded pixels. Measures are
      "probability" and "log_probability"; `interval` is None as in `mean_intervals`.
    """

    def part(chosen: np.ndarray) -> dict[str, Any]:
        return _part(measured, chosen, groups, resamples, seed)

    shares = {place: float(values.mean()) for place, values in measured.shares().items()}
    return {
        "num_images": len(measured.rows),
        "hidden_share": shares["peak"],
        "hidden_shares": shares,
        "intervals_over": interval_unit(groups, resamples),
        "resamples": resamples,
        "overall": part(np.ones(len(measured.rows), bool)),
        "per_class": {
            class_names[c]: part(measured.labels == c) for c in np.unique(measured.labels)
        },
    }  # fmt: skip


def mean_intervals(
    values: Mapping[str, np.ndarray], groups: np.ndarray | None, *, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Means and their intervals: 95 % percentiles over resampled groups, or images where there are none.

    Args:
      values: name -> `[n]`; all are resampled together.
      groups: `[n]` or None.
      resamples: number of bootstrap resamples; 0: no intervals.
      seed: of the resampling.

    Returns:
      name -> `{mean, interval}`; `interval` is None where `bootstrap_intervals` gives none, and with fewer
      than `MIN_IMAGES` images that are drawn one by one.
    """
    count = len(next(iter(values.values())))
    intervals: Mapping[str, Any] = {}
    if groups is not None or count >= MIN_IMAGES:
        intervals = bootstrap_intervals(
            lambda weights: {name: weights @ column / weights.sum(1) for name, column in values.items()},
            count,
            groups=groups,
            resamples=resamples,
            seed=seed,
        )
    return {
        name: {"mean": float(column.mean()), "interval": intervals.get(name)}
        for name, column in values.items()
    }


def _part(
    measured: Measured, chosen: np.ndarray, groups: np.ndarray | None, resamples: int, seed: int
) -> dict[str, Any]:
    own_groups = None if groups is None else groups[chosen]
    result: dict[str, Any] = {
        "num_images": int(chosen.sum()),
        "probability": float(np.exp(measured.before[chosen]).mean()),
        "loss": {},
        "difference": {},
        "change": {place: float(v[chosen].mean()) for place, v in measured.changes().items()},
    }
    for measure in ("probability", "log_probability"):
        values = measured.losses(logarithm=measure == "log_probability")
        losses = {place: loss[chosen] for place, loss in values.items()}
        pairs = {f"{a} - {b}": losses[a] - losses[b] for a, b in PAIRS}
        entries = mean_intervals(losses | pairs, own_groups, resamples=resamples, seed=seed)
        result["loss"][measure] = {place: entries[place] for place in losses}
        result["difference"][measure] = {pair: entries[pair] for pair in pairs}
        if measure == "probability":
            result["peak_above_random"] = float((losses["peak"] > losses["random"]).mean())
    return result


def sentence(report: Mapping[str, Any]) -> str:
    """The main result in words, and whether its interval is by too few resamples."""
    overall = report["overall"]
    loss = {place: three(entry["mean"]) for place, entry in overall["loss"]["probability"].items()}
    entry = overall["difference"]["probability"]["peak - random"]
    difference = _with_interval(entry)
    if three(float(loss["peak"]) - float(loss["random"])) != three(entry["mean"]):
        difference = f"before rounding {difference}"
    few = few_resamples(report["resamples"]) if entry["interval"] is not None else ""
    remark = f" {few.capitalize()}." if few else ""
    return (
        f"{report['num_images']} images: hiding what the top peak would hide costs the true class "
        f"{loss['peak']} of its probability, the same region at random {loss['random']} (difference "
        f"{difference}), in the middle {loss['centre']}, where Grad-CAM of the true class is highest "
        f"{loss['gradcam']}.{remark}"
    )


def _with_interval(entry: Mapping[str, Any]) -> str:
    if entry["interval"] is None:
        return three(entry["mean"])
    return f"{three(entry['mean'])} [{three(entry['interval'][0])}, {three(entry['interval'][1])}]"


def three(value: float) -> str:
    """With three digits behind the point; never -0.000."""
    return f"{round(value, 3) + 0.0:.3f}"


def write_faithfulness(
    folder: Path,
    report: Mapping[str, Any],
    measured: Measured,
    names: Sequence[str],
    class_names: Sequence[str],
) -> None:
    """Writes `faithfulness.json`, and `faithfulness.csv` with a row for each image.

    Args:
      folder: to write to.
      report: the content of `faithfulness.json`: what `summarise` gives and how it was measured.
      measured: the images.
      names: of all images; `measured.rows` are indices into it.
      class_names: name of every class.
    """
    write_json(folder / FAITHFULNESS[0], {**report, "notice": NOTICE})
    losses, shares = measured.losses(logarithm=False), measured.shares()["peak"]
    with atomic_text(folder / FAITHFULNESS[1]) as file:
        writer = CsvWriter(file)
        columns = [f"loss_{place}" for place in losses]
        writer.writerow(["path", "true", "probability", "hidden_share", *columns])
        for number, row in enumerate(measured.rows):
            values = [np.exp(measured.before[number]), shares[number]]
            values += [loss[number] for loss in losses.values()]
            true = class_names[measured.labels[number]]
            writer.writerow([names[row], true, *(f"{value:.6f}" for value in values)])


class Shown(NamedTuple):
    """One image on the page."""

    explanation: Explanation
    file: str
    """Its PNG file, relative to the page."""


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainPage:
    """What the page of explanations shows.

    Attributes:
      shown: the images, in order.
      classes: of the run, in its order.
      title: what was explained.
      facts: sentences on what was done.
      report: what `faithfulness.json` holds, or None.
      means: class -> the means of its images, in display order.
      alignments: of the layer's map first, of Grad-CAM's last.
      example: the image whose way through the layer is shown; None where the run has no such layer.
      bad: (name, reason) of images that could not be read.
      guessed: whether `means` has some images under the predicted class, as their true one is not known.
    """

    shown: Sequence[Shown]
    classes: Sequence[CellClass]
    title: str
    facts: Sequence[str]
    report: Mapping[str, Any] | None
    means: Mapping[int, ClassMaps]
    alignments: Sequence[Alignment]
    example: Explanation | None
    bad: Sequence[tuple[str, str]]
    guessed: bool


def write_page(path: Path, page: ExplainPage) -> None:
    """Writes `page` to `path`: one file that needs nothing but itself; no script, no request."""
    layer, report, means = page.example is not None, page.report, page.means
    what = "self-attention" if layer else "activation"
    text = environment("asae_jax.inference.explain", _FILTERS).get_template("page.html").render(
        title=page.title,
        notice=NOTICE,
        facts=page.facts,
        layer=layer,
        side=SIDE,
        where=answers.where(means, page.alignments, layer=layer),
        report=report,
        needed=None if report is None else answers.is_needed(report),
        middle="" if report is None else answers.against_the_middle(report),
        order=[page.classes[label].code for label in display_order(page.classes)],
        of_classes=[] if report is None else answers.by_class(report, page.classes),
        means=[
            (
                page.classes[label].title,
                of_class.count,
                _uris(class_panels(of_class, means, page.alignments, what=what)),
            )
            for label, of_class in means.items()
        ],
        guessed=page.guessed,
        example=page.example and (page.example.name, _uris(layer_panels(page.example))),
        images=[_article(one, page.classes, layer) for one in page.shown],
        bad=page.bad,
    )  # fmt: skip
    write_text(path, text)


def _signed(value: float) -> str:
    """With its sign and three digits; zero has no sign."""
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", MINUS)


def percent(share: float) -> str:
    """ "82 %", halves up; ">99 %" for what is not certain: as `rounded` on the page of `predict`."""
    return f"{'>99' if 0.995 <= share < 1 else math.floor(100 * share + 0.5)}\N{NO-BREAK SPACE}%"


def _place(difference: float) -> str:
    """Where a difference of probability lies on an axis from -1 to 1, as a CSS percentage."""
    return f"{50 + 50 * max(-1.0, min(difference, 1.0)):.1f}%"


MINUS = "\N{MINUS SIGN}"

_FILTERS: dict[str, Callable] = {
    "three": lambda value: three(value).replace("-", MINUS),
    "signed": _signed,
    "percent": percent,
    "points": lambda share: f"{100 * share:.1f} %",
    "place": _place,
}
_QUALITY = 85
"""Of the panels as JPEG."""


def _uris(panels: Sequence[Panel]) -> list[tuple[str, str]]:
    return [(panel.caption, jpeg_uri(panel.picture, quality=_QUALITY)) for panel in panels]


def _article(one: Shown, classes: Sequence[CellClass], layer: bool) -> dict[str, Any]:
    explanation = one.explanation
    names = tuple(each.code for each in classes)
    return {
        "name": explanation.name,
        "file": one.file,
        "true": classes[explanation.label].title if explanation.known else "",
        "predicted": classes[explanation.predicted].title,
        "wrong": explanation.known and explanation.label != explanation.predicted,
        "probability": float(explanation.probabilities.max()),
        "true_probability": float(explanation.probabilities[explanation.label]) if explanation.known else 0.0,
        "panels": _uris(panels(explanation, names, layer=layer)),
    }
