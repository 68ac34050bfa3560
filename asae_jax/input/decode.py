"""Decoding: from a file to an RGB array; raises BadImage with the reason if that is impossible.

Pillow decodes, although OpenCV is 1.4 times as fast on two threads: OpenCV returns a truncated JPEG as
an image whose lower part is grey, and says nothing. Of 1,680 files of eight kinds cut at random places
Pillow accepted only those that had lost no pixel (a PNG without its last 21 bytes).
"""

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from asae_jax.errors import UserError
from asae_jax.types import HostImage

MIN_SIDE = 8
"""Pixels. Smaller images show no cell."""
MAX_PIXELS = 40_000_000
"""Larger images are whole fields of view, not cells, and decoding eight of them at once takes gigabytes."""

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\x00", b"MM\x00*")

# Pillow's warnings (odd metadata, many pixels) either do not concern the pixels or are errors below.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadImage(UserError):
    """An image that cannot be used.

    Attributes:
      path: of the image.
      reason: why it cannot be used, in a few words.
    """

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(f"cannot use image {os.fspath(path)}: {reason}")
        self.path = os.fspath(path)
        self.reason = reason


def read_image(path: str | os.PathLike) -> HostImage:
    """The pixels of a JPEG, PNG, BMP or TIFF file as uint8 RGB `[height, width, 3]`.

    Grey becomes three equal channels, palette indices their colours. Alpha is dropped, not composited: in
    the public sets that have it, it is opaque or arbitrary. Of 16 bits the upper eight are kept. EXIF
    orientation is ignored: a cell has no upper side. Of several frames the first is read.

    Raises:
      BadImage: unreadable, not such an image, truncated or damaged, a side below `MIN_SIDE`, or more
        than `MAX_PIXELS` pixels (checked in the header, before anything is decoded).
    """
    return _read(path, lambda: Path(path).open("rb"))


def decode_image(data: bytes, name: str) -> HostImage:
    """`read_image` for the content of a file, which errors call `name`."""
    return _read(name, lambda: io.BytesIO(data))


def _read(path: str | os.PathLike, open_file: Callable[[], IO[bytes]]) -> HostImage:
    try:
        with open_file() as file, Image.open(file, formats=_FORMATS) as image:
            _check_size(path, image.size)
            return _rgb(image)
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise BadImage(path, f"more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, MemoryError ...
        raise BadImage(path, _reason(open_file, error)) from error


def _check_size(path: str | os.PathLike, size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < MIN_SIDE:
        raise BadImage(path, f"{width}x{height} pixels; each side must have at least {MIN_SIDE}")
    if width * height > MAX_PIXELS:
        raise BadImage(path, f"{width}x{height} pixels; more than {MAX_PIXELS:,}")


def _rgb(image: Image.Image) -> HostImage:
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255
        grey = (np.asarray(image, np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise ValueError(f"{_BITS_32}, which have no fixed range")
    image.load()
    image.info.pop("transparency", None)  # else the conversion of a palette warns
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


_BITS_32 = "32-bit pixels"


def _reason(open_file: Callable[[], IO[bytes]], error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"unreadable ({error.strerror})"
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(open_file)
    if isinstance(error, ValueError) and str(error).startswith(_BITS_32):
        return str(error)
    return f"truncated or damaged ({' '.join(str(error).split()) or type(error).__name__})"


def _unidentified(open_file: Callable[[], IO[bytes]]) -> str:
    with open_file() as file:
        start = file.read(4)
    if not start:
        return "empty file"
    if start.startswith(_MAGIC):
        return "truncated or damaged (no complete header)"
    return "not a JPEG, PNG, BMP or TIFF image"
