"""Figures of a run: confusion matrix, scores per class, training curves, reliability, risk over coverage.

Matplotlib takes most of a second to import, so it is imported when the first figure is drawn.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.evaluation.abstention import Abstention, risk_coverage
from asae_jax.evaluation.calibration import measure_reliability, reliability_bins, soften
from asae_jax.evaluation.metrics import largest_classes, wilson_interval
from asae_jax.files import atomic_binary
from asae_jax.lettering import picture_text, picture_texts, text_width
from asae_jax.pages import NOTICE, colours

_COLOURS = tuple(colours()[name] for name in ("first", "second", "third"))
_TITLE = 100  # letters
_LETTER = 0.085  # inches
RELIABILITY_BINS = 10
"""Of a diagram; fewer than the score's 15, as a bin must hold enough images to be looked at."""


def pyplot() -> Any:
    """`matplotlib.pyplot`, imported now and drawing into memory: machines that train have no display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def plot_confusion(scores: Mapping[str, Any], order: Sequence[int], path: Path, *, title: str) -> None:
    """Row-normalised confusion matrix (rows true) with counts, of `SHOWN_CLASSES` classes at most.

    Args:
      scores: of an evaluation.
      order: numbers of the classes in the order to show them.
      path: of the picture.
      title: above it.
    """
    order, title = _shown(scores, order, title)
    matrix = np.asarray(scores["confusion_matrix"])
    counts, examples = matrix[np.ix_(order, order)], matrix[order].sum(1, keepdims=True)
    names = picture_texts([scores["class_names"][number] for number in order])
    shares = counts / np.maximum(examples, 1)
    side = max(4.5, 0.55 * len(names) + max(2.0, 1.0 + _LETTER * max(map(text_width, names))))
    figure, axes = pyplot().subplots(figsize=(side, side), layout="constrained")
    axes.imshow(shares, cmap="Purples", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        dark = shares[row, column] > 0.55
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=8,
                  color="white" if dark else "black")  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    figure.suptitle(picture_text(title, most=_TITLE), fontsize=10)
    save(figure, path)


def plot_per_class(scores: Mapping[str, Any], order: Sequence[int], path: Path, *, title: str) -> None:
    """Precision, recall and F1 of classes (`SHOWN_CLASSES` at most), their examples beside their names.

    Args:
      scores: of an evaluation.
      order: numbers of the classes in the order to show them.
      path: of the picture.
      title: above it.
    """
    order, title = _shown(scores, order, title)
    names = [scores["class_names"][number] for number in order]
    per_class = {name: scores["per_class"][name] for name in names}
    rows, names = np.arange(len(per_class)), picture_texts([*per_class])
    across = 6.2 + _LETTER * max(10, *map(text_width, names))
    figure, axes = pyplot().subplots(figsize=(across, max(3, 0.42 * len(rows) + 1.2)), layout="constrained")
    for offset, (field, colour) in enumerate(zip(("precision", "recall", "f1"), _COLOURS, strict=True)):
        values = [entry[field] for entry in per_class.values()]
        axes.barh(rows + 0.26 * (offset - 1), values, height=0.24, label=field, color=colour)
    supports = [entry["support"] for entry in per_class.values()]
    axes.set_yticks(rows, [f"{n} ({s})" for n, s in zip(names, supports, strict=True)])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), title=picture_text(title, most=_TITLE))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3, frameon=False)
    save(figure, path)


def _shown(scores: Mapping[str, Any], order: Sequence[int], title: str) -> tuple[list[int], str]:
    """The classes that there is room for, and a title that says so."""
    shown = largest_classes(scores, order)
    if len(shown) < len(order):
        title = f"{title}: the {len(shown)} largest of {len(order):,} classes"
    return shown, title


def drawn_score(select_by: str, validation: Sequence[Mapping[str, float]]) -> str:
    """The score drawn beside the accuracy: the one that chooses the checkpoint, or else macro-F1.

    Args:
      select_by: the setting `eval.select_by`.
      validation: records of `metrics.jsonl`; earlier versions did not record weighted F1.
    """
    others = select_by in ("balanced_accuracy", "weighted_f1") and all(select_by in one for one in validation)
    return select_by if others else "macro_f1"


def plot_curves(
    training: Sequence[Mapping[str, float]],
    validation: Sequence[Mapping[str, float]],
    path: Path,
    *,
    score: str = "macro_f1",
) -> None:
    """Loss, scores and learning rate over epochs, from the records of `metrics.jsonl`.

    Args:
      training: records of training.
      validation: records of validation.
      path: of the PNG.
      score: drawn beside the accuracy, see `drawn_score`.
    """
    figure, (loss, scores, rate) = pyplot().subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    _line(loss, training, "loss", "training", _COLOURS[0])
    _line(scores, training, "accuracy", "training accuracy", _COLOURS[0])
    _line(loss, validation, "nll", "validation NLL", _COLOURS[1])
    _line(scores, validation, "accuracy", "validation accuracy", _COLOURS[1])
    name = score.replace("_f1", "-F1").replace("_", " ")
    _line(scores, validation, score, f"validation {name}", _COLOURS[2])
    _line(rate, training, "learning_rate", "learning rate", _COLOURS[0])
    scores.set_ylim(0, 1)
    for axes in (loss, scores, rate):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    save(figure, path)


def plot_reliability(
    logits: np.ndarray, labels: np.ndarray, temperature: float, path: Path, *, title: str
) -> None:
    """Reliability diagrams, accuracy over confidence, before and after calibration.

    Args:
      logits: `[N, classes]`, N at least 1.
      labels: int `[N]`.
      temperature: above 0.
      path: of the PNG.
      title: says which images, and what the temperature comes from.
    """
    figure, axes = pyplot().subplots(1, 2, figsize=(9, 4.6), sharey=True, layout="constrained")
    for panel, divisor in zip(axes, (1.0, temperature), strict=True):
        log_probs = soften(logits, divisor)
        _diagram(panel, np.exp(log_probs), labels)
        scores = measure_reliability(log_probs, labels)
        panel.set_title(
            f"{'as trained' if divisor == 1 else f'temperature {divisor:.2f}'}: "
            f"ECE {scores.ece:.3f}, NLL {scores.nll:.3f}, Brier {scores.brier:.3f}",
            fontsize=9,
            pad=16,
        )
    axes[0].set_ylabel("accuracy")
    figure.suptitle(f"{picture_text(title, most=_TITLE)}; bars: 95 % intervals, above: images", fontsize=10)
    save(figure, path)


def plot_risk_coverage(
    parts: Mapping[str, tuple[np.ndarray, np.ndarray]], abstention: Abstention, path: Path
) -> None:
    """Errors among the labelled images over the share labelled; a dot where the threshold lies.

    Args:
      parts: name, at most three -> (confidence `[N]` 0..1, whether the predicted class is right `[N]`).
      abstention: its threshold and target are marked.
      path: of the PNG.
    """
    figure, axes = pyplot().subplots(figsize=(6.4, 4.2), layout="constrained")
    for (name, (confidence, correct)), colour in zip(parts.items(), _COLOURS, strict=False):
        curve = risk_coverage(confidence, correct)
        label = f"{name} ({len(correct)} images), area {curve.area:.3f}"
        axes.plot(curve.coverage, curve.risk, color=colour, label=label)
        labelled = confidence >= abstention.threshold
        if labelled.any():
            axes.plot(labelled.mean(), (~correct[labelled]).mean(), "o", color=colour)
    target = abstention.target_error
    axes.axhline(target, color="grey", linestyle=":", linewidth=1)
    axes.text(0.01, target, f" target: {100 * target:g} %", va="bottom", fontsize=8, color="grey")
    axes.set(xlim=(0, 1.02), ylim=(0, None), xlabel="coverage: share labelled, the most certain images first",
             ylabel="risk: share of errors among these")  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 1.14), ncols=2)
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Writes `figure` as PNG with the notice below it, and frees it."""
    figure.supxlabel(NOTICE, fontsize=7, color="grey")
    with atomic_binary(path) as file:
        figure.savefig(file, dpi=130, format="png")
    pyplot().close(figure)


def _line(axes: Any, records: Sequence[Mapping[str, float]], field: str, label: str, colour: str) -> None:
    axes.plot([r["epoch"] for r in records], [r[field] for r in records], label=label, color=colour,
              marker="." if len(records) < 80 else None)  # fmt: skip


def _diagram(panel: Any, probabilities: np.ndarray, labels: np.ndarray) -> None:
    bins = reliability_bins(
        probabilities.max(1), probabilities.argmax(1) == labels, num_bins=RELIABILITY_BINS
    )
    filled = bins.examples > 0
    count, confidence, accuracy = bins.examples[filled], bins.confidence[filled], bins.accuracy[filled]
    ends = np.array([wilson_interval(round(a * n), int(n)) for a, n in zip(accuracy, count, strict=True)])
    panel.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    panel.errorbar(confidence, accuracy, yerr=np.abs(ends.T - accuracy), fmt="o-", color=_COLOURS[1],
                   ecolor="#e5b48f", markersize=4)  # fmt: skip
    for x, n in zip(confidence, count, strict=True):
        panel.text(x, 1.015, f"{int(n)}", ha="center", fontsize=7, color="grey")
    panel.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the predicted class")
    panel.set_aspect("equal")
    panel.grid(alpha=0.3)
