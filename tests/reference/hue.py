"""Hue adjustment in float64, from the definition of HSV, without OpenCV."""

import numpy as np


def exact_hue(image: np.ndarray) -> np.ndarray:
    """Hue as a fraction of half degrees, float64 `[H, W]` in 0..180; 0 for grey."""
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    value, least = image.max(-1).astype(np.float64), image.min(-1).astype(np.float64)
    spread = np.where(value == least, 1, value - least)
    sixths = np.select(
        [value == red, value == green],
        [(green - blue) / spread, 2 + (blue - red) / spread],
        4 + (red - green) / spread,
    )
    return np.where(value == least, 0, 30 * sixths % 180)


def exact_saturation(image: np.ndarray) -> np.ndarray:
    """Saturation in 0..255, not rounded, float64 `[H, W]`."""
    value, least = image.max(-1).astype(np.float64), image.min(-1).astype(np.float64)
    return 255 * (value - least) / np.where(value == 0, 1, value)


def is_near_tie(image: np.ndarray) -> np.ndarray:
    """bool `[H, W]`: hue or saturation lies so near to halfway that OpenCV may round it the other way.

    Its fixed-point quotients have 12 bits: off by at most 6 * 255 / 2 / 4096 for hue (0.187), 255 / 2 /
    4096 for saturation (0.031).
    """
    hue, saturation = exact_hue(image), exact_saturation(image)
    return (np.abs(hue % 1 - 0.5) < 0.188) | (np.abs(saturation % 1 - 0.5) < 0.032)


def to_hsv(image: np.ndarray) -> np.ndarray:
    """Hue 0..179, saturation and value 0..255, whole numbers as float64 `[H, W, 3]`."""
    value = image.max(-1).astype(np.float64)
    return np.stack([_round(exact_hue(image)) % 180, _round(exact_saturation(image)), value], axis=-1)


def to_rgb(hsv: np.ndarray) -> np.ndarray:
    """The inverse, not rounded: float64 `[H, W, 3]` in 0..255."""
    hue, saturation, value = np.moveaxis(hsv, -1, 0)
    saturation = saturation / 255
    channels = []
    for turn in (5, 3, 1):  # the formula with k = (n + h / 60) mod 6
        k = (turn + hue / 30) % 6
        channels.append(value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1))
    return np.stack(channels, axis=-1)


def adjust_hue(image: np.ndarray, low: float = 125, high: float = 155) -> np.ndarray:
    """Paper eq. (11) over all pixels; float64 `[H, W, 3]`, RGB values not rounded."""
    hsv = to_hsv(image)
    hue = hsv[..., 0]
    if hue.min() == hue.max():
        hsv[..., 0] = _round(np.float64((low + high) / 2))
    else:
        hsv[..., 0] = _round((high - low) / (hue.max() - hue.min()) * (hue - hue.min()) + low)
    return to_rgb(hsv)


def _round(value: np.ndarray) -> np.ndarray:
    """To the nearest whole number, halves up; the small push undoes what division rounded down."""
    return np.floor(value + 0.5 + 1e-9)
