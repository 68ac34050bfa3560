"""What a reader asks first: where does the network look, is that needed, and for which classes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asae_jax.evaluation.bootstrap import MIN_GROUPS, NOT_DRAWN
from asae_jax.inference.alignment import Alignment
from asae_jax.inference.explain.explanations import ClassMaps
from asae_jax.input.cell_classes import CellClass

_FINE = 192  # pixels of a side at which a smooth map is summed


class Verdict(NamedTuple):
    """An answer with its colour: "good" for yes, "bad" for no, "open" where it cannot be told."""

    colour: str
    text: str


class OfClass(NamedTuple):
    """What hiding costs the images of one class."""

    title: str
    images: int
    peak: float
    """Probability of the true class lost by hiding the region of the top peak."""
    random: float
    """The same at random places."""
    difference: Mapping[str, Any]
    """`mean` and `interval` of peak minus random."""
    verdict: Verdict


def where(means: Mapping[int, ClassMaps], alignments: Sequence[Alignment], *, layer: bool) -> str:
    """How often the network looks at the middle of the picture, in a sentence or two.

    Args:
      means: class -> its means, at least one.
      alignments: of the layer's map first, of Grad-CAM's last.
      layer: whether the run has the layer.
    """
    counts = np.array([one.count for one in means.values()])
    count = int(counts.sum())
    peaks = np.tensordot(counts, [one.top_peak for one in means.values()], 1) / count
    middle = _middle(alignments[0].centres / alignments[0].size)
    pixels = _middle((np.arange(_FINE) + 0.5) / _FINE)
    drawn = [alignments[-1].on_image(one.grad_cam, _FINE, smooth=True) for one in means.values()]
    cams = np.tensordot(counts, drawn, 1)
    highest = "self-attention" if layer else "activation"
    text = (
        f"In {_percent(peaks[middle].sum())} of {count:,} images the highest {highest} lies in the middle, a "
        f"square of half the picture's side, where a centred cell lies; {_percent(middle.mean())} of the "
        "map's positions are there."
    )
    if cams.sum() > 0:
        share = _percent(cams[pixels].sum() / cams.sum())
        text += f" Of Grad-CAM's weight {share} is there, on {_percent(pixels.mean())} of the area."
    return text


def _middle(places: np.ndarray) -> np.ndarray:
    """Which of the squares with these centres along a side, 0..1, lie in the middle: bool `[n, n]`."""
    inside = (places >= 0.25) & (places <= 0.75)
    return inside[:, None] & inside[None, :]


def is_needed(report: Mapping[str, Any]) -> Verdict:
    """Whether hiding the region of the top peak costs more than hiding as much at random.

    Args:
      report: as from `report.summarise`.
    """
    return _verdict(
        report["overall"]["difference"]["probability"]["peak - random"],
        yes="Yes: hiding it costs the true class more than hiding as much elsewhere.",
        no="No: hiding as much elsewhere costs the true class more.",
        undecided="These images cannot tell: the interval of the difference holds zero.",
        few=f"These images cannot tell: {_no_interval(report['intervals_over'])}.",
    )


def _no_interval(over: str) -> str:
    """Why there is no interval, of what it would be over (`bootstrap.interval_unit`)."""
    if over == f"none: fewer than {MIN_GROUPS} groups":
        return f"they are of fewer than {MIN_GROUPS} patients or slides, and more images of these do not help"
    if over == NOT_DRAWN:
        return "no intervals were asked for (eval.bootstrap=0)"
    return "they are too few for an interval, or all alike"


def against_the_middle(report: Mapping[str, Any]) -> str:
    """Whether hiding the region costs more than hiding as much in the middle, where a centred cell lies."""
    difference = report["overall"]["difference"]["probability"]["peak - centre"]
    middle = "than hiding as much in the middle"
    more = "less" if difference["mean"] < 0 else "more"
    if difference["interval"] is None:
        return f"That is {more if difference['mean'] else 'no more'} {middle}; there is no interval."
    low, high = difference["interval"]
    return f"That is {more if low > 0 or high < 0 else f'not surely {more}'} {middle}."


def by_class(report: Mapping[str, Any], classes: Sequence[CellClass]) -> list[OfClass]:
    """Of each class what hiding costs it, the class that loses most first.

    Args:
      report: as from `report.summarise`.
      classes: all classes of the run.
    """
    titles = {one.code: one.title for one in classes}
    lines = []
    for name, part in report["per_class"].items():
        loss = part["loss"]["probability"]
        difference = part["difference"]["probability"]["peak - random"]
        verdict = _verdict(
            difference, yes="needed", no="elsewhere more", undecided="not shown", few="no interval"
        )
        means = (loss["peak"]["mean"], loss["random"]["mean"])
        lines.append(OfClass(titles[name], part["num_images"], *means, difference, verdict))
    return sorted(lines, key=lambda line: -line.difference["mean"])


def _verdict(difference: Mapping[str, Any], *, yes: str, no: str, undecided: str, few: str) -> Verdict:
    if difference["interval"] is None:
        return Verdict("open", few)
    low, high = difference["interval"]
    if low > 0:
        return Verdict("good", yes)
    return Verdict("bad", no) if high < 0 else Verdict("open", undecided)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
