"""Pictures of explanations: panels as pixels, for the page and the PNG files, and figures by Matplotlib.

Figures: one image's panels side by side; one image's way through the layer; means of each class.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from asae_jax.evaluation.figures import save
from asae_jax.inference.alignment import Alignment
from asae_jax.inference.explain.explanations import ClassMaps, Explanation, positive_share
from asae_jax.lettering import picture_text
from asae_jax.pages import colours
from asae_jax.types import HostImage

SIDE = 192
"""Pixels of a panel."""

_COLOURS = ((255, 255, 255), (255, 190, 11), (58, 214, 255), (148, 255, 120), (255, 128, 214))
"""Of peaks by rank."""

_TITLE, _CAPTION, _COLUMN = 100, 80, 20  # letters
_LINE = 24  # letters of a caption beside each other
_PER_BLOCK = 11  # classes side by side in the figure of averages
_HEAT = "inferno"


class Panel(NamedTuple):
    """A picture with what is to be read below it."""

    caption: str
    picture: HostImage
    """uint8 RGB `[SIDE, SIDE, 3]`."""


def panels(explanation: Explanation, class_names: tuple[str, ...], *, layer: bool = True) -> list[Panel]:
    """Image, self-attention, peaks, what they would suppress, enhancement, and Grad-CAM at each stage.

    Grad-CAM is that of the predicted class and, where it is known and another one, of the true class. Without
    the layer: image, activation, the region that the faithfulness test hides, Grad-CAM.
    """
    image, alignment = explanation.image, explanation.alignment
    attention, enhancement = explanation.attention, explanation.enhancement
    first = Panel("what the network saw", enlarged(image))
    cams = _grad_cam_panels(explanation, class_names)
    if not layer:
        activation = Panel(f"activation {_range(attention)}", heat(image, attention, alignment))
        tested = Panel("hidden in the test: around the highest activation", suppressed(explanation, most=1))
        return [first, activation, tested, *cams]
    return [
        first,
        Panel(f"self-attention {_range(attention)}", heat(image, attention, alignment)),
        Panel("its peaks by rank", _with_peaks(heat(image, attention, alignment), explanation)),
        Panel("hidden by peak 1; outlines of the others", suppressed(explanation)),
        Panel(f"enhancement {_range(enhancement)}", heat(image, enhancement, alignment)),
        *cams,
    ]


def layer_panels(explanation: Explanation) -> list[Panel]:
    """The way of one image through the layer, step by step, with the top peak chosen."""
    image, alignment, attention = explanation.image, explanation.alignment, explanation.attention
    kept, enhancement = ~explanation.regions[0], explanation.enhancement
    low, high = float(attention.min()), float(attention.max())
    enhanced = attention * enhancement
    return [
        Panel("input", enlarged(image)),
        Panel(f"self-attention {_range(attention)}", heat(image, attention, alignment)),
        Panel("its peaks by rank", _with_peaks(heat(image, attention, alignment), explanation)),
        Panel("suppression: the region of peak 1 is hidden", suppressed(explanation, most=1)),
        Panel("what is left of the features", coloured(attention * kept, alignment, low, high)),
        Panel(f"enhancement map, {_range(enhancement)}", heat(image, enhancement, alignment)),
        Panel(
            "enhanced features", coloured(enhanced, alignment, float(enhanced.min()), float(enhanced.max()))
        ),
    ]


def class_panels(
    average: ClassMaps, all_classes: Mapping[int, ClassMaps], alignments: Sequence[Alignment], *, what: str
) -> list[Panel]:
    """Means of a class: image, map on one scale for all classes, top peak, Grad-CAM.

    Args:
      average: of the class.
      all_classes: class -> its means, for the scale.
      alignments: of the layer's map first, of Grad-CAM's last.
      what: the map is of, "self-attention" or "activation".
    """
    layer, last = alignments[0], alignments[-1]
    attentions = [one.attention for one in all_classes.values()]
    low, high = float(np.min(attentions)), float(np.max(attentions))
    peak, cam = average.top_peak, average.grad_cam
    return [
        Panel("mean image", enlarged(average.image.round().astype(np.uint8))),
        Panel(what, coloured(average.attention, layer, low, high)),
        Panel("share of images with the top peak there", coloured(peak, layer, 0, float(peak.max()))),
        Panel("mean Grad-CAM", coloured(cam, last, 0, 1, smooth=True)),
    ]


def enlarged(image: HostImage) -> HostImage:
    """A square image in the size of a panel."""
    kind = cv2.INTER_CUBIC if len(image) < SIDE else cv2.INTER_AREA
    return cv2.resize(image, (SIDE, SIDE), interpolation=kind)


def heat(image: HostImage, values: np.ndarray, alignment: Alignment, *, smooth: bool = False) -> HostImage:
    """A map over the grey image, dark at its lowest and yellow at its highest value.

    Args:
      image: uint8 RGB `[size, size, 3]`.
      values: float `[positions, positions]`.
      alignment: of that map.
      smooth: interpolate rather than draw each position as a square.

    Returns:
      uint8 RGB `[SIDE, SIDE, 3]`.
    """
    low, high = float(values.min()), float(values.max())
    over = coloured(values, alignment, low, high, smooth=smooth)
    grey = cv2.cvtColor(enlarged(image), cv2.COLOR_RGB2GRAY)[..., None].repeat(3, -1)
    return cv2.addWeighted(grey, 0.4, over, 0.6, 0)


def coloured(
    values: np.ndarray, alignment: Alignment, low: float, high: float, *, smooth: bool = False
) -> HostImage:
    """A map alone, dark at `low` and yellow at `high`.

    Args:
      values: float `[positions, positions]`.
      alignment: of that map.
      low: value that is drawn dark, as are those below.
      high: value that is drawn yellow, as are those above.
      smooth: interpolate rather than draw each position as a square.

    Returns:
      uint8 RGB `[SIDE, SIDE, 3]`.
    """
    shares = (alignment.on_image(values, SIDE, smooth=smooth) - low) * (255 / max(high - low, 1e-30))
    picture = cv2.applyColorMap(np.clip(shares.round(), 0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(picture[..., ::-1])


def suppressed(explanation: Explanation, *, most: int | None = None) -> HostImage:
    """The image with the region of the top peak greyed out, and every region outlined; `most` of them."""
    picture = enlarged(explanation.image)
    regions = [explanation.alignment.on_image(region, SIDE) for region in explanation.regions[:most]]
    picture[regions[0]] = picture[regions[0]] // 4 + 96
    for rank in reversed(range(len(regions))):
        outline, _ = cv2.findContours(
            regions[rank].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, outline, -1, (0, 0, 0), 3)
        cv2.drawContours(picture, outline, -1, _COLOURS[rank % len(_COLOURS)], 1)
    return picture if most == 1 else _with_peaks(picture, explanation)


def _grad_cam_panels(explanation: Explanation, class_names: tuple[str, ...]) -> list[Panel]:
    predicted = class_names[explanation.predicted]
    kinds = [(0, f"{predicted} (predicted)")]
    if explanation.known and explanation.label != explanation.predicted:
        kinds.append((1, f"{class_names[explanation.label]} (true)"))
    elif explanation.known:
        kinds = [(0, f"{predicted} (predicted, true)")]
    return [
        Panel(
            f"Grad-CAM of {name} at {stage}",
            heat(explanation.image, positive_share(cams[number]), explanation.alignments[stage], smooth=True),
        )
        for number, name in kinds
        for stage, cams in explanation.grad_cams.items()
    ]


def _with_peaks(picture: HostImage, explanation: Explanation) -> HostImage:
    """`picture` with the rank of each peak written at its position."""
    picture = picture.copy()
    centres = explanation.alignment.centres * (SIDE / explanation.alignment.size)
    for rank, (row, col) in reversed(list(enumerate(explanation.peaks))):
        centre = (round(centres[col]), round(centres[row]))
        cv2.circle(picture, centre, 9, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(picture, centre, 9, _COLOURS[rank % len(_COLOURS)], 1, cv2.LINE_AA)
        place = (centre[0] - 4, centre[1] + 4)
        cv2.putText(
            picture, str(rank + 1), place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA
        )
    return picture


def _range(values: np.ndarray) -> str:
    low, high = (round(float(end), 2) + 0.0 for end in (values.min(), values.max()))  # never -0.00
    return f"{low:.2f} to {high:.2f}"


def plot_panels(shown: Sequence[Panel], path: Path, *, title: str) -> None:
    """The panels of one image in a row."""
    # Laid out by hand: Matplotlib's own layout takes longer than everything else.
    space = {"left": 0.005, "right": 0.995, "bottom": 0.11, "top": 0.73, "wspace": 0.04}
    size = (1.6 * len(shown), 2.45)
    figure = _figure(figsize=size)
    for axes, panel in zip(figure.subplots(1, len(shown), gridspec_kw=space), shown, strict=True):
        axes.imshow(panel.picture)
        axes.set_title(_wrapped(panel.caption), fontsize=7)
        axes.axis("off")
    figure.suptitle(picture_text(title, most=_TITLE), fontsize=9)
    save(figure, path)


def plot_layer(explanation: Explanation, path: Path, *, title: str) -> None:
    """The way of one image through the layer: the paper's Fig. 3, with the top peak chosen."""
    attention, kept = explanation.attention, ~explanation.regions[0]
    figure = _figure(figsize=(11.5, 5.2))
    (image, middle, peaks, mask, after), (*unused, enhancement, enhanced) = figure.subplots(
        2, 5, gridspec_kw={"wspace": 0.35, "hspace": 0.3, "top": 0.86, "bottom": 0.07}
    )
    for axes in unused:
        axes.set_visible(False)
    scale = {"cmap": _HEAT, "vmin": float(attention.min()), "vmax": float(attention.max())}
    _show(image, enlarged(explanation.image), "input image")
    _show(middle, attention, "self-attention map", **scale)
    _show(peaks, attention, "peak distribution\n(local maxima, by rank)", **scale)
    for rank, (row, col) in enumerate(explanation.peaks):
        peaks.text(col, row, rank + 1, ha="center", va="center", fontsize=9, color="black",
                   bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "linewidth": 0.5})  # fmt: skip
    _show(mask, kept, "AS: suppression mask\n(region of peak 1)", cmap="gray", vmin=0, vmax=1)
    _show(after, attention * kept, "suppressed features\n(one value a position)", **scale)
    values = explanation.enhancement
    _show(enhancement, values, f"AE: enhancement map\n{values.min():.2f} to {values.max():.2f}", cmap=_HEAT)
    _show(enhanced, attention * values, "enhanced features\n(one value a position)", cmap=_HEAT)
    ways = [(image, middle), (middle, peaks), (peaks, mask), (mask, after), (enhancement, enhanced)]
    for start, end in ways:
        _arrow(figure, start, end)
    _arrow(figure, middle, enhancement, bent=True)
    figure.suptitle(picture_text(title, most=_TITLE), fontsize=10)
    save(figure, path)


def plot_class_maps(
    averages: Mapping[int, ClassMaps],
    class_names: Sequence[str],
    alignments: Sequence[Alignment],
    path: Path,
    *,
    what: str,
    guessed: bool,
) -> None:
    """A column per class: mean image, mean map, where the top peak lies, mean Grad-CAM.

    Args:
      averages: class -> its means.
      class_names: name of every class.
      alignments: of the layer's map first, of Grad-CAM's last.
      path: of the PNG file.
      what: the map is of, "self-attention" or "activation".
      guessed: whether some images are there under the predicted class, as their true one is not known.
    """
    labels = list(averages)
    blocks = [labels[i : i + _PER_BLOCK] for i in range(0, len(labels), _PER_BLOCK)]
    width = max(len(block) for block in blocks)
    figure = _figure(figsize=(1.25 * width + 1.3, 5.6 * len(blocks)), layout="constrained")
    panes = figure.subplots(4 * len(blocks), width, squeeze=False)
    attentions = [average.attention for average in averages.values()]
    low, high = float(np.min(attentions)), float(np.max(attentions))
    for number, block in enumerate(blocks):
        rows = panes[4 * number : 4 * number + 4]
        for axes in rows.flat:
            axes.axis("off")
        for column, label in zip(rows.T, block, strict=False):
            _class_column(column, averages[label], class_names[label], alignments, (low, high))
        for axes, text in zip(rows[:, 0], ("image", f"{what}\n(one scale)", *_ROWS), strict=True):
            axes.text(-0.12, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=7)
    of_class = f"each class{', predicted where the true one is not known' * guessed}"
    figure.suptitle(f"Means over the images of {of_class}; {what} from {low:.2f} to {high:.2f}", fontsize=9)
    save(figure, path)


_ROWS = (
    "share of images\nwith the top\npeak there",
    "Grad-CAM\nof the class,\nlast stage",
)


def _class_column(
    column: Any, average: ClassMaps, name: str, alignments: Sequence[Alignment], scale: tuple[float, float]
) -> None:
    layer, last = alignments[0], alignments[-1]
    low, high = scale
    image, attention, peak, cam = column
    image.imshow(average.image.round().astype(np.uint8))
    image.set_title(f"{picture_text(name, most=_COLUMN)}\n{average.count}", fontsize=7)
    attention.imshow(layer.on_image(average.attention, SIDE), cmap=_HEAT, vmin=low, vmax=high)
    peak.imshow(layer.on_image(average.top_peak, SIDE), cmap="Purples", vmin=0)
    cam.imshow(last.on_image(average.grad_cam, SIDE, smooth=True), cmap=_HEAT, vmin=0, vmax=1)


def _figure(**options: Any) -> Any:
    """An empty figure; Matplotlib is loaded with the first one."""
    from matplotlib.figure import Figure

    return Figure(**options)


def _show(axes: Any, picture: np.ndarray, title: str, **options: Any) -> None:
    axes.imshow(picture, **options)
    axes.set_title(title, fontsize=8)
    axes.set(xticks=[], yticks=[])


def _arrow(figure: Any, start: Any, end: Any, *, bent: bool = False) -> None:
    """An arrow between two panels, from the right or, bent, from below."""
    style = {"arrowstyle": "-|>", "color": colours()["purple"], "linewidth": 1.5}
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


def _wrapped(caption: str) -> str:
    """A caption in lines of about `_LINE` characters."""
    lines = [""]
    for word in picture_text(caption, most=_CAPTION).split():
        if lines[-1] and len(lines[-1]) + len(word) >= _LINE:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
