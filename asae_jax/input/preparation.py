"""The deterministic preprocessing of an image, done once: square, size, colour."""

import dataclasses
import hashlib
import json

import cv2
import numpy as np

from asae_jax.errors import UserError
from asae_jax.input import hue, stain
from asae_jax.input.reduced import Reduced, largest_factor, reduced_square, square_side
from asae_jax.types import HostImage

HUE_MODES = (*hue.MODES, "none")
STAIN_MODES = (*stain.METHODS, "none")
DECODINGS = ("full", "reduced")
_ADDED = {"scale": 1, "background": (), "decoding": "full"}
"""Settings that a fingerprint leaves out where they are off: caches made before are named without them."""
SCALES = (0.25, 4.0)
"""How much smaller or larger cells may be made."""

_VERSION = 1  # of the arithmetic below; raise it when results change, so that old caches are not used

# Images are prepared in parallel, one thread each; OpenCV's own threads would only get in their way.
cv2.setNumThreads(1)


@dataclasses.dataclass(frozen=True)
class Preparation:
    """Turns a raw image of any size into what is stored and trained on.

    The centre square is cut out and resized. Where cells are to be as large in the frame as those of another
    laboratory (`scale`), a smaller square is cut out, or a larger one of the image continued by its own
    mirror image. Cutting out and resizing equals resizing the shorter side and cropping the centre,
    without computing what is cut away. Colours are changed after resizing, either by the paper's hue
    adjustment or by stain normalisation: interpolating adjusted hues would create new ones, resizing
    averages away the noise that would set minimum and maximum in eq. (11), and fewer pixels are left to
    convert.

    Attributes:
      stored_size: side of the result in pixels.
      hue: "paper", "robust" (see `adjust_hue`) or "none".
      hue_low: lowest hue of the result, OpenCV's 0..179.
      hue_high: highest hue of the result, OpenCV's 0..179.
      stain: "reinhard", "macenko" (see `normalise_stain`) or "none"; one of the two only with `hue="none"`.
      scale: how many times as large cells become in the frame, `SCALES[0]`..`SCALES[1]`; 1: as they are.
      background: red, green and blue, 0..255, to which the light of each image's background is brought (see
        `stain.match_background`), before colours are changed otherwise; empty: as it is.
      decoding: "reduced" where JPEGs may be decoded at a half, a quarter or an eighth of their size as long
        as the square that is cut out still has `stored_size` and lies within the image; "full".
    """

    stored_size: int
    hue: str = "paper"
    hue_low: int = 125
    hue_high: int = 155
    stain: str = "none"
    scale: float = 1.0
    background: tuple[float, ...] = ()
    decoding: str = "full"

    def __post_init__(self) -> None:
        if self.stored_size < 1:
            raise UserError(f"stored size is {self.stored_size}: it must be at least 1 pixel")
        if not SCALES[0] <= self.scale <= SCALES[1]:
            raise UserError(f"scale is {self.scale:g}: choose {SCALES[0]:g} to {SCALES[1]:g} (data.scale)")
        if self.hue not in HUE_MODES:
            raise UserError(f"unknown hue mode {self.hue!r}: choose one of {', '.join(HUE_MODES)}")
        if not 0 <= self.hue_low <= self.hue_high <= 179:
            raise UserError(
                f"hue range {self.hue_low}..{self.hue_high}: choose 0 <= low <= high <= 179 (degrees / 2)"
            )
        if self.decoding not in DECODINGS:
            raise UserError(f"unknown decoding {self.decoding!r}: choose one of {', '.join(DECODINGS)}")
        if self.stain not in STAIN_MODES:
            raise UserError(f"unknown stain mode {self.stain!r}: choose one of {', '.join(STAIN_MODES)}")
        if self.stain != "none" and self.hue != "none":
            raise UserError(
                f"stain={self.stain} and hue={self.hue} both change the colours: choose one, and switch the "
                "other off (--config.data.hue=none or --config.data.stain=none)"
            )

    def reduction(self, height: int, width: int) -> int:
        """1, 2, 4 or 8: by which a JPEG of this size in pixels is to be made smaller as it is decoded."""
        if self.decoding == "full":
            return 1
        return largest_factor(height, width, self.scale, self.stored_size)

    def __call__(self, raw: HostImage | Reduced) -> HostImage:
        """uint8 RGB `[stored_size, stored_size, 3]` of an image.

        Args:
          raw: uint8 RGB `[height, width, 3]` of any size; or at the scale that `reduction` chooses.
        """
        if isinstance(raw, Reduced) and raw.factor > 1:
            square = reduced_square(raw, self.scale, self.stored_size)
        else:
            square = centre_square(raw.pixels if isinstance(raw, Reduced) else raw, self.scale)
        image = _resize(square, self.stored_size)
        if self.background:
            image = stain.match_background(image, self.background)
        if self.stain != "none":
            return stain.normalise_stain(image, method=self.stain)
        if self.hue == "none":
            return image
        return hue.adjust_hue(image, low=self.hue_low, high=self.hue_high, mode=self.hue)

    def fingerprint(self) -> str:
        """32 hexadecimal digits that change when any setting, or the arithmetic, does."""
        fields = dataclasses.asdict(self)
        for name, off in _ADDED.items():
            if fields[name] == off:
                del fields[name]
        if self.decoding == "reduced" and self.scale < 1:
            fields["mirrored"] = "whole"  # before, the reduced picture was: such caches are not used
        settings = json.dumps([_VERSION, fields], sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()[:32]


def centre_square(image: HostImage, scale: float = 1.0) -> HostImage:
    """The middle square of side (shorter side) / `scale`; beyond its edges the image is mirrored."""
    height, width = image.shape[:2]
    side = square_side(height, width, scale)
    top, left = (height - side) // 2, (width - side) // 2
    if top < 0 or left < 0:
        above, before = max(-top, 0), max(-left, 0)
        below, behind = max(side - height - above, 0), max(side - width - before, 0)
        image = np.pad(image, ((above, below), (before, behind), (0, 0)), "symmetric")
        top, left = max(top, 0), max(left, 0)
    return image[top : top + side, left : left + side]


def _resize(square: HostImage, size: int) -> HostImage:
    """Bilinear to the nearest multiple of `size` below, then the mean of each block of k x k pixels.

    Averaging keeps fine chromatin from aliasing, which bilinear sampling below half size would not. Both
    steps have fast paths; OpenCV's INTER_AREA at a fractional factor has none: on 250 -> 112 pixels it is
    as near to Lanczos (49.3 dB), and takes three times as long.
    """
    blocks = max(len(square) // size, 1)
    image = np.ascontiguousarray(square)
    if len(image) != blocks * size:
        image = cv2.resize(image, (blocks * size, blocks * size), interpolation=cv2.INTER_LINEAR)
    if blocks > 1:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return image
