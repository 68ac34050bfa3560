"""Calibration and abstention on the page: reliability diagrams, and errors over the share labelled."""

from collections.abc import Mapping
from typing import Any

from asae_jax.evaluation.abstention import NEVER
from asae_jax.evaluation.page.charts import Axis, Marks, Series, draw
from asae_jax.evaluation.page.curves import Chart

Measured = Mapping[str, Any]
"""What `uncertainty_report.measured` says of a part."""


def charts(
    parts: Mapping[str, Measured], *, temperature: float, target: float, threshold: float
) -> list[Chart]:
    """The diagrams of a run's estimates; empty where the files are of a version that did not record them.

    Args:
      parts: name of each part -> what was measured on it; the last is the one to rely on.
      temperature: that the probabilities are divided by; 1 where none is applied.
      target: promised share of errors among the labelled.
      threshold: least probability of what is labelled.
    """
    name, shown = [*parts.items()][-1]
    if "reliability_diagram" not in shown:
        return []
    diagrams = [_reliability(shown, name, "uncalibrated", "as trained")]
    if temperature != 1:
        diagrams.append(_reliability(shown, name, "calibrated", f"at temperature {temperature:.2f}"))
    return [*diagrams, _risk(parts, target, threshold)]


def tiles(found: Measured) -> list[tuple[str, Mapping[str, Any]]]:
    """What a page says at its head of the part that it shows: text and share, of those that are known.

    Args:
      found: of that part. Files of earlier versions hold what the threshold alone would label, and not what
        is labelled by itself: neither uncertain nor an outlier.
    """
    shares = [
        ("labelled by itself, percent", found["labelled_without_a_person"])
        if "labelled_without_a_person" in found
        else ("its threshold alone would label, percent", found["labelled"]),
        ("unlike the training cells, percent", found.get("outliers")),
    ]
    return [(text, share) for text, share in shares if share is not None and share["share"] is not None]


def _reliability(shown: Measured, name: str, kind: str, how: str) -> Chart:
    bins, scores = shown["reliability_diagram"][kind], shown["reliability"][kind]
    confidence = [one["confidence"] for one in bins]
    accuracy = [one["accuracy"] for one in bins]
    style = 1 if kind == "uncalibrated" else 2
    series = Series(
        f"{name} images, with 95 % intervals",
        confidence,
        accuracy,
        style,
        dots=True,
        ranges=[one["interval"] for one in bins],
    )
    told = "; ".join(
        f"{100 * c:.0f} percent said, {100 * a:.0f} right" for c, a in zip(confidence, accuracy, strict=True)
    )
    drawing = draw(
        Axis("probability of the predicted class, percent", 0.0, 1.0, percent=True),
        Axis("right, percent", 0.0, 1.0, percent=True),
        [series],
        Marks(diagonal=True),
        said=f"Reliability diagram, {how}: {told}",
    )
    note = (
        f"Calibration error {scores['ece']:.3f}, NLL {scores['nll']:.3f}, Brier score {scores['brier']:.3f}. "
        "On the dotted line what is given 80 % is right 80 times in 100; below it the network is too sure, "
        "above it not sure enough."
    )
    return Chart(f"Probabilities {how}", drawing, note)


def _risk(parts: Mapping[str, Measured], target: float, threshold: float) -> Chart:
    series, spots, told = [], [], []
    for style, (name, part) in zip((2, 1)[-len(parts) :], parts.items(), strict=True):
        curve = part["risk_coverage"]
        series.append(
            Series(f"{name} ({part['num_images']:,} images)", curve["coverage"], curve["risk"], style)
        )
        labelled, wrong = part["labelled"]["share"], part["error_of_labelled"]["share"]
        if wrong is not None:
            spots.append((labelled, wrong, style))
            told.append(
                f"{name}: {100 * labelled:.1f} percent labelled, {100 * wrong:.1f} percent of them wrong"
            )
    high = max([2 * target, *(value for one in series for value in one.y)])
    drawing = draw(
        Axis("labelled by the network, the surest first, percent", 0.0, 1.0, percent=True),
        Axis("wrong among these, percent", 0.0, 1.05 * high, percent=True),
        series,
        Marks(level=(target, f"promised: at most {100 * target:g} %"), spots=spots),
        said="Errors over the share labelled. At the chosen threshold "
        + ("; ".join(told) or "nothing is labelled"),
    )
    chosen = f"The spots are at the chosen threshold, a probability of {threshold:.3f}"
    if not spots and threshold < NEVER:
        chosen = f"None of these images reaches the threshold of {threshold:.3f}: all are left to a person"
    elif not spots:
        chosen = "No threshold keeps the promise: every image is left to a person"
    return Chart(
        "What a threshold would label, and how often wrongly",
        drawing,
        f"{chosen}. To the left the rest is left to a person; cells unlike the training cells are left to a "
        "person as well, and are counted here.",
    )
