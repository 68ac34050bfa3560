"""What a fitted `Trust` gives on a set of labelled images: numbers for the file, sentences for the reader."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from asae_jax.trust import (
    Judgement,
    Trust,
    measure_reliability,
    risk_coverage,
    soften,
    wilson_interval,
)
from asae_jax.trust.temperature import LIMITS

FEW = 200
"""Validation images below which a share of 5 % is known to no better than 3 points (95 % interval)."""


class Part(NamedTuple):
    """A scored part of the data.

    Attributes:
      logits: float32 `[N, classes]`.
      features: float32 `[N, channels]`.
      labels: int32 `[N]`.
    """

    logits: np.ndarray
    features: np.ndarray
    labels: np.ndarray


def measured(trust: Trust, part: Part) -> dict[str, Any]:
    """How `trust` does on `part`; shares are 0..1 with their 95 % Wilson intervals over images."""
    judged = trust.apply(part.logits, part.features)
    right = judged.probabilities.argmax(1) == part.labels
    return {
        "num_images": len(part.labels),
        "reliability": {
            "uncalibrated": _reliability(part, 1.0),
            "calibrated": _reliability(part, trust.temperature.value),
        },
        "risk_coverage_area": risk_coverage(judged.probabilities.max(1), right).area,
        "error_of_all": _share(~right),
        "labelled": _share(~judged.abstain),
        "error_of_labelled": _share(~right[~judged.abstain]),
        "sets_with_the_true_class": _share(judged.sets[np.arange(len(right)), part.labels]),
        "set_size": float(judged.sets.sum(1).mean()),
        "sets_with_the_true_class_of": _per_class(trust, judged, part.labels),
        "outliers": None if judged.is_ood is None else _share(judged.is_ood),
    }


def caveats(trust: Trust, validation: Part, *, chosen_on_it: bool, grouped: bool) -> list[str]:
    """What a reader must know before relying on the numbers, in plain sentences.

    Args:
      trust: what was fitted on `validation`.
      validation: the validation part.
      chosen_on_it: the checkpoint was, too.
      grouped: several images come from one slide or patient.
    """
    count, said = len(validation.labels), []
    if count < FEW:
        said.append(f"Only {count} validation images: read every number with its interval.")
    counts = np.bincount(validation.labels, minlength=len(trust.class_names))
    if missing := [name for name, n in zip(trust.class_names, counts, strict=True) if n == 0]:
        said.append(f"No validation image of {', '.join(missing)}: nothing is known of these classes.")
    if {trust.temperature.low, trust.temperature.high} & set(LIMITS):
        said.append("The temperature ended at its limit: these images do not determine it.")
    elif trust.temperature.low < 1 < trust.temperature.high:
        said.append("A temperature of 1, no calibration, lies within the interval: it may not help.")
    if trust.abstention.coverage == 0:
        said.append(
            f"No threshold keeps errors at {_percent(trust.abstention.target_error)} surely enough: every "
            "image is left to a person (fewer with a higher --config.trust.target_error, or more images)."
        )
    if count < (needed := math.ceil(1 / trust.conformal.error - 1)):
        said.append(f"Sets that miss {_percent(trust.conformal.error)} need at least {needed} images.")
    if count * (1 - trust.outliers.quantile) < 1:
        said.append("The threshold for outliers is the strangest validation image itself.")
    if chosen_on_it:
        said.append("The checkpoint was chosen on the same validation images, which flatters them a little.")
    if grouped:
        said.append("Intervals take images as independent; those of one slide or patient are not.")
    said.append("Everything holds for images of the same laboratory, stain and camera only.")
    return said


def summary(trust: Trust, record: Mapping[str, Any]) -> str:
    """The main numbers in a few lines, the test part's where it was measured, and the caveats."""
    name = "test" if "test" in record["measured"] else "validation"
    shown = record["measured"][name]
    before, after = shown["reliability"]["uncalibrated"], shown["reliability"]["calibrated"]
    temperature, target = trust.temperature, trust.abstention.target_error
    lines = [
        f"trust, from {trust.num_examples} validation images, on {shown['num_images']} {name} images:",
        f"  temperature {temperature.value:.2f} [{temperature.low:.2f}, {temperature.high:.2f}]: "
        f"ECE {before['ece']:.3f} -> {after['ece']:.3f}, NLL {before['nll']:.3f} -> {after['nll']:.3f}",
        f"  for at most {_percent(target)} errors: {_said(shown['labelled'])} of the images labelled, "
        f"{_said(shown['error_of_labelled'])} of them wrong (of all: {_said(shown['error_of_all'])})",
        f"  sets that should hold the true class in {_percent(1 - trust.conformal.error)}: in "
        f"{_said(shown['sets_with_the_true_class'])}, {shown['set_size']:.1f} classes on average",
        f"  unlike the training images: {_said(shown['outliers'])} flagged",
    ]
    return "\n".join([*lines, *(f"  {sentence}" for sentence in record["caveats"])])


def _reliability(part: Part, temperature: float) -> dict[str, float]:
    return dataclasses.asdict(measure_reliability(soften(part.logits, temperature), part.labels))


def _share(chosen: np.ndarray) -> dict[str, Any]:
    hits, total = int(chosen.sum()), len(chosen)
    low, high = wilson_interval(hits, total)
    return {"count": hits, "of": total, "share": hits / total if total else None, "interval": [low, high]}


def _per_class(trust: Trust, judged: Judgement, labels: np.ndarray) -> dict[str, dict[str, Any]]:
    return {
        name: _share(judged.sets[labels == number, number]) for number, name in enumerate(trust.class_names)
    }


def _said(share: Mapping[str, Any]) -> str:
    if share["share"] is None:
        return "none"
    low, high = share["interval"]
    return f"{_percent(share['share'])} [{_percent(low)}, {_percent(high)}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
