"""The pictures of one explanation, as pixels, for the PNG files and for the page alike."""

from typing import NamedTuple

import cv2
import numpy as np

from asae_jax.inference.alignment import Grid
from asae_jax.inference.explain.averages import positive_share
from asae_jax.inference.explain.explanation import Explanation
from asae_jax.types import HostImage

SIDE = 192
"""Pixels of a panel."""

_COLOURS = ((255, 255, 255), (255, 190, 11), (58, 214, 255), (148, 255, 120), (255, 128, 214))
"""Of peaks by rank."""


class Panel(NamedTuple):
    """A picture with what is to be read below it."""

    caption: str
    picture: HostImage
    """uint8 RGB `[SIDE, SIDE, 3]`."""


def panels(explanation: Explanation, class_names: tuple[str, ...]) -> list[Panel]:
    """Image, self-attention, peaks, what they would hide, enhancement, and Grad-CAM at each stage.

    Grad-CAM is that of the predicted class and, where it is known and another one, of the true class.
    """
    attention, enhancement = explanation.attention, explanation.enhancement
    return [
        Panel("what the network saw", enlarged(explanation.image)),
        Panel(f"self-attention {_range(attention)}", heat(explanation.image, attention, explanation.grid)),
        Panel(
            "its peaks by rank",
            _with_peaks(heat(explanation.image, attention, explanation.grid), explanation),
        ),
        Panel("hidden by peak 1; outlines of the others", hidden(explanation)),
        Panel(f"enhancement {_range(enhancement)}", heat(explanation.image, enhancement, explanation.grid)),
        *_grad_cam_panels(explanation, class_names),
    ]


def enlarged(image: HostImage) -> HostImage:
    """A square image in the size of a panel."""
    kind = cv2.INTER_CUBIC if len(image) < SIDE else cv2.INTER_AREA
    return cv2.resize(image, (SIDE, SIDE), interpolation=kind)


def heat(image: HostImage, values: np.ndarray, grid: Grid, *, smooth: bool = False) -> HostImage:
    """A map over the grey image, dark at its lowest and yellow at its highest value; cells, or smoothed."""
    low, high = float(values.min()), float(values.max())
    shares = (grid.on_image(values, SIDE, smooth=smooth) - low) * (255 / max(high - low, 1e-30))
    colours = cv2.applyColorMap(np.clip(shares.round(), 0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    colours = np.ascontiguousarray(colours[..., ::-1])
    grey = cv2.cvtColor(enlarged(image), cv2.COLOR_RGB2GRAY)[..., None].repeat(3, -1)
    return cv2.addWeighted(grey, 0.4, colours, 0.6, 0)


def hidden(explanation: Explanation) -> HostImage:
    """The image with the region of the top peak greyed out, and every region outlined."""
    picture = enlarged(explanation.image)
    regions = [explanation.grid.on_image(region, SIDE) for region in explanation.regions]
    picture[regions[0]] = picture[regions[0]] // 4 + 96
    for rank in reversed(range(len(regions))):
        outline, _ = cv2.findContours(
            regions[rank].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, outline, -1, (0, 0, 0), 3)
        cv2.drawContours(picture, outline, -1, _COLOURS[rank % len(_COLOURS)], 1)
    return _with_peaks(picture, explanation)


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
            heat(explanation.image, positive_share(cams[number]), explanation.grids[stage], smooth=True),
        )
        for number, name in kinds
        for stage, cams in explanation.grad_cams.items()
    ]


def _with_peaks(picture: HostImage, explanation: Explanation) -> HostImage:
    """`picture` with the rank of each peak written at its cell."""
    picture = picture.copy()
    middles = explanation.grid.middles * (SIDE / explanation.grid.size)
    for rank, (row, col) in reversed(list(enumerate(explanation.peaks))):
        centre = (round(middles[col]), round(middles[row]))
        cv2.circle(picture, centre, 9, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(picture, centre, 9, _COLOURS[rank % len(_COLOURS)], 1, cv2.LINE_AA)
        place = (centre[0] - 4, centre[1] + 4)
        cv2.putText(
            picture, str(rank + 1), place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA
        )
    return picture


def _range(values: np.ndarray) -> str:
    return f"{values.min():.2f} to {values.max():.2f}"
