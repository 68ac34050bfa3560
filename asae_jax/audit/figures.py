"""The paper's figures of its data, from any source: class grid, class distribution, hue before and after."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from asae_jax.input.decode import BadImage
from asae_jax.input.index import DataIndex
from asae_jax.input.preparation import Preparation
from asae_jax.input.sampler import permutation
from asae_jax.lettering import picture_texts, text_width
from asae_jax.pages import NOTICE
from asae_jax.types import HostImage

TILE = 112
"""Side of one image in the figures, pixels."""

_GAP = 4
_PER_CLASS = 4  # rows of Fig. 1
_COLUMNS = 8  # most columns of Fig. 5
_DPI = 100
_PURPLE = "#7b4fa3"


def draw_figures(
    table: DataIndex, readable: np.ndarray, counts: Mapping[str, int], preparation: Preparation, folder: Path
) -> dict[str, str]:
    """Writes the figures as PNG into `folder`.

    Args:
      table: the examples.
      readable: bool `[N]`.
      counts: class name -> number of images.
      preparation: its colour adjustment is shown; where it has none, the paper's.
      folder: an existing folder.

    Returns:
      File name -> caption, in the order of the paper.
    """
    chosen = _choose(table, readable)
    figures = {
        "fig1_classes.png": (
            _grid(table, chosen),
            "Some cells of each class, one column a class (as the paper's Fig. 1).",
        ),
        "fig4_distribution.png": (_bars(counts), "Images per class (as the paper's Fig. 4)."),
        "fig5_colour.png": _before_and_after(table, chosen, preparation),
    }
    for name, (figure, _) in figures.items():
        FigureCanvasAgg(figure).print_png(folder / name)
    return {name: caption for name, (_, caption) in figures.items()}


def montage(rows: Sequence[Sequence[HostImage]], *, gap: int = _GAP) -> np.ndarray:
    """One uint8 picture of rows of square images, uint8 `[side, side, 3]`; shorter rows end in white.

    Args:
      rows: at least one image in all, all of one size.
      gap: pixels between images.
    """
    side = next(len(image) for row in rows for image in row)
    columns = max(map(len, rows))
    height, width = (count * (side + gap) - gap for count in (len(rows), columns))
    sheet = np.full((height, width, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            top, left = y * (side + gap), x * (side + gap)
            sheet[top : top + side, left : left + side] = image
    return sheet


def _choose(table: DataIndex, readable: np.ndarray) -> list[np.ndarray]:
    """For each class up to four of its readable images, drawn at random."""
    chosen = []
    for label in range(table.num_classes):
        members = np.flatnonzero(readable & (table.labels == label))
        chosen.append(members[permutation(len(members), 0, "audit-figures", label)[:_PER_CLASS]])
    return chosen


def _grid(table: DataIndex, chosen: Sequence[np.ndarray]) -> Figure:
    as_is = Preparation(TILE, hue="none")
    white = np.full((TILE, TILE, 3), 255, np.uint8)
    columns = [[_read(table, int(row), as_is, white) for row in rows] for rows in chosen]
    rows = [[column[y] if y < len(column) else white for column in columns] for y in range(_PER_CLASS)]
    centres = np.arange(len(columns)) * (TILE + _GAP) + TILE / 2
    names = picture_texts(table.class_names)
    return _picture(montage(rows), list(zip(centres.tolist(), names, strict=True)), [])


def _before_and_after(
    table: DataIndex, chosen: Sequence[np.ndarray], preparation: Preparation
) -> tuple[Figure, str]:
    firsts = [int(rows[0]) for rows in chosen if len(rows)]
    picked = [firsts[i] for i in np.linspace(0, len(firsts) - 1, min(len(firsts), _COLUMNS)).astype(int)]
    adjusted, what = _adjustment(preparation)
    white = np.full((TILE, TILE, 3), 255, np.uint8)
    rows = [
        [_read(table, row, p, white) for row in picked] for p in (Preparation(TILE, hue="none"), adjusted)
    ]
    labels = [(TILE / 2, "before"), (TILE * 1.5 + _GAP, "after")]
    caption = f"Before (upper row) and after (lower row) {what} (as the paper's Fig. 5)."
    return _picture(montage(rows), [], labels), caption


def _adjustment(preparation: Preparation) -> tuple[Preparation, str]:
    """What Fig. 5 shows, at its size, and its name."""
    p = preparation
    if p.stain != "none":
        return Preparation(TILE, hue="none", stain=p.stain), f"stain normalisation ({p.stain})"
    mode = "paper" if p.hue == "none" else p.hue
    note = ", which is switched off here" if p.hue == "none" else ""
    adjusted = Preparation(TILE, hue=mode, hue_low=p.hue_low, hue_high=p.hue_high)
    return adjusted, f"the hue adjustment ({mode}, {p.hue_low} to {p.hue_high}{note})"


def _read(table: DataIndex, row: int, preparation: Preparation, otherwise: HostImage) -> HostImage:
    try:
        return preparation(table.read(row))
    except BadImage:  # the scan could read it; a figure is not worth stopping for
        return otherwise


def _picture(sheet: np.ndarray, columns: list[tuple[float, str]], rows: list[tuple[float, str]]) -> Figure:
    """A montage at its own size; labels `(position in pixels, name)` above its columns, beside its rows."""
    longest = max((text_width(name) for _, name in columns), default=0)
    left, top, bottom = (
        (60 if rows else 8),
        (8 if not columns else 32 if longest <= 8 else 10 + 8 * longest),
        24,
    )
    height, width = sheet.shape[:2]
    total_width, total_height = max(width + left + 8, 260), height + top + bottom
    figure = Figure(figsize=(total_width / _DPI, total_height / _DPI), dpi=_DPI)
    axes = figure.add_axes(
        (left / total_width, bottom / total_height, width / total_width, height / total_height)
    )
    axes.imshow(sheet, extent=(0, width, height, 0), interpolation="nearest")
    axes.set_xticks([at for at, _ in columns], [name for _, name in columns],
                    rotation=0 if longest <= 8 else 90, fontsize=10)  # fmt: skip
    axes.set_yticks([at for at, _ in rows], [name for _, name in rows], fontsize=10)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    figure.text(0.995, 0.008, NOTICE, ha="right", va="bottom", fontsize=7, color="grey")
    return figure


def _bars(counts: Mapping[str, int]) -> Figure:
    figure = Figure(figsize=(max(4.0, 0.55 * len(counts) + 1), 3.6), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    bars = axes.bar(range(len(counts)), list(counts.values()), color=_PURPLE)
    axes.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    names = picture_texts([*counts])
    longest = max(map(text_width, names))
    axes.set_xticks(range(len(counts)), names, rotation=0 if longest <= 4 else 90)
    axes.set_ylabel("images")
    axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(NOTICE, fontsize=7, color="grey")
    return figure
