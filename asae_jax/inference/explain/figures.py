"""PNG files: one image's panels side by side, the layer as in the paper's Fig. 3, means of each class."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from asae_jax.inference.alignment import Grid
from asae_jax.inference.explain import panels
from asae_jax.inference.explain.averages import ClassMaps
from asae_jax.inference.explain.explanation import Explanation
from asae_jax.training.figures import save

_PER_BLOCK = 11  # classes side by side in the figure of averages
_HEAT = "inferno"


def plot_panels(shown: Sequence[panels.Panel], path: Path, *, title: str) -> None:
    """The panels of one image in a row."""
    # Laid out by hand: Matplotlib's own layout takes longer than everything else.
    space = {"left": 0.005, "right": 0.995, "bottom": 0.11, "top": 0.73, "wspace": 0.04}
    size = (1.6 * len(shown), 2.45)
    figure, axes = plt.subplots(1, len(shown), figsize=size, gridspec_kw=space)
    for panel, one in zip(axes, shown, strict=True):
        panel.imshow(one.picture)
        panel.set_title(_wrapped(one.caption), fontsize=7)
        panel.axis("off")
    figure.suptitle(_plain(title), fontsize=9)
    save(figure, path)


def plot_layer(explanation: Explanation, path: Path, *, title: str) -> None:
    """The way of one image through the layer: the paper's Fig. 3, with the top peak chosen."""
    attention, kept = explanation.attention, ~explanation.regions[0]
    figure, grid = plt.subplots(
        2, 5, figsize=(11.5, 5.2), gridspec_kw={"wspace": 0.35, "hspace": 0.3, "top": 0.86, "bottom": 0.07}
    )
    (image, middle, peaks, mask, suppressed), (*unused, enhancement, enhanced) = grid
    for axes in unused:
        axes.set_visible(False)
    scale = {"cmap": _HEAT, "vmin": float(attention.min()), "vmax": float(attention.max())}
    _show(image, panels.enlarged(explanation.image), "input image")
    _show(middle, attention, "self-attention map\n(mean over channels)", **scale)
    _show(peaks, attention, "peak distribution\n(local maxima, by rank)", **scale)
    for rank, (row, col) in enumerate(explanation.peaks):
        peaks.text(col, row, rank + 1, ha="center", va="center", fontsize=9, color="black",
                   bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "linewidth": 0.5})  # fmt: skip
    _show(mask, kept, "AS: suppression mask\n(region of peak 1)", cmap="gray", vmin=0, vmax=1)
    _show(suppressed, attention * kept, "suppressed features\n(mean over channels)", **scale)
    values = explanation.enhancement
    _show(enhancement, values, f"AE: enhancement map\n{values.min():.2f} to {values.max():.2f}", cmap=_HEAT)
    _show(enhanced, attention * values, "enhanced features\n(mean over channels)", cmap=_HEAT)
    ways = [(image, middle), (middle, peaks), (peaks, mask), (mask, suppressed), (enhancement, enhanced)]
    for start, end in ways:
        _arrow(figure, start, end)
    _arrow(figure, middle, enhancement, bent=True)
    figure.suptitle(_plain(title), fontsize=10)
    save(figure, path)


def plot_class_maps(
    averages: Mapping[int, ClassMaps], class_names: Sequence[str], grids: Sequence[Grid], path: Path
) -> None:
    """A column per class: mean image, mean self-attention, where the top peak lies, mean Grad-CAM.

    Args:
      averages: by class.
      class_names: of the run.
      grids: where the cells of the layer's map, and last those of Grad-CAM's, lie.
      path: where to.
    """
    labels = list(averages)
    blocks = [labels[i : i + _PER_BLOCK] for i in range(0, len(labels), _PER_BLOCK)]
    width = max(len(block) for block in blocks)
    figure, grid = plt.subplots(
        4 * len(blocks), width, figsize=(1.25 * width + 1.3, 5.6 * len(blocks)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    attentions = [average.attention for average in averages.values()]
    low, high = float(np.min(attentions)), float(np.max(attentions))
    for number, block in enumerate(blocks):
        rows = grid[4 * number : 4 * number + 4]
        for axes in rows.flat:
            axes.axis("off")
        for column, label in zip(rows.T, block, strict=False):
            _class_column(column, averages[label], class_names[label], grids, (low, high))
        for axes, text in zip(rows[:, 0], _ROWS, strict=True):
            axes.text(-0.12, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=7)
    figure.suptitle(f"Means over the images of each class; self-attention from {low:.2f} to {high:.2f}",
                    fontsize=9)  # fmt: skip
    save(figure, path)


_ROWS = (
    "image",
    "self-attention\n(one scale)",
    "share of images\nwith the top\npeak there",
    "Grad-CAM\nof the class,\nlast stage",
)


def _class_column(
    column: Any, average: ClassMaps, name: str, grids: Sequence[Grid], scale: tuple[float, float]
) -> None:
    image, attention, peak, cam = column
    image.imshow(average.image.round().astype(np.uint8))
    image.set_title(f"{_plain(name)}\n{average.count}", fontsize=7)
    side = panels.SIDE
    attention.imshow(grids[0].on_image(average.attention, side), cmap=_HEAT, vmin=scale[0], vmax=scale[1])
    peak.imshow(grids[0].on_image(average.top_peak, side), cmap="Purples", vmin=0)
    cam.imshow(grids[-1].on_image(average.grad_cam, side, smooth=True), cmap=_HEAT, vmin=0, vmax=1)


def _show(axes: Any, picture: np.ndarray, title: str, **options: Any) -> None:
    axes.imshow(picture, **options)
    axes.set_title(title, fontsize=8)
    axes.set(xticks=[], yticks=[])


def _arrow(figure: Any, start: Any, end: Any, *, bent: bool = False) -> None:
    """An arrow between two panels, from the right or, bent, from below."""
    style = {"arrowstyle": "-|>", "color": "#7b4fa3", "linewidth": 1.5}
    if bent:
        style["connectionstyle"] = "angle,angleA=-90,angleB=0"
    end.annotate(
        "",
        xy=(-0.04, 0.5),
        xycoords=end.transAxes,
        xytext=(0.5, -0.04) if bent else (1.04, 0.5),
        textcoords=start.transAxes,
        arrowprops=style,
        annotation_clip=False,
    )


def _wrapped(caption: str, width: int = 24) -> str:
    """A caption in lines of about `width` characters."""
    lines = [""]
    for word in _plain(caption).split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text for Matplotlib: dollars would start a formula, and a file name need not be Unicode."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("$", r"\$")
