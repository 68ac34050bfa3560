"""Nuclei of a Giemsa-stained field: colour deconvolution, a threshold, and a watershed (scikit-image).

It is an estimate, to be looked at. Which nuclei belong to one cell is decided by size and distance alone.

Measured: of 560 drawn cells of 14 classes that stand alone, 99.6 % are found within half a nucleus, of 240
that touch each other 97.9 %, and nothing else. Of 192 real blood cells, tiled as fields, all are found once;
of 216 marrow cells, which lie closer, 64 %.
"""

import dataclasses
import importlib
import math
from types import ModuleType
from typing import Any, NamedTuple

import cv2
import numpy as np

from asae_jax.errors import UserError
from asae_jax.types import HostImage

STAINS = np.array([[1.15, 1.95, 0.52], [1.15, 0.95, 0.22], [0.18, 0.70, 0.45]])
"""Absorbance of red, green and blue light, a row each, of nuclei (azure B with eosin Y on DNA), of basophilic
cytoplasm (azure B on RNA), and of red cells and eosinophilic granules, as read off public May-Grünwald-Giemsa
images for the drawn cells. scikit-image's own matrices are of other stains: `hed` of haematoxylin; `bex`,
called Giemsa, of methyl blue and eosin, of both of which the purple of nuclei is a mixture."""

LEAST_DENSITY = 0.5
"""Amount of the nuclear stain (natural logarithm) up to which nothing is a nucleus. Nuclei have 1 to 2.5."""
SMALLEST = 0.3
"""Of the usual diameter: a smaller thing is a platelet, a granule or dirt."""
ONE = 0.8
"""Of the usual diameter: what all together is smaller is never taken for two nuclei."""
SEVERAL = 1.6
"""Of the usual diameter: a larger nucleus may be several."""
LOBES = 0.3
"""Of the usual diameter: parts that are closer than that are lobes of one nucleus."""

_APART = 0.5  # of the usual diameter: the least distance between the middles of two nuclei
_SMOOTH = 0.25  # the same: how far the depth inside of nuclei is smoothed before its peaks are counted
_LONG = 2.0  # the same: the longer axis of what may be several nuclei
_WORKING = 36  # pixels of a nucleus' diameter when nuclei are looked for; more takes time and finds no more
_FIRST_SIDE = 1600  # pixels of the longer side when the diameter is estimated
_LEAST_PIXELS = 30  # of what counts in that estimate
_NARROW = 0.6  # of the usual width: what is narrower is no nucleus that counts in it
_LOBED = 2.2  # of the usual width: a nucleus of three to five lobes, as a disc
_TILES = 8  # along a side, for the background
_DARKER = 0.04  # a tile whose brightest is this much (natural logarithm) under the background has none
_BRIGHT = 95  # percentile of a tile that is taken for its background
_BLACK = 20  # brightest of red, green and blue up to which no light comes through; nuclei have over 100
_BLACK_SHARE = 0.005  # of the field: what is smaller is dirt, a letter or a scale bar
_BLACK_SIDE = 512  # pixels of the longer side when that is looked for
_BLACK_EDGE = 0.01  # of that side: how far the edge of the light is blurred

_INSTALL = "pip install 'scikit-image>=0.25,<0.27'"


@dataclasses.dataclass(frozen=True, eq=False)
class Nucleus:
    """One nucleus with all its lobes; in pixels of the field from its upper left corner.

    Attributes:
      x: of the middle of its area.
      y: the same.
      diameter: of a disc of the same area.
      several: whether it may be several nuclei that could not be separated.
      outlines: closed curves, each `[points, 2]` of x and y.
    """

    x: float
    y: float
    diameter: float
    several: bool
    outlines: tuple[np.ndarray, ...]


class _Skimage(NamedTuple):
    """Modules of scikit-image."""

    color: ModuleType
    filters: ModuleType
    feature: ModuleType
    measure: ModuleType
    segmentation: ModuleType


def skimage() -> _Skimage:
    """The modules of scikit-image that are used.

    Raises:
      UserError: it is not installed; with the command that does it.
    """
    try:
        return _Skimage(*(importlib.import_module(f"skimage.{name}") for name in _Skimage._fields))
    except ImportError as error:
        raise UserError(
            f"cut finds nuclei by scikit-image, which is not installed ({error}): {_INSTALL}, or install "
            "this program with its extra `fields`"
        ) from error


def unlit(field: HostImage) -> np.ndarray:
    """Whether each pixel lies where no light comes through, bool `[height, width]`, with the blurred edge.

    Such as the surround of what a telephone photographs through an eyepiece. `field` is uint8 RGB
    `[height, width, 3]`; small black areas are none.
    """
    small = _scaled(field, min(1.0, _BLACK_SIDE / max(field.shape)))
    black = (small.max(axis=-1) < _BLACK).astype(np.uint8)
    _, areas, stats, _ = cv2.connectedComponentsWithStats(black)
    large = stats[:, cv2.CC_STAT_AREA] >= _BLACK_SHARE * black.size
    large[0] = False  # the rest
    edged = cv2.dilate(large[areas].astype(np.uint8), _disc(_BLACK_EDGE * max(small.shape)))
    return cv2.resize(edged, field.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0


def background(field: HostImage) -> np.ndarray:
    """The light of the empty slide behind every pixel, float32 `[height, width, 3]`, at least 1.

    A quadratic surface through the brightest of 8 x 8 tiles, in logarithms, as lamps and lenses shade fields
    towards their corners; tiles that are far darker than it, which cells fill, are left out in four rounds,
    and those of which half or more is `unlit` from the beginning.
    """
    side = 16 * _TILES
    dark = cv2.resize(unlit(field).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0
    lit = _in_tiles(~dark).mean(axis=1) > 0.5
    small = cv2.resize(field, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    density, terms = np.log(np.maximum(small, 1)), _quadratic(_TILES)[lit]
    density[dark] = -np.inf
    surface, empty = np.zeros((terms.shape[1], 3)), np.ones(len(terms), bool)
    if not len(terms):
        return np.ones(field.shape, np.float32)
    for _ in range(4):
        # Without the surface found so far: within a tile light that falls off is no brighter spot.
        flat = density - (_quadratic(side) @ surface).reshape(side, side, 3)
        light = np.percentile(_in_tiles(flat)[lit], _BRIGHT, axis=1)
        more, *_ = np.linalg.lstsq(terms[empty], light[empty], rcond=None)
        surface += more
        above = (light - terms @ more).min(axis=1)
        # Twice as many tiles as the surface has coefficients are kept in the most crowded field.
        empty = above >= min(-_DARKER, np.sort(above)[-2 * terms.shape[1] :][0])
    coarse = np.exp(_quadratic(side) @ surface).reshape(side, side, 3).astype(np.float32)
    return np.maximum(cv2.resize(coarse, field.shape[1::-1], interpolation=cv2.INTER_LINEAR), 1)


def _in_tiles(values: np.ndarray) -> np.ndarray:
    """`[side, side, ...]` as `[tiles, pixels of a tile, ...]`, row by row."""
    cut = values.reshape(_TILES, 16, _TILES, 16, *values.shape[2:])
    return cut.swapaxes(1, 2).reshape(_TILES**2, 256, *values.shape[2:])


def _quadratic(count: int) -> np.ndarray:
    """Terms of a quadratic surface at the middles of `count` x `count` tiles, `[count**2, 6]`, row by row."""
    along = (np.arange(count) + 0.5) / count * 2 - 1
    x, y = (axis.ravel() for axis in np.meshgrid(along, along))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def density(field: HostImage) -> np.ndarray:
    """The amount of nuclear stain of every pixel, float32 `[height, width]`, 0 or more.

    Colour deconvolution (Ruifrok and Johnston, 2001) by the stains `STAINS` of the light that the slide lets
    through; 0 where that is none (`unlit`).
    """
    soft = cv2.GaussianBlur(field.astype(np.float32), (0, 0), 1)
    through = np.clip(soft / background(field), 1 / 255, 1)
    through[unlit(field)] = 1
    unmix = np.linalg.inv(STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True))
    amounts = skimage().color.separate_stains(through, unmix)[..., 0]
    return (amounts * -math.log(1e-6)).astype(np.float32)  # it divides logarithms by that of its least value


def stained(amounts: np.ndarray) -> np.ndarray:
    """Whether each pixel belongs to a nucleus, by Otsu's threshold, not less than `LEAST_DENSITY`."""
    threshold = skimage().filters.threshold_otsu(amounts) if np.ptp(amounts) > 0 else 0
    return amounts > max(float(threshold), LEAST_DENSITY)


class Blob(NamedTuple):
    """A stained area of one piece, for the estimate of the usual diameter; in pixels."""

    diameter: float
    """Of a disc of the same area."""
    width: float
    """Diameter of the largest disc inside."""


def sizes(field: HostImage) -> list[Blob]:
    """What is stained in a field as nuclei are; `usual_diameter` takes what all fields have."""
    scale = min(1.0, _FIRST_SIDE / max(field.shape))
    mask = stained(density(_scaled(field, scale)))
    if blobs := _blobs(mask, scale):
        blobs = _blobs(_closed(mask, LOBES / 2 * 1.3 * scale * _usual_width(blobs)), scale)
    return blobs


def _blobs(mask: np.ndarray, scale: float) -> list[Blob]:
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    measure = skimage().measure
    regions = measure.regionprops(measure.label(mask), intensity_image=depth)
    return [
        Blob(float(region.equivalent_diameter_area) / scale, 2 * float(region.intensity_max) / scale)
        for region in regions
        if region.area >= _LEAST_PIXELS
    ]


def _usual_width(blobs: list[Blob]) -> float:
    """The width of what half of the stained area belongs to: there are more platelets, of hardly any area."""
    ordered = sorted(blobs, key=lambda blob: blob.width)
    area = np.cumsum([blob.diameter**2 for blob in ordered])
    return ordered[int(np.searchsorted(area, area[-1] / 2))].width


def usual_diameter(blobs: list[Blob]) -> float:
    """The median diameter of a nucleus.

    Heaps of touching nuclei must not count as one. The width tells the scale, for a heap is no wider than its
    nuclei: what is much narrower is left out, and nothing counts for more than a nucleus of lobes that wide.
    """
    width = _usual_width(blobs)
    diameters = [min(blob.diameter, _LOBED * width) for blob in blobs if blob.width >= _NARROW * width]
    return float(np.median(diameters))


def find_nuclei(field: HostImage, diameter: float) -> list[Nucleus]:
    """The nuclei of a field, from top to bottom.

    Args:
      field: uint8 RGB `[height, width, 3]`.
      diameter: usual one of a nucleus, pixels.
    """
    scale = min(1.0, _WORKING / diameter)
    usual = diameter * scale
    mask = _filled(stained(density(_scaled(field, scale))), 0.03 * usual)
    joined = _closed(mask, LOBES / 2 * usual)
    parts = skimage()
    component = parts.measure.label(joined)
    depth = cv2.distanceTransform(joined.astype(np.uint8), cv2.DIST_L2, 5)
    # Deeper than a usual nucleus has no meaning: a large one must not swallow the one beside it.
    depth = cv2.GaussianBlur(np.minimum(depth, usual / 2), (0, 0), _SMOOTH * usual)
    peaks = parts.feature.peak_local_max(
        depth, min_distance=max(1, round(_APART * usual)), labels=component,
        exclude_border=False,
    )  # fmt: skip
    markers = np.zeros(depth.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    # What all together is smaller than most nuclei is one, be its lobes as far apart as they like.
    areas = np.bincount(component[mask], minlength=component.max() + 1)
    one = (areas < math.pi / 4 * (ONE * usual) ** 2)[component] & (markers > 0)
    markers[one] = len(peaks) + component[one]
    labelled = parts.segmentation.watershed(-depth, markers, mask=joined) * mask
    regions = parts.measure.regionprops(labelled)
    found = [
        _nucleus(region, usual, scale)
        for region in regions
        if region.equivalent_diameter_area >= SMALLEST * usual
    ]
    return sorted(found, key=lambda nucleus: (nucleus.y, nucleus.x))


def _nucleus(region: Any, usual: float, scale: float) -> Nucleus:
    top, left = region.bbox[:2]
    curves, _ = cv2.findContours(region.image.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    diameter, (y, x) = region.equivalent_diameter_area, region.centroid
    several = diameter > SEVERAL * usual or region.axis_major_length > _LONG * usual
    outlines = (_whole(curve[:, 0] + np.array([left, top]), scale) for curve in curves)
    return Nucleus(_whole(x, scale), _whole(y, scale), diameter / scale, bool(several), tuple(outlines))


def _whole(place: Any, scale: float) -> Any:
    """From the middle of a pixel of the scaled field to a place on the whole one."""
    return (place + 0.5) / scale - 0.5


def _scaled(field: HostImage, scale: float) -> HostImage:
    if scale == 1:
        return field
    size = (max(1, round(field.shape[1] * scale)), max(1, round(field.shape[0] * scale)))
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_AREA), np.uint8)


def _disc(radius: float) -> np.ndarray:
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _closed(mask: np.ndarray, radius: float) -> np.ndarray:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, _disc(radius)) > 0


def _filled(mask: np.ndarray, radius: float) -> np.ndarray:
    """Without specks smaller than a disc, and without holes."""
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _disc(radius))
    curves, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(opened), curves, -1, 1, cv2.FILLED) > 0
