"""The paper's figures 1, 4 and 5 of any data: class grid, class distribution, hue before and after."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from asae_jax.audit.samples import PER_CLASS, TILE, Samples
from asae_jax.input.preparation import Preparation
from asae_jax.lettering import picture_texts, text_width
from asae_jax.pages import NOTICE, colours
from asae_jax.types import HostImage

_GAP = 4
_DPI = 100


def draw_figures(samples: Samples, counts: Mapping[str, int], folder: Path) -> dict[str, str]:
    """Writes the figures as PNG into `folder`.

    Args:
      samples: of the classes.
      counts: class name -> number of images.
      folder: an existing folder.

    Returns:
      File name -> caption; names and order are those of the paper's figures.
    """
    choice = samples.choice
    caption = f"Before (upper row) and after (lower row) {samples.adjustment}."
    figures = {
        "fig1_classes.png": (
            _grid(samples),
            f"Some cells of each class, one column a class. {choice}".strip(),
        ),
        "fig4_distribution.png": (_bars(counts), f"Images per class. {choice}".strip()),
        "fig5_colour.png": (_before_and_after(samples), caption),
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


def _grid(samples: Samples) -> Figure:
    white = np.full((TILE, TILE, 3), 255, np.uint8)
    columns = samples.of_class
    rows = [[column[y] if y < len(column) else white for column in columns] for y in range(PER_CLASS)]
    centres = np.arange(len(columns)) * (TILE + _GAP) + TILE / 2
    names = picture_texts(samples.class_names)
    return _picture(montage(rows), list(zip(centres.tolist(), names, strict=True)), [])


def _before_and_after(samples: Samples) -> Figure:
    labels = [(TILE / 2, "before"), (TILE * 1.5 + _GAP, "after")]
    return _picture(montage([*zip(*samples.pairs, strict=True)]), [], labels)


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
    bars = axes.bar(range(len(counts)), list(counts.values()), color=colours()["purple"])
    axes.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    names = picture_texts([*counts])
    longest = max(map(text_width, names))
    axes.set_xticks(range(len(counts)), names, rotation=0 if longest <= 4 else 90)
    axes.set_ylabel("images")
    axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(NOTICE, fontsize=7, color="grey")
    return figure


def draw_two_sets(sets: Sequence[Sequence[HostImage]], names: Sequence[str], folder: Path) -> dict[str, str]:
    """Writes `other_set.png`: images of two sets, a row each, their middle squares.

    Args:
      sets: uint8 RGB images of any size, one at least.
      names: of the sets.
      folder: an existing folder.

    Returns:
      File name -> caption.
    """
    as_is = Preparation(TILE, hue="none")
    sheet = montage([[as_is(image) for image in images] for images in sets])
    places = (np.arange(len(sets)) * (TILE + _GAP) + TILE / 2).tolist()
    name = "other_set.png"
    FigureCanvasAgg(_picture(sheet, [], list(zip(places, names, strict=True)))).print_png(folder / name)
    return {name: "Images of both sets, as they are framed (this set above, the other below)."}
