"""Image files of every format that is read, damaged at random."""

import functools
import io
import pathlib
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from asae_jax.input.decode import decode_image
from benchmarks.hostile.pool import refusing

COUNT = 20_000
PATIENCE = 1.0

_bases: list[tuple[str, bytes]] = []


def prepare(folder: pathlib.Path) -> None:
    """Makes one sound file of each variant of the formats."""
    _bases[:] = sound_files()


@functools.cache
def sound_files() -> list[tuple[str, bytes]]:
    """(extension, content) of a picture of 48 x 40 pixels in every variant of the formats that are read."""
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 255, (5, 6, 3), np.uint8)
    colour = Image.fromarray(smooth).resize((48, 40), Image.Resampling.BICUBIC)
    grey, palette = colour.convert("L"), colour.convert("P")
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    frames = [colour.rotate(90 * turn) for turn in range(1, 3)]
    exif = Image.Exif()
    exif[274] = 6
    files: list[tuple[str, bytes]] = []

    def add(kind: str, image: Image.Image, **options: object) -> None:
        file = io.BytesIO()
        image.save(file, kind, **options)
        files.append((kind.lower(), file.getvalue()))

    add("JPEG", colour, quality=90, exif=exif, icc_profile=b"icc" * 50, comment=b"c" * 40)
    add("JPEG", colour, progressive=True)
    add("JPEG", grey)
    add("JPEG", colour.convert("CMYK"))
    add("JPEG", colour, subsampling=0, restart_marker_blocks=2)
    for image in (colour, grey, palette, deep, colour.convert("RGBA"), grey.convert("1"), grey.convert("LA")):
        add("PNG", image)
    add("PNG", colour, icc_profile=b"icc" * 50, exif=exif, dpi=(72, 72))
    add("PNG", colour, save_all=True, append_images=frames)
    add("BMP", colour)
    add("BMP", palette)
    add("BMP", colour.convert("RGBA"))
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd"):
        add("TIFF", colour, compression=compression)
    add("TIFF", deep)
    add("TIFF", grey.convert("1"), compression="group4")
    add("TIFF", palette)
    add("TIFF", colour, save_all=True, append_images=[f.resize((20, 16)) for f in frames])
    add("TIFF", colour, tiffinfo={270: "ImageJ=1.53\nimages=1\n"})
    add("WEBP", colour, quality=80)
    add("WEBP", colour, lossless=True, exif=exif, icc_profile=b"icc" * 50)
    add("WEBP", colour.convert("RGBA"), lossless=True)
    add("WEBP", colour, save_all=True, append_images=frames)
    add("GIF", palette)
    add("GIF", palette, save_all=True, append_images=[f.convert("P") for f in frames], loop=0)
    add("JPEG2000", colour)
    add("JPEG2000", colour, irreversible=True, tile_size=(16, 16))
    add("JPEG2000", grey, no_jp2=True)
    add("JPEG2000", deep)
    return files


def attempt(number: int, seed: int, folder: pathlib.Path) -> Callable[[], None]:
    """Decodes damaged file `number`."""
    data = damaged(number, seed)
    return lambda: refusing(decode_image, data, f"{number}.bin")


def damaged(number: int, seed: int) -> bytes:
    """Damaged file `number`."""
    rng = random.Random(f"images {seed} {number}")
    kind, base = _bases[number % len(_bases)]
    data = bytearray(base)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        data = rng.choice(_DAMAGES)(rng, data)
    if kind == "png" and rng.random() < 0.7:
        data = with_checksums(data)
    return bytes(data)


def _bits(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 2, 8))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _header_bits(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 2, 4))):
        if data:
            data[rng.randrange(min(len(data), 250))] = rng.choice(
                (0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256))
            )
    return data


def _number(rng: random.Random, data: bytearray) -> bytearray:
    """A number that is large, or the least or the most of its type, at a place that holds one perhaps."""
    value = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 40_000, 1_000_000, 70_000_000))
    form = rng.choice(("<I", ">I", "<H", ">H"))
    packed = struct.pack(form, value & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
    place = rng.randrange(max(1, min(len(data), rng.choice((64, 250, 100_000)))))
    data[place : place + len(packed)] = packed
    return data


def _cut(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def _without(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.randrange(1, 200) :]


def _twice(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + rng.randrange(1, 400)]
    return data[:start] + piece * rng.choice((2, 3, 50)) + data[start:]


def _spliced(rng: random.Random, data: bytearray) -> bytearray:
    _, other = rng.choice(_bases)
    start = rng.randrange(len(data) + 1)
    return data[:start] + other[rng.randrange(len(other)) :]


def _noise(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.randbytes(rng.choice((1, 4, 100, 3000))) + data[start:]


def _zeros(rng: random.Random, data: bytearray) -> bytearray:
    start, length = rng.randrange(len(data) + 1), rng.choice((4, 64, 512))
    data[start : start + length] = bytes(min(length, max(0, len(data) - start)))
    return data


_DAMAGES = (
    _bits,
    _header_bits,
    _header_bits,
    _number,
    _number,
    _cut,
    _without,
    _twice,
    _spliced,
    _noise,
    _zeros,
)


def with_checksums(data: bytes | bytearray) -> bytearray:
    """A PNG file with the right checksum behind each chunk, so that decoders look at what is in them."""
    result, place = bytearray(data[:8]), 8
    while place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        body = data[place + 4 : place + 8 + length]
        if length > len(data):
            return result + data[place:]
        result += data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return result
