"""What a file is by its first bytes: an image that is read, another kind with its remedy, or unknown."""

import os
import re
from pathlib import Path
from typing import NamedTuple

START_BYTES = 512
"""How much of a file's start `kind_of` needs."""


class Kind(NamedTuple):
    """What a file is."""

    name: str
    """With its article: "a HEIC image"."""
    remedy: str
    """What to do with it, as a clause; empty for an image that is read."""
    image: bool = False
    """Whether it holds pixels, read or not."""


_CONVERT = "save it as PNG or 8-bit RGB TIFF"
_UNPACK = "unpack it and give the folder"
_AS_CSV = "save it as CSV in UTF-8"

_KINDS: tuple[tuple[re.Pattern[bytes], Kind], ...] = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\xff\xd8\xff", Kind("a JPEG image", "", True)),
        (rb"\x89PNG", Kind("a PNG image", "", True)),
        (rb"BM.{4}\0\0\0\0", Kind("a BMP image", "", True)),
        (rb"II[*+]\0|MM\0[*+]", Kind("a TIFF image", "", True)),
        (rb"GIF8", Kind("a GIF image", "", True)),
        (rb"RIFF.{4}WEBP", Kind("a WebP image", "", True)),
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", Kind("a JPEG 2000 image", "", True)),
        (rb".{4}ftyp(?:hei|hev|mif1|msf1)", Kind("a HEIC image", _CONVERT, True)),
        (rb".{4}ftypavi[fs]", Kind("an AVIF image", _CONVERT, True)),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", Kind("a JPEG XL image", _CONVERT, True)),
        (rb"II\xbc\x01", Kind("a JPEG XR image", _CONVERT, True)),
        (rb".{128}DICM", Kind("a DICOM file", _CONVERT, True)),
        (rb"8BPS", Kind("a Photoshop file", _CONVERT, True)),
        (rb"P[1-7]\s+(?:#|\d+\s|WIDTH)", Kind("a PNM image", _CONVERT, True)),
        (rb"ZISRAWFILE", Kind("a Zeiss CZI file", _CONVERT, True)),
        (rb"\xda\xce\xbe\x0a", Kind("a Nikon ND2 file", _CONVERT, True)),
        (rb"\x70\0\0\0.{4}\x2a", Kind("a Leica LIF file", _CONVERT, True)),
        (rb"SIMPLE  =", Kind("a FITS image", _CONVERT, True)),
        (rb"(?:<\?xml[^>]*>\s*)?<svg", Kind("an SVG drawing", _CONVERT, True)),
        (rb"\0\x05\x16\x07", Kind("a Mac's notes about a file", "give the file itself")),
        (rb"version https://git-lfs", Kind("a pointer of Git LFS, not the file", "run git lfs pull")),
        (rb"\s*<!(?:DOCTYPE|doctype)|\s*<html", Kind("a web page", "download the file again")),
        (rb"PK\x03\x04|PK\x05\x06", Kind("a ZIP archive", _UNPACK)),
        (rb"\x1f\x8b", Kind("a gzip archive", _UNPACK)),
        (rb"BZh[1-9]1AY", Kind("a bzip2 archive", _UNPACK)),
        (rb"\xfd7zXZ", Kind("an xz archive", _UNPACK)),
        (rb"\x28\xb5\x2f\xfd", Kind("a Zstandard archive", _UNPACK)),
        (rb"7z\xbc\xaf", Kind("a 7z archive", _UNPACK)),
        (rb"Rar!", Kind("a RAR archive", _UNPACK)),
        (rb".{257}ustar", Kind("a tar archive", _UNPACK)),
        (rb"\xd0\xcf\x11\xe0", Kind("an Excel, Word or Thumbs.db file", _AS_CSV)),
        (rb"%PDF", Kind("a PDF file", "give the images themselves")),
        (rb"\x93NUMPY", Kind("a NumPy array", _CONVERT)),
        (rb"\x89HDF", Kind("an HDF5 file", "save its images as PNG")),
    )
)
_SHEETS = (".xlsx", ".xlsm", ".ods")

UNREAD_EXTENSIONS = frozenset(
    {
        *(".apng", ".arw", ".avif", ".bif", ".cr2", ".cr3", ".czi", ".dcm", ".dicom", ".dng", ".emf", ".exr"),
        *(".fits", ".hdp", ".heic", ".heif", ".ico", ".jls", ".jxl", ".jxr", ".lif", ".lsm", ".mrxs", ".nd2"),
        *(".ndpi", ".nef", ".oib", ".oif", ".pbm", ".pcx", ".pgm", ".pnm", ".ppm", ".psd", ".raw", ".scn"),
        *(".svg", ".svs", ".tga", ".vms", ".vsi", ".wdp", ".zvi"),
    }
)
"""Extensions of images that are not read by their extension alone, in lower case."""


def kind_of(start: bytes, name: str = "") -> Kind | None:
    """The kind of a file; None where the first bytes do not tell.

    Args:
      start: at least the first `START_BYTES` of the file, or all of it.
      name: of the file; tells a spreadsheet from another ZIP archive.
    """
    for pattern, kind in _KINDS:
        if pattern.match(start):
            if kind.name == "a ZIP archive" and name.lower().endswith(_SHEETS):
                return Kind("a spreadsheet", _AS_CSV)
            if kind.name == "a ZIP archive" and name.lower().endswith(".npz"):
                return Kind("a NumPy archive", "give it as --config.data.path with --config.data.source=npz")
            return kind
    return None


def file_kind(path: Path) -> Kind | None:
    """`kind_of` a regular file; None also for what cannot be opened, or is a folder, pipe or device."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return kind_of(file.read(START_BYTES), path.name)
    except (OSError, ValueError):
        return None


def is_unread_image(name: str) -> bool:
    """Whether a file of this name is an image by its extension, but not of a kind that is read."""
    return os.path.splitext(name)[1].lower() in UNREAD_EXTENSIONS


def unread_reason(name: str) -> str:
    """Why a file of this name is no image that is read, by its extension alone."""
    extension = os.path.splitext(name)[1]
    if not extension:
        return "no extension: an image needs the one of its kind (.jpg, .png, .tif)"
    if is_unread_image(name):
        return f"{extension} images are not read: {_CONVERT}"
    return "no image by its extension"
