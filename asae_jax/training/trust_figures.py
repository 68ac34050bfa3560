"""Pictures of `trust/`: the reliability diagram and the risk-coverage curve."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from asae_jax.training import figures
from asae_jax.training.trust_report import Part
from asae_jax.trust import (
    Trust,
    measure_reliability,
    reliability_bins,
    risk_coverage,
    soften,
    wilson_interval,
)

_COLOURS = {"validation": "#7b4fa3", "test": "#d1495b"}
_BINS = 10  # fewer than the score's 15: a bin must hold enough images to be looked at


def plot_reliability(trust: Trust, parts: Mapping[str, Part], path: Path) -> None:
    """Accuracy over confidence, before and after calibration, on the test part where there is one."""
    name = "test" if "test" in parts else "validation"
    part = parts[name]
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), sharey=True, layout="constrained")
    for panel, temperature in zip(axes, (1.0, trust.temperature.value), strict=True):
        log_probs = soften(part.logits, temperature)
        _diagram(panel, np.exp(log_probs), part.labels)
        scores = measure_reliability(log_probs, part.labels)
        panel.set_title(
            f"{'as trained' if temperature == 1 else f'temperature {temperature:.2f}'}: "
            f"ECE {scores.ece:.3f}, NLL {scores.nll:.3f}, Brier {scores.brier:.3f}",
            fontsize=9,
            pad=16,
        )
    axes[0].set_ylabel("share that is right")
    figure.suptitle(
        f"{len(part.labels)} {name} images; temperature from {trust.num_examples} validation images; "
        "bars: 95 % intervals, above: images",
        fontsize=10,
    )
    figures.save(figure, path)


def plot_risk_coverage(trust: Trust, parts: Mapping[str, Part], path: Path) -> None:
    """Errors among the labelled images over the share labelled; a dot where the threshold lies."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for name, colour in _COLOURS.items():
        if name in parts:
            _curve(axes, trust, name, parts[name], colour)
    target = trust.abstention.target_error
    axes.axhline(target, color="grey", linestyle=":", linewidth=1)
    axes.text(0.01, target, f" wanted: {100 * target:g} %", va="bottom", fontsize=8, color="grey")
    axes.set(xlim=(0, 1.02), ylim=(0, None), xlabel="share of images labelled, the most certain first",
             ylabel="share of these that is wrong")  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 1.14), ncols=2)
    figures.save(figure, path)


def _diagram(panel: Any, probabilities: np.ndarray, labels: np.ndarray) -> None:
    bins = reliability_bins(probabilities.max(1), probabilities.argmax(1) == labels, num_bins=_BINS)
    filled = bins.examples > 0
    count, confidence, accuracy = bins.examples[filled], bins.confidence[filled], bins.accuracy[filled]
    ends = np.array([wilson_interval(round(a * n), int(n)) for a, n in zip(accuracy, count, strict=True)])
    panel.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    panel.errorbar(confidence, accuracy, yerr=np.abs(ends.T - accuracy), fmt="o-", color=_COLOURS["test"],
                   ecolor="#e8a4ac", markersize=4)  # fmt: skip
    for x, n in zip(confidence, count, strict=True):
        panel.text(x, 1.015, f"{int(n)}", ha="center", fontsize=7, color="grey")
    panel.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the predicted class")
    panel.set_aspect("equal")
    panel.grid(alpha=0.3)


def _curve(axes: Any, trust: Trust, name: str, part: Part, colour: str) -> None:
    judged = trust.apply(part.logits, part.features)
    wrong = judged.probabilities.argmax(1) != part.labels
    curve = risk_coverage(judged.probabilities.max(1), ~wrong)
    label = f"{name} ({len(wrong)} images), area {curve.area:.3f}"
    axes.plot(curve.coverage, curve.risk, color=colour, label=label)
    labelled = ~judged.abstain
    if labelled.any():
        axes.plot(labelled.mean(), wrong[labelled].mean(), "o", color=colour)
