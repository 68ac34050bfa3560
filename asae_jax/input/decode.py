"""Decoding: from a file to an RGB array; raises BadImage with the reason if that is impossible.

Pillow decodes, and simplejpeg most JPEGs (see `asae_jax.input.jpeg`). OpenCV, as fast, returns a damaged
JPEG as an image, and says nothing. Of 1,680 files of eight kinds cut at random places Pillow accepted only
those that had lost no pixel (a PNG without its last 21 bytes). What it hands over wrongly and says nothing
about is found here, in `asae_jax.input.tiff` and in `asae_jax.input.jpeg`.
"""

import io
import os
import re
import stat
import warnings
from collections.abc import Callable
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from asae_jax.errors import UserError, one_line
from asae_jax.input.file_kinds import START_BYTES, Kind, kind_of
from asae_jax.input.jpeg import START, decode_sound, frame, load_jpeg
from asae_jax.input.reduced import Reduced, Reduction
from asae_jax.input.tiff import ORIENTATION, as_stored, first_page, uncompressed, unread_layout
from asae_jax.types import HostImage

MIN_SIDE = 8
"""Pixels. Smaller images show no cell."""
MAX_PIXELS = 40_000_000
"""Larger images are whole fields of view, not cells, and decoding eight of them at once takes gigabytes."""

MAX_BYTES = 400_000_000
"""Of a file: more than any image of `MAX_PIXELS` has, as some decoders want all of it in memory."""

_MAX_READS = 20_000, 1_000_000
"""Pieces that may be read before the size of the image is known, and in all: 50 MB of comments of two bytes
each, which Pillow reads one by one, took more than half a minute. Sound files are read in some hundreds."""

_ROWS = 32  # one of so many tells mostly that an image is not dark

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000")
_ANIMATED = ("PNG", "WEBP", "GIF")

_DIM = 64
"""Of 256. An image of 16 bits that stays below has 14 or fewer: of 12 bits, 16 grey levels would be left."""

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
    """The pixels of a JPEG, PNG, BMP, TIFF, WebP, GIF or JPEG 2000 file as uint8 RGB `[height, width, 3]`.

    Grey becomes three equal channels, palette indices their colours. Alpha is dropped, not composited: in
    the public sets that have it, it is opaque or arbitrary. Of 12 and 16 bits the upper eight are kept. The
    orientation that a file states (EXIF, a tag of TIFF) is ignored: a cell has no upper side. So are smaller
    pages of a TIFF file (previews).

    Raises:
      BadImage: unreadable, not such an image, truncated or damaged, a side below `MIN_SIDE`, or more
        than `MAX_PIXELS` pixels (checked in the header, before anything is decoded); or pixels that would
        come out wrong: see `asae_jax.input.tiff`, several pages or frames, fewer bits than the file declares.
    """
    return _read(path, lambda: _open(path), _whole).pixels


def read_reduced(path: str | os.PathLike, reduction: Reduction) -> Reduced:
    """`read_image`, of a JPEG at the scale that `reduction` chooses; other kinds are read whole."""
    return _read(path, lambda: _open(path), reduction)


def decode_image(data: bytes, name: str) -> HostImage:
    """`read_image` for the content of a file, which errors call `name`."""
    return _read(name, lambda: _Bytes(data), _whole).pixels


def decode_reduced(data: bytes, name: str, reduction: Reduction) -> Reduced:
    """`read_reduced` for the content of a file, which errors call `name`."""
    return _read(name, lambda: _Bytes(data), reduction)


def read_orientation(path: str | os.PathLike) -> int:
    """How a program that heeds it turns the stored pixels of an image: 1 (as they are) to 8, as in EXIF.

    Of a JPEG only what its EXIF says, as browsers do; a damaged or senseless entry counts as 1.

    Args:
      path: of an image that `read_image` reads.

    Raises:
      BadImage: the file cannot be read.
    """
    try:
        with _open(path) as file, Image.open(file, formats=_FORMATS) as image:
            file.left = _MAX_READS[1]
            return _stated_orientation(image)
    except OSError as error:
        raise BadImage(path, f"unreadable ({error})") from error


def _stated_orientation(image: ImageFile) -> int:
    try:
        if isinstance(image, JpegImageFile):  # `getexif` would also look into XMP
            exif = Image.Exif()
            exif.load(image.info.get("exif", b""))
        else:
            exif = image.getexif()
        orientation = exif.get(ORIENTATION, 1)
    except Exception:  # Pillow has no one error for damaged metadata
        return 1
    return orientation if orientation in range(1, 9) else 1


def _whole(height: int, width: int) -> int:
    return 1


class _Countdown:
    """Of a file in memory or on disk: ends reading after `left` pieces."""

    left = _MAX_READS[0]

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise _TooManyPieces
        return super().read(size)  # type: ignore[misc]


class _File(_Countdown, io.BufferedReader):
    pass


class _Bytes(_Countdown, io.BytesIO):
    pass


class _TooManyPieces(Exception):
    pass


def _open(path: str | os.PathLike) -> "_File":
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):  # a pipe would wait for ever
        raise BadImage(path, "not a file but a pipe, socket or device")
    if status.st_size > MAX_BYTES:
        raise BadImage(path, f"a file of {status.st_size:,} bytes; more than {MAX_BYTES:,}")
    return _File(io.FileIO(path))


def _read(
    path: str | os.PathLike, open_file: Callable[[], "_File | _Bytes"], reduction: Reduction
) -> Reduced:
    try:
        with open_file() as file:
            image = _jpeg(path, file, reduction) or _any(path, file, reduction)
    except BadImage:
        raise
    except _TooManyPieces:
        raise BadImage(path, "more pieces of metadata or data than a sound image has") from None
    except Image.DecompressionBombError:
        raise BadImage(path, f"more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, MemoryError ...
        raise BadImage(path, _reason(open_file, error)) from error
    if image.pixels[::_ROWS].max() > 1 or image.pixels.max() > 1:
        return image
    if image.factor > 1:  # what is too dark is to be judged as it is
        return _read(path, open_file, _whole)
    if image.pixels.min() < image.pixels.max():
        raise BadImage(path, "no value above 1 of 255: a mask, or values 0..1 that were meant as 0..255")
    return image


def _jpeg(path: str | os.PathLike, file: "_File | _Bytes", reduction: Reduction) -> Reduced | None:
    """A sound JPEG of usual colours; None for another file, which is left at its beginning."""
    data = file.read(len(START))
    if data == START:
        data += file.read()
        header = frame(data)
        size = header.height, header.width
        if min(size) >= MIN_SIDE and header.height * header.width <= MAX_PIXELS:
            factor = reduction(*size)
            pixels = decode_sound(data, header, factor)
            if pixels is not None:
                return Reduced.of(pixels, factor, size)
    file.seek(0)
    return None


def _any(path: str | os.PathLike, file: "_File | _Bytes", reduction: Reduction) -> Reduced:
    """What Pillow reads."""
    with Image.open(file, formats=_FORMATS) as image:
        file.left = _MAX_READS[1]
        size = image.height, image.width
        _check_size(path, image.size)
        page = first_page(file, image.tag_v2) if isinstance(image, TiffImageFile) else None
        if fault := page.fault if page else _animation(image):
            raise BadImage(path, fault)
        bits = page.bits if page else _bits(image, file)
        if image.format == "JPEG2000" and bits > 8 and not image.mode.startswith("I"):
            raise BadImage(path, "JPEG 2000 in colour of more than 8 bits per sample: save it as PNG")
        factor = reduction(*size) if isinstance(image, JpegImageFile) else 1
        if factor > 1:
            image.draft(None, (size[1] // factor, size[0] // factor))
        pixels = _rgb(image, file, bits)
    if bits > 8 and pixels.max() < _DIM:
        raise BadImage(path, _too_dim(int(pixels.max())))
    if page and page.white_is_zero and bits > 8:  # Pillow inverts 8 bits, not 16
        pixels = 255 - pixels
    if factor == 1:
        size = pixels.shape[:2]  # Pillow exchanges the sides of a TIFF file that is to be turned
    return Reduced.of(pixels, factor, size)


def _animation(image: Image.Image) -> str:
    if image.format not in _ANIMATED or not getattr(image, "is_animated", False):
        return ""
    try:
        return f"an animation of {image.n_frames} frames: save each frame alone"  # type: ignore[attr-defined]
    except _TooManyPieces:
        return "an animation of very many frames: save each frame alone"


def _bits(image: ImageFile, file: IO[bytes]) -> int:
    """Bits per sample of what is no TIFF."""
    if image.format == "PNG":
        return 16 if image.mode.startswith("I") or ";16" in str(image.tile[0].args) else 8
    if image.format == "JPEG2000":  # Pillow scales to 8 or 16 bits
        return 16 if _jpeg2000_bits(file) > 8 else 8
    return 8


def _jpeg2000_bits(file: IO[bytes]) -> int:
    """The depth of the first component, in the marker SIZ of the code stream."""
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    stream = data[data.find(b"\xff\x4f\xff\x51") :]
    if b"\xff\xd9" not in stream:  # OpenJPEG takes a stream cut before its first tile as a black image
        raise OSError("no end of its code stream")
    return (stream[42] & 0x7F) + 1


def _too_dim(level: int) -> str:
    highest = (level + 1) << 8
    return (
        f"more than 8 bits per sample, but no value reaches {highest:,} of 65,536, as when 12 bits are "
        f"stored in 16: no more than {level + 1} grey levels would be left; scale its values to 8 bits"
    )


def _check_size(path: str | os.PathLike, size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < MIN_SIDE:
        raise BadImage(path, f"{width}x{height} pixels; each side must have at least {MIN_SIDE}")
    if width * height > MAX_PIXELS:
        raise BadImage(path, f"{width}x{height} pixels; more than {MAX_PIXELS:,}")


def _rgb(image: Image.Image, file: IO[bytes], bits: int) -> HostImage:
    if not isinstance(image, TiffImageFile):
        return _loaded(image, file, bits)
    pixels = uncompressed(image, file)
    if pixels is None:
        orientation = image.getexif().get(ORIENTATION, 1)  # forgotten when it is loaded
        pixels = as_stored(_loaded(image, file, bits), orientation)
    return pixels


def _loaded(image: Image.Image, file: IO[bytes], bits: int) -> HostImage:
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255
        grey = (np.asarray(image, np.uint16) >> bits - 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise ValueError(f"{_BITS_32}, which have no fixed range")
    if isinstance(image, JpegImageFile):
        load_jpeg(image, file)
    else:
        image.load()
    image.info.pop("transparency", None)  # else the conversion of a palette warns
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


_BITS_32 = "32-bit pixels"


def _reason(open_file: Callable[[], IO[bytes]], error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"unreadable ({error.strerror})"
    if isinstance(error, ValueError) and str(error).startswith(_BITS_32):
        return str(error)
    with open_file() as file:
        start = file.read(START_BYTES)
        kind = kind_of(start)
        known = _known_fault(file, kind) if kind and isinstance(error, _NOT_OPENED) else ""
    if known:
        return known
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(start, kind)
    message = one_line(" ".join(str(error).split())) or type(error).__name__
    if re.search("unsupported|not supported|cannot handle|unknown", message, re.IGNORECASE):
        return f"of a kind that is not read ({message}): save it as PNG or 8-bit RGB TIFF"
    return f"truncated or damaged ({message})"


_NOT_OPENED = (UnidentifiedImageError, KeyError, ValueError)  # the header was not understood


def _known_fault(file: IO[bytes], kind: Kind) -> str:
    """Why the decoder cannot read an undamaged file, by its header; empty where that tells nothing."""
    if kind.name == "a TIFF image":
        return unread_layout(file)
    if kind.name == "a JPEG image":
        file.seek(0)
        bits = frame(file.read()).bits
        return f"a JPEG of {bits} bits, which is not read: save it as PNG" if bits > 8 else ""
    return ""


def _unidentified(start: bytes, kind: Kind | None) -> str:
    if not start:
        return "empty file"
    if kind is None:
        return f"not a {_NAMES} image"
    if kind.remedy:
        return f"not a {_NAMES} image but {kind.name}: {kind.remedy}"
    return "truncated or damaged (no complete header)"


_NAMES = "JPEG, PNG, BMP, TIFF, WebP, GIF or JPEG 2000"
