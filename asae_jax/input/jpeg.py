"""Decoding a JPEG file so that damage inside of it is noticed, which libjpeg only warns of and Pillow hides.

simplejpeg decodes (libjpeg-turbo, as in Pillow and OpenCV: the same pixels): it makes an error of every
warning, needs half to two thirds of the time, and decodes at a reduced scale. What it refuses (four
colours, padding before the end, damage ...) is left to Pillow, as is everything where it is not installed.

Pillow hides warnings, so with it damage is found in another way. A damaged code makes the decoder lose its
place: it mostly finds all pixels before the data end, or none left when they end. So the data are handed
over in two pieces: all but the last two bytes, with which a sound image is not complete, and these with
`_SLACK` zeros, with which it is. Damage that changes values but not lengths, or where the decoder finds its
place again, cannot be told from another picture.

Of 300 damages each to real images both notice all zeroed sectors of 512 bytes, eight in ten runs of 64
random bytes and three in ten changed bytes: as much as libjpeg warns of. None of 12,845 sound ones, and none
of 6,000 made with other encoders and settings, is refused.
"""

import importlib
from typing import IO, Any, NamedTuple

from PIL.JpegImagePlugin import JpegImageFile

from asae_jax.types import HostImage


def _simplejpeg() -> Any:
    try:
        return importlib.import_module("simplejpeg")
    except ImportError:  # no wheel for this machine: Pillow gives the same pixels
        return None


_FAST = _simplejpeg()

_SLACK = 12
"""Bytes. libjpeg reads up to eight ahead before it decodes the last pixels."""

_MAX_SCANS = 100
"""Each passes over all of the image: 1 MB of scans of a large one takes hours. Encoders write ten or so."""

_MAX_SEGMENTS = 20_000
"""Before the frame: as many pieces as `asae_jax.input.decode` lets Pillow read."""

START = b"\xff\xd8\xff"
"""The first bytes of a file."""

_END, _SCAN, _FILL = b"\xff\xd9", b"\xff\xda", b"\xff\0"
_ONE_PASS = (0xC0, 0xC1)  # frames of sequential Huffman coding
_PROGRESSIVE = 0xC2


def decode_sound(data: bytes, header: "Frame", factor: int = 1) -> HostImage | None:
    """The pixels of an undamaged file of one or three colours and 8 bits; None for any other.

    Args:
      data: the file.
      header: its frame.
      factor: 1, 2, 4 or 8, by which height and width are divided (rounded up): libjpeg computes fewer pixels
        of each block of 8 x 8 from its lowest frequencies, near to the mean over the area of each.

    Returns:
      uint8 RGB `[ceil(height / factor), ceil(width / factor), 3]`
    """
    if (
        _FAST is None
        or header.bits != 8
        or header.coding not in (*_ONE_PASS, _PROGRESSIVE)
        or header.samples not in (1, 3)
        or (not _one_scan(header) and data.count(_SCAN) > _MAX_SCANS)
    ):
        return None
    height, width = -(-header.height // factor), -(-header.width // factor)
    try:
        pixels = _FAST.decode_jpeg(data, min_height=height, min_width=width, min_factor=factor)
    except ValueError:
        return None
    return pixels if pixels.shape == (height, width, 3) else None


def _one_scan(header: "Frame") -> bool:
    return header.coding in _ONE_PASS and header.scanned == header.samples


def load_jpeg(image: JpegImageFile, file: IO[bytes]) -> None:
    """Decodes the pixels; progressive files and others that need all data at once as Pillow does.

    Args:
      image: just opened.
      file: what it was opened from, where opening it has left it: behind the header of the first scan.

    Raises:
      OSError: the data end before the pixels or the pixels before the data.
    """
    first = file.tell()
    file.seek(0)
    data = file.read()
    if data.count(_SCAN) > _MAX_SCANS:
        raise OSError(f"more than {_MAX_SCANS} scans are not supported")
    pieces = _pieces(data, first) if image.format == "JPEG" else ()  # else of several pictures
    if not pieces:
        image.load()
        return
    left = iter(pieces)
    asked = 0

    def read(_: int) -> bytes:
        nonlocal asked
        asked += 1
        return next(left, b"")

    image.load_read = read  # type: ignore[method-assign, assignment]
    image.load()
    if asked == 1 < len(pieces):
        raise OSError("damaged inside: its pixels are complete before its data end")


def _pieces(data: bytes, first: int) -> tuple[bytes, ...]:
    """The two pieces of the file to decode one after the other; fewer where that does not work."""
    end = data.find(_END, first)
    if frame(data).coding not in _ONE_PASS or data.find(_SCAN, first, end) >= 0:
        return ()
    if end < 0:  # cut; zeros at its end are no pixels
        return (data.rstrip(_FILL),)
    cut = first + len(data[first:end].rstrip(_FILL)) - 2
    return (data[:cut], data[cut:end] + bytes(_SLACK)) if cut > first else ()


class Frame(NamedTuple):
    """What the header of a JPEG file says; zeros where it says nothing."""

    coding: int = 0
    """The marker's second byte."""
    bits: int = 0
    """Per sample."""
    height: int = 0
    width: int = 0
    samples: int = 0
    """Per pixel."""
    scanned: int = 0
    """Of these, how many the first scan holds. Where it holds all, libjpeg refuses a second scan."""


def frame(data: bytes) -> Frame:
    """The header of a JPEG file, which is `data` or begins them."""
    place, found = 2, Frame()
    for _ in range(_MAX_SEGMENTS):
        if data[place : place + 1] != b"\xff" or place + 10 > len(data):
            break
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = (int.from_bytes(data[place + at : place + at + 2]) for at in (5, 7))
            found = Frame(marker, data[place + 4], height, width, data[place + 9])
        if marker == _SCAN[1]:
            return found._replace(scanned=data[place + 4])
        place += 1 if marker == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4])
    return found


_NO_FRAME = (0xC4, 0xC8, 0xCC)  # Huffman tables, an extension, arithmetic coding
