"""Pictures of a run: confusion matrix, scores per class, training curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display on the machines that train
import matplotlib.pyplot as plt
import numpy as np

NOTICE = "For research, not a diagnosis."


def plot_confusion(scores: Mapping[str, Any], path: Path, *, title: str) -> None:
    """Row-normalised confusion matrix (rows true) with counts, from the dict of an evaluation."""
    counts = np.asarray(scores["confusion_matrix"])
    names = scores["class_names"]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(4.5, 0.55 * len(names) + 2)
    figure, axes = plt.subplots(figsize=(side, side), layout="constrained")
    axes.imshow(shares, cmap="Purples", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        dark = shares[row, column] > 0.55
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=8,
                  color="white" if dark else "black")  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    save(figure, path)


def plot_per_class(scores: Mapping[str, Any], path: Path, *, title: str) -> None:
    """Precision, recall and F1 of every class as bars, its number of examples beside the name."""
    per_class = scores["per_class"]
    rows = np.arange(len(per_class))
    figure, axes = plt.subplots(figsize=(7, max(3, 0.42 * len(rows) + 1.2)), layout="constrained")
    for offset, (field, colour) in enumerate(zip(("precision", "recall", "f1"), _COLOURS, strict=True)):
        values = [entry[field] for entry in per_class.values()]
        axes.barh(rows + 0.26 * (offset - 1), values, height=0.24, label=field, color=colour)
    axes.set_yticks(rows, [f"{name} ({entry['support']})" for name, entry in per_class.items()])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), title=title)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3, frameon=False)
    save(figure, path)


def plot_curves(
    training: Sequence[Mapping[str, float]], validation: Sequence[Mapping[str, float]], path: Path
) -> None:
    """Loss, scores and learning rate over epochs, from the records of `metrics.jsonl`."""
    figure, (loss, score, rate) = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    _line(loss, training, "loss", "training", _COLOURS[0])
    _line(score, training, "accuracy", "training accuracy", _COLOURS[0])
    _line(loss, validation, "nll", "validation NLL", _COLOURS[1])
    _line(score, validation, "accuracy", "validation accuracy", _COLOURS[1])
    _line(score, validation, "macro_f1", "validation macro-F1", _COLOURS[2])
    _line(rate, training, "learning_rate", "learning rate", _COLOURS[0])
    score.set_ylim(0, 1)
    for axes in (loss, score, rate):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    save(figure, path)


_COLOURS = ("#7b4fa3", "#d1495b", "#2a9d8f")


def _line(axes: Any, records: Sequence[Mapping[str, float]], field: str, label: str, colour: str) -> None:
    axes.plot([r["epoch"] for r in records], [r[field] for r in records], label=label, color=colour,
              marker="." if len(records) < 80 else None)  # fmt: skip


def save(figure: Any, path: Path) -> None:
    """Writes `figure` as PNG with the notice below it, and frees it."""
    figure.supxlabel(NOTICE, fontsize=7, color="grey")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
