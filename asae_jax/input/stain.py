"""Stain normalisation: the colours of one image moved onto those of a reference, by Reinhard or by Macenko.

Written here because no library fits. The NumPy part of torchstain 1.4 (MIT, last release in January 2025)
needs nothing but NumPy, but raises on a blank image (its issues 1 and 54), leaves the sign of the
eigenvectors, and so the stains, to chance, and its reference is a section stained with haematoxylin and
eosin.

The references below are those of cells in May-Grünwald-Giemsa: of 3,844 crops (of every sixth for
`macenko`), half way between a marrow set (BM_cytomorphology, doi 10.7937/TCIA.AXH3-T579) and a blood set
(Acevedo, doi 10.17632/snkd93bnjr).
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from asae_jax.types import HostImage

TARGET_MEAN = np.array([67.7, 16.6, -11.3])
"""Of `reinhard`: mean of L (0..100), a and b (CIELAB)."""
TARGET_DEVIATION = np.array([17.8, 13.2, 17.7])
"""Of `reinhard`: standard deviation of L, a and b."""
REFERENCE_STAINS = np.array([[0.699, 0.658, 0.279], [0.451, 0.887, 0.102]])
"""Of `macenko`: optical density of red, green and blue, of length 1, of the blue-grey of cytoplasm and red
cells, and of the purple of nuclei (azure B with eosin Y)."""
REFERENCE_AMOUNTS = np.array([1.0, 2.4])
"""Of `macenko`: 99th percentile of the amount of each stain."""

MAX_GAIN = 3.0
"""Contrast grows by at most this: more would turn the noise of a blank image into colours."""
LIGHT = 98
"""Of `macenko`: percentile of each channel that estimates the light of the background. The paper assumes
white; on a yellowish background, as in the blood set, that would turn the background's tint into a stain."""
MIN_DENSITY = 0.15
"""Of `macenko`: a pixel below it in any channel is background (the paper's beta)."""
MIN_STAINED = 0.01
"""Of `macenko`: share of stained pixels below which the stains of an image cannot be estimated."""
MIN_ANGLE = np.radians(5.0)
"""Of `macenko`: least angle between two stains. The smallest one on 640 real cells is 5.2 degrees."""

_LOGARITHM = np.log(np.arange(256) + 1).astype(np.float32)


def normalise_stain(image: HostImage, *, method: str) -> HostImage:
    """Moves the colours of `image` onto the reference.

    `reinhard` (Reinhard et al., "Color transfer between images", 2001) shifts and scales L, a and b so
    that their mean and standard deviation over all pixels are the reference's. CIELAB takes the place
    of the paper's space, whose logarithm has no value for black. As the statistics are of the whole crop,
    a small cell comes out darker than a large one.

    `macenko` (Macenko et al., "A method for normalizing histology slides for quantitative analysis",
    2009) finds two stains as the 1st and 99th percentile of the angle in the plane of the two largest
    principal components of optical density, and replaces them by the reference's, each scaled so that
    the 99th percentile of its amount is the reference's. Optical density counts from the image's own light
    (`LIGHT`), and the result has a white background. A third colour, as of an eosinophil's granules, is
    forced into the two. An image without two stains (blank, of one
    colour) is returned as it is.

    Args:
      image: uint8 RGB `[height, width, 3]`; not changed.
      method: one of `METHODS`.

    Returns:
      uint8 RGB `[height, width, 3]`, rounded to the nearest integer.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"normalise_stain takes uint8 [height, width, 3]; got {image.dtype} {image.shape}")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    return METHODS[method](image)


def background_light(image: HostImage) -> np.ndarray:
    """The light of an image's background, float64 `[3]`: percentile `LIGHT` of red, green and blue."""
    return np.percentile(image, LIGHT, axis=(0, 1))


def match_background(image: HostImage, light: Sequence[float]) -> HostImage:
    """Multiplies red, green and blue so that the light of the background is `light`, 0..255 each.

    Light that is not there cannot be multiplied: a factor is at most `MAX_GAIN`.
    """
    gain = np.minimum(np.asarray(light) / np.maximum(background_light(image), 1), MAX_GAIN)
    return _to_bytes(image * gain.astype(np.float32))


def _reinhard(image: HostImage) -> HostImage:
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    mean, deviation = (moment[:, 0] for moment in cv2.meanStdDev(lab))
    gain = np.minimum(TARGET_DEVIATION / np.maximum(deviation, 1e-6), MAX_GAIN)
    moved = lab * gain.astype(np.float32) + (TARGET_MEAN - gain * mean).astype(np.float32)
    return _to_bytes(255 * cv2.cvtColor(moved, cv2.COLOR_LAB2RGB))


def _macenko(image: HostImage) -> HostImage:
    light = background_light(image).astype(np.float32)
    density = np.maximum(np.log(light + 1) - _LOGARITHM[image].reshape(-1, 3), 0)
    stains = _find_stains(density[density.min(axis=1) >= MIN_DENSITY], len(density))
    if stains is None:
        return image.copy()
    amounts = density @ np.linalg.pinv(stains).astype(np.float32)
    largest = np.maximum(np.percentile(amounts, 99, axis=0), 1e-6)
    gain = np.minimum(REFERENCE_AMOUNTS / largest, MAX_GAIN)
    replaced = amounts @ (gain[:, None] * REFERENCE_STAINS).astype(np.float32)
    return _to_bytes(256 * np.exp(-replaced) - 1).reshape(image.shape)


def _find_stains(stained: np.ndarray, pixels: int) -> np.ndarray | None:
    """Blue-grey and purple, `[2, 3]` of length 1, of these densities `[n, 3]`; None without two stains."""
    if len(stained) < max(MIN_STAINED * pixels, 3):
        return None
    _, vectors = np.linalg.eigh(np.cov(stained, rowvar=False))
    plane = vectors[:, :0:-1]  # the two largest, largest first
    # Densities are positive: with the first axis among them no angle comes near the cut at 180 degrees.
    plane = plane * np.where(stained.mean(axis=0) @ plane < 0, -1, 1)
    first, second = (stained @ plane).T
    low, high = np.percentile(np.arctan2(second, first), [1, 99])
    if high - low < MIN_ANGLE:
        return None
    stains = np.array([[np.cos(angle), np.sin(angle)] for angle in (low, high)]) @ plane.T
    return stains[np.argsort(stains[:, 1])]  # purple absorbs more green, whatever the other is like


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


METHODS: dict[str, Callable[[HostImage], HostImage]] = {"reinhard": _reinhard, "macenko": _macenko}
"""Name -> function of an image, see `normalise_stain`. Exports take the function's text, and that of what it
names in this module: it may use NumPy (`np`) and OpenCV (`cv2`) beside."""
