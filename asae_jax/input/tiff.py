"""What the tags of a TIFF file say about its pixels, and why some cannot be taken as an image of a cell.

Pillow reads many scientific TIFF files, some of them wrongly and without a word: 16-bit colours in separate
planes are scrambled, signed values lose their sign, 16-bit white-is-zero stays inverted, and of a stack
with one colour a page the first page looks like a grey image. The tags tell all of these.
"""

import re
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import TiffImagePlugin

from asae_jax.types import HostImage

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_DESCRIPTION, _SAMPLES, _PLANAR, _FORMAT, _SUBFILE, _OLD_SUBFILE = 270, 277, 284, 339, 254, 255
_STRIPS, _TILES = 273, 324
ORIENTATION = 274
"""The tag, and that of EXIF, that says how an image is to be turned."""

_REDUCED, _MASK = 1, 4  # bits of _SUBFILE
_OLD_REDUCED = 2
_UNSIGNED, _SIGNED, _FLOAT, _VOID = 1, 2, 3, 4
_FORMATS = {_SIGNED: "signed", _FLOAT: "floating point", 5: "complex", 6: "complex floating point"}
_RANGELESS = frozenset({_FLOAT, 5, 6})
_WHITE_IS_ZERO, _RGB, _CMYK, _YCBCR = 0, 2, 5, 6
_READ_COLOURS = frozenset({_WHITE_IS_ZERO, 1, _RGB, 3, _CMYK, _YCBCR})
_COLOURS = {8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32803: "a camera's raw colours", 34892: "raw"}
_JPEG_METHODS = ("jpeg", "tiff_jpeg")
_MOST_PAGES = 1000

_TO_RGB = "save it as 8-bit RGB"
_MERGE = "merge its colours into one RGB image (ImageJ: Image > Color > Stack to RGB) or save each page alone"


class Tiff(NamedTuple):
    """The first page of a TIFF file."""

    bits: int
    """Per sample, the most of any sample."""
    samples: int
    """Per pixel."""
    white_is_zero: bool
    """Whether grey values are inverted."""
    fault: str
    """Why it cannot be used, with a remedy; empty where it can."""


def first_page(file: IO[bytes], tags: Any = None) -> Tiff | None:
    """What the tags of the first page say; None where they are missing or damaged.

    Args:
      file: a TIFF file; its position is moved.
      tags: of the first page, where Pillow has read them already.
    """
    try:
        file.seek(0)
        header = file.read(8)
        if header[2:3] == b"\x2b":  # BigTIFF
            header += file.read(8)
        if tags is None:
            tags = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(tags.next)
            tags.load(file)
        if _STRIPS not in tags and _TILES not in tags:
            return None
        bits, samples = tuple(tags.get(_BITS, (1,))), tags.get(_SAMPLES, 1)
        fault = _page_fault(tags, bits) or _stack_fault(file, header, tags)
    except Exception:  # of damaged tags: OSError, SyntaxError, struct.error, TypeError, KeyError ...
        return None
    return Tiff(max(bits), samples, tags.get(_PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO, fault)


def uncompressed(image: TiffImagePlugin.TiffImageFile, file: IO[bytes]) -> HostImage | None:
    """The pixels of 8-bit RGB that lie in the file as they are; None for others and where some are missing.

    Also None of most that Pillow would turn by a right angle, as it says that their sides are exchanged.

    Pillow unpacks them to four bytes a pixel and packs them again: the whole file takes twice as long.

    Args:
      image: just opened.
      file: what it was opened from; its position is moved.
    """
    if image.mode != "RGB":
        return None
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    row = 0
    for codec, extents, offset, arguments in image.tile:
        left, top, right, bottom = extents or (0, 0, 0, 0)
        whole_rows = (left, top, right) == (0, row, image.width) and bottom > top
        if codec != "raw" or arguments != ("RGB", 0, 1) or not whole_rows:
            return None
        file.seek(offset)
        data = file.read((bottom - top) * image.width * 3)
        if len(data) < (bottom - top) * image.width * 3:
            return None
        pixels[top:bottom] = np.frombuffer(data, np.uint8).reshape(-1, image.width, 3)
        row = bottom
    return pixels if row == image.height else None


_TURNED_BACK: dict[int, Callable[[HostImage], HostImage]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
}


def as_stored(pixels: HostImage, orientation: int) -> HostImage:
    """The pixels as they lie in the file, of those that Pillow has turned as `orientation` (1..8) says.

    It turns TIFF files alone, when it loads them.
    """
    turned_back = _TURNED_BACK.get(orientation)
    return pixels if turned_back is None else np.ascontiguousarray(turned_back(pixels))


def unread_layout(file: IO[bytes]) -> str:
    """Why Pillow cannot open a TIFF file whose tags are complete; empty where they are not.

    Args:
      file: the file; its position is moved.
    """
    page = first_page(file)
    if page is None or page.fault:
        return page.fault if page else ""
    return f"its layout ({page.samples} samples of {page.bits} bits per pixel) is not read: {_TO_RGB}"


def _page_fault(tags: Any, bits: tuple[int, ...]) -> str:
    samples, photometric = tags.get(_SAMPLES, 1), tags.get(_PHOTOMETRIC, _WHITE_IS_ZERO)
    formats = set(tags.get(_FORMAT, (_UNSIGNED,))) - {_VOID} or {_UNSIGNED}
    kind = ", ".join(_FORMATS.get(number, f"format {number}") for number in sorted(formats - {_UNSIGNED}))
    if max(bits) > 16 or formats & _RANGELESS:
        return f"{max(bits)}-bit pixels ({kind or 'unsigned'}), which have no fixed range: {_TO_RGB}"
    if kind:
        return f"{max(bits)}-bit pixels ({kind}), which are not read: {_TO_RGB}"
    if photometric not in _READ_COLOURS:
        return f"its colours are {_COLOURS.get(photometric, f'of kind {photometric}')}: {_TO_RGB}"
    method = TiffImagePlugin.COMPRESSION_INFO.get(tags.get(_COMPRESSION, 1))
    if method is None:
        return f"compressed by method {tags[_COMPRESSION]}, which is not read: {_TO_RGB}, uncompressed or LZW"
    if photometric == _YCBCR and method not in _JPEG_METHODS:
        return f"its colours are YCbCr without JPEG, which are not read: {_TO_RGB}"
    if samples > 1 and max(bits) > 8 and tags.get(_PLANAR, 1) == 2:
        return f"{max(bits)}-bit colours in separate planes, which are not read: {_TO_RGB}"
    if samples > 2 and photometric in (_WHITE_IS_ZERO, 1):
        return f"{samples} grey channels instead of colours: {_MERGE}"
    return ""


def _stack_fault(file: IO[bytes], header: bytes, tags: Any) -> str:
    if _is_preview(tags):
        return f"its first page is only a preview of another image: {_TO_RGB}"
    number = _described_images(str(tags.get(_DESCRIPTION, "")), tags.get(_SAMPLES, 1))
    if number > 1:
        return f"one of {number} images or colours of a stack, by its description: {_MERGE}"
    pixels = tags[_WIDTH] * tags[_HEIGHT]
    for page, other in enumerate(_other_pages(file, header, tags.next), 2):
        if not _is_preview(other) and other.get(_WIDTH, 0) * other.get(_HEIGHT, 0) >= pixels:
            return f"a stack: page {page} is as large as page 1: {_MERGE}"
    return ""


def _is_preview(tags: Any) -> bool:
    """Whether a page shows another one in a lower resolution, or is a mask of it."""
    return bool(tags.get(_SUBFILE, 0) & (_REDUCED | _MASK)) or tags.get(_OLD_SUBFILE) == _OLD_REDUCED


def _described_images(description: str, samples: int) -> int:
    """Images (ImageJ) or colours (OME) that belong together, by the description; 1 where it tells none."""
    if description.startswith("ImageJ="):
        found = re.search(r"^images=(\d+)", description, re.MULTILINE)
        return int(found[1]) if found else 1
    if "<OME" in description or "openmicroscopy.org" in description:
        colours = [int(number) for number in re.findall(r'\bSizeC="(\d{1,6})"', description)]
        return max(colours) if colours and max(colours) > samples else 1
    return 1


def _other_pages(file: IO[bytes], header: bytes, offset: int) -> Iterator[Any]:
    """The tags of the pages from `offset` on, as far as they can be read."""
    seen = {TiffImagePlugin.ImageFileDirectory_v2(header).next}  # a cut directory refers to itself
    while offset and offset not in seen and len(seen) < _MOST_PAGES:
        seen.add(offset)
        tags: Any = TiffImagePlugin.ImageFileDirectory_v2(header)
        try:
            file.seek(offset)
            tags.load(file)
        except Exception:  # see `first_page`; the first page is unharmed
            return
        yield tags
        offset = tags.next
