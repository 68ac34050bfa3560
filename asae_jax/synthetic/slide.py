"""Dyes and the microscope: from amounts of dye to a picture, as one slide of one laboratory shows it.

Light is absorbed as by Beer and Lambert: colour = light * exp(-sum of amount * absorbance). Four
absorbances are enough for a Romanowsky stain: the purple of azure-eosin on DNA, azure blue on RNA,
pink eosin, and the orange of eosin on haemoglobin and eosinophil granules.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from asae_jax.synthetic.texture import Placement, place, white_noise

DYES = ("purple", "azure", "eosin", "orange")

# Absorbance (natural logarithm) of red, green and blue light at amount 1. Rows: DYES. Read off nuclei,
# plasma cells, granulocytes and eosinophils in public May-Gruenwald-Giemsa images.
_ABSORBANCE = np.array(
    [
        [1.15, 1.95, 0.52],
        [1.15, 0.95, 0.22],
        [0.18, 0.72, 0.25],
        [0.18, 0.68, 0.62],
    ]
)


@dataclass(frozen=True)
class Slide:
    """How one slide was stained and photographed."""

    absorbance: np.ndarray  # [4, 3], rows DYES
    light: np.ndarray  # [3] colour of the empty background, 0..255
    red_cell: np.ndarray  # [4] dye amounts of a red cell
    pallor: float  # how pale red cells are in the middle
    haze: float  # dye left in the plasma
    crowding: float  # red cells per 100 square micrometres
    neighbours: float  # mean number of touching nucleated cells
    magnification: float  # relative size of everything in the crop
    blur: float  # micrometres; negative sharpens, as many cameras do
    noise: float  # grey levels


def draw_slide(rng: np.random.Generator) -> Slide:
    """Draws stain colour, strength, light, focus and noise of one slide."""
    acidity = rng.normal(0, 0.18)  # of the buffer: acid slides are pink, alkaline ones blue
    strength = np.exp(rng.normal(0, 0.15)) * np.exp(acidity * np.array([-0.2, -0.8, 1.0, 0.8]))
    absorbance = _turn_hue(_ABSORBANCE * strength[:, None], rng.normal(0, 0.13))
    absorbance = absorbance * np.exp(rng.normal(0, 0.07, (4, 3)))
    return Slide(
        absorbance=np.maximum(absorbance, 0.02).astype(np.float32),
        light=_draw_light(rng),
        red_cell=np.array([0.0, rng.uniform(0.07, 0.18), rng.uniform(0.03, 0.14), rng.uniform(0.14, 0.32)]),
        pallor=rng.uniform(0.1, 0.95),
        haze=rng.uniform(0.0, 0.05),
        crowding=rng.uniform(0.3, 1.4),
        neighbours=rng.uniform(0.1, 0.9),
        magnification=float(np.exp(rng.normal(0, 0.1))),
        blur=rng.uniform(-0.15, 0.2),
        noise=rng.uniform(0.8, 3.5),
    )


def _draw_light(rng: np.random.Generator) -> np.ndarray:
    """Background colour: white, cream, or dim grey, as in the public sets."""
    brightness = 252 * (1 - 0.4 * rng.beta(1, 3))
    warmth = rng.uniform(-0.02, 0.16)
    return (brightness * np.array([1.0, 1 - 0.45 * warmth - rng.uniform(0, 0.03), 1 - warmth])).astype(
        np.float32
    )


def _turn_hue(absorbance: np.ndarray, angle: float) -> np.ndarray:
    """Rotates colours about the grey axis (Rodrigues' formula), which turns all hues of a slide alike."""
    axis = np.full(3, 3**-0.5)
    cross = np.cross(absorbance, axis)
    along = (absorbance @ axis)[:, None] * axis
    return absorbance * np.cos(angle) - cross * np.sin(angle) + along * (1 - np.cos(angle))


@dataclass(frozen=True)
class Exposure:
    """What varies from picture to picture on one slide."""

    tilt_x: float  # uneven light: change of absorbance over half the picture
    tilt_y: float
    gain: float  # thickness of the smear: all dye amounts
    focus: float  # micrometres added to the slide's blur
    grain: Placement


def draw_exposure(rng: np.random.Generator) -> Exposure:
    """Draws light, thickness and focus of one picture."""
    tilt_x, tilt_y = rng.normal(0, 0.04, 2)
    return Exposure(tilt_x, tilt_y, float(np.exp(rng.normal(0, 0.1))), rng.normal(0, 0.04), place(rng))


def develop(dyes: list[np.ndarray], slide: Slide, exposure: Exposure, *, pixel: float) -> np.ndarray:
    """Turns dye amounts into a picture.

    Args:
      dyes: amounts in the order of DYES, each float32 `[size, size]`.
      slide: stain and camera.
      exposure: what is special to this picture.
      pixel: side of a pixel in micrometres.

    Returns:
      float32 RGB `[size, size, 3]`, about 0..255, not yet clipped.
    """
    ramp = np.linspace(-1, 1, dyes[0].shape[0], dtype=np.float32)
    uneven = np.float32(exposure.tilt_x) * ramp[None, :] + np.float32(exposure.tilt_y) * ramp[:, None]
    channels = []
    for light, absorbances in zip(np.log(slide.light), -exposure.gain * slide.absorbance.T, strict=True):
        absorbed: np.ndarray = uneven + np.float32(light)
        for amount, absorbance in zip(dyes, absorbances, strict=True):
            absorbed = cv2.scaleAdd(amount, float(absorbance), absorbed)
        channels.append(cv2.exp(absorbed))
    return _focus(cv2.merge(channels), slide.blur + exposure.focus, pixel)


def _focus(picture: np.ndarray, blur: float, pixel: float) -> np.ndarray:
    """Blurs, or sharpens by an unsharp mask of 0.25 micrometres where `blur` is negative."""
    sigma = blur / pixel if blur > 0 else 0.25 / pixel
    if sigma < 0.3:
        return picture
    soft = cv2.GaussianBlur(picture, (0, 0), sigma)
    return soft if blur > 0 else cv2.addWeighted(picture, 1 - 6 * blur, soft, 6 * blur, 0)


def add_noise(picture: np.ndarray, slide: Slide, exposure: Exposure) -> np.ndarray:
    """Adds the camera's noise, rounds and clips to uint8."""
    noisy = cv2.scaleAdd(white_noise(exposure.grain, picture.shape), slide.noise, picture)
    return cv2.convertScaleAbs(np.maximum(noisy, 0))
