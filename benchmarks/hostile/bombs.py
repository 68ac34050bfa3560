"""Image files that are small and ask for much: of pixels, pages, scans, frames, metadata."""

import io
import pathlib
import struct
import zlib
from collections.abc import Callable, Iterator

from PIL import Image

from asae_jax.input.decode import read_image
from benchmarks.hostile.images import sound_files
from benchmarks.hostile.pool import refusing

PATIENCE = 1.0
_SIDES = (2**31 - 1, 2**32 - 1, 65_535, 65_500, 16_383, 8_000, 6_324, 100_000)


def prepare(folder: pathlib.Path) -> None:
    """Nothing is made ahead."""


def attempt(number: int, seed: int, folder: pathlib.Path) -> Callable[[], None]:
    """Reads bomb `number`."""
    path = folder / "bomb.png"
    makers[number](path)
    return lambda: refusing(read_image, path)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(
    width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2, data: bytes = b""
) -> bytes:
    head = struct.pack(">IIBBBBB", width & 0xFFFFFFFF, height & 0xFFFFFFFF, depth, colour, 0, 0, 0)
    body = data or zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + b"".join(chunks)
        + _chunk(b"IDAT", body)
        + _chunk(b"IEND", b"")
    )


def _deflated(count: int, piece: bytes = bytes(1 << 20)) -> bytes:
    """So many times `piece`, compressed."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(piece) for _ in range(count)) + packer.flush()


def _pixels(side: int, channels: int, deep: int = 1) -> bytes:
    return _deflated(
        side,
        b"\0"
        + bytes(range(100, 200)) * (side * channels * deep // 100)
        + bytes(side * channels * deep % 100),
    )


def _tiff(entries: list[tuple[int, int, int, int]], rest: bytes = b"", following: int = 0) -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + struct.pack("<I", following) + rest


_LONG, _SHORT = 4, 3


def _plain_tiff(
    width: int, height: int, *others: tuple[int, int, int, int], compression: int = 1, bits: int = 8
) -> bytes:
    entries = {
        256: (256, _LONG, 1, width),
        257: (257, _LONG, 1, height),
        258: (258, _SHORT, 1, bits),
        259: (259, _SHORT, 1, compression),
        262: (262, _SHORT, 1, 1),
        273: (273, _LONG, 1, 200),
        277: (277, _SHORT, 1, 1),
        278: (278, _LONG, 1, height),
        279: (279, _LONG, 1, 4000),
    }
    entries |= {entry[0]: entry for entry in others}
    return _tiff(list(entries.values())).ljust(200, b"\0") + zlib.compress(bytes(5000)).ljust(4000, b"\x55")


def _chain_of_pages(pages: int, tags: int) -> bytes:
    """Directories that overlap: each begins two bytes behind the one before it and has many tags."""
    first = bytearray(_plain_tiff(48, 40, (273, _LONG, 1, 8 + 200), (279, _LONG, 1, 1920)))
    start = len(first) + 2000
    struct.pack_into("<I", first, 8 + 2 + 12 * 9, start)
    data = first.ljust(start, b"\x55")
    # every directory: count, tags, next; `next` of each is written where no other reads it
    size = 2 + 12 * tags + 4
    block = bytearray((struct.pack("<H", tags)) * (size // 2 + pages + 2))
    for page in range(pages):
        place = 2 * page + 2 + 12 * tags
        block[place : place + 4] = struct.pack("<I", start + 2 * (page + 1))
    return bytes(data + block)


def _scans(count: int, side: int) -> bytes:
    """A progressive JPEG with many scans that each refine nothing."""
    file = io.BytesIO()
    Image.new("L", (side, side), 120).save(file, "JPEG", progressive=True, quality=30)
    data = file.getvalue()
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def _gif(width: int, height: int, frames: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    frame = (
        b"!\xf9\x04\0\0\0\0\0"
        + b","
        + struct.pack("<HHHH", 0, 0, width, height)
        + b"\0"
        + b"\x02\x02\x4c\x01\0"
    )
    return head + frame * frames + b";"


def _webp(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + size + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _jp2(base: bytes, **changes: tuple[int, str, int]) -> bytes:
    data = bytearray(base)
    place = data.find(b"\xff\x4f\xff\x51")
    for offset, form, value in changes.values():
        struct.pack_into(form, data, place + offset, value & 0xFFFFFFFF)
    return bytes(data)


def _jpeg_sized(height: int, width: int) -> bytes:
    data = bytearray(sound_files()[0][1])
    place = data.find(b"\xff\xc0")
    struct.pack_into(">HH", data, place + 5, height, width)
    return bytes(data)


def _made() -> Iterator[Callable[[], bytes]]:
    yield from _png_bombs()
    yield from _tiff_bombs()
    yield from _other_bombs()


def _png_bombs() -> Iterator[Callable[[], bytes]]:
    for side in _SIDES:
        yield lambda side=side: _png(side, side)
        yield lambda side=side: _png(8, side)
    for side, channels, deep, colour in ((6324, 3, 1, 2), (6324, 4, 2, 6), (6324, 1, 2, 0), (6324, 1, 1, 0)):
        yield lambda s=side, c=channels, d=deep, k=colour: _png(
            s, s, depth=8 * d, colour=k, data=_pixels(s, c, d)
        )
    yield lambda: _png(48, 40, data=_deflated(2000))
    yield lambda: _png(
        48, 40, _chunk(b"zTXt", b"a\0\0" + _deflated(2000)), data=zlib.compress(bytes(145 * 40))
    )
    yield lambda: _png(
        48,
        40,
        *[_chunk(b"zTXt", b"a%d\0\0" % n + _deflated(1)) for n in range(500)],
        data=zlib.compress(bytes(145 * 40)),
    )
    yield lambda: _png(48, 40, _chunk(b"iTXt", b"a\0\1\0\0\0" + _deflated(2000)))
    yield lambda: _png(
        48, 40, _chunk(b"iCCP", b"a\0\0" + _deflated(2000)), data=zlib.compress(bytes(145 * 40))
    )
    yield lambda: _png(
        48,
        40,
        _chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + bytes(60_000)),
        data=zlib.compress(bytes(145 * 40)),
    )
    yield lambda: _png(48, 40, *[_chunk(b"tEXt", b"a\0" + b"x" * 90)] * 300_000)
    yield lambda: _png(48, 40, _chunk(b"tEXt", b"a\0" + b"x" * 100_000_000))
    yield lambda: _png(
        48, 40, _chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), data=zlib.compress(bytes(145 * 40))
    )
    yield lambda: _png(48, 40, *[_chunk(b"IDAT", b"")] * 500_000)
    yield lambda: _png(48, 40, *[_chunk(b"fcTL", bytes(26))] * 100_000)


def _tiff_bombs() -> Iterator[Callable[[], bytes]]:
    for side in _SIDES:
        yield lambda side=side: _plain_tiff(side, side)
        yield lambda side=side: _plain_tiff(side, 8)
    for compression in (1, 2, 3, 4, 5, 6, 7, 8, 32773, 34925, 50000, 50001, 32946):
        yield lambda c=compression: _plain_tiff(6000, 6000, compression=c)
    for tag in (270, 273, 279, 258, 320, 324, 325, 330, 339, 34665, 34675, 700, 33723, 305, 282, 347):
        for kind in (1, 2, 3, 4, 5, 7, 12, 16):
            yield lambda t=tag, k=kind: _plain_tiff(48, 40, (t, k, 2**32 - 1, 8))
            yield lambda t=tag, k=kind: _plain_tiff(48, 40, (t, k, 100_000_000, 8)) + bytes(1000)
    yield lambda: _plain_tiff(
        6000, 6000, (322, _LONG, 1, 16), (323, _LONG, 1, 16), (324, _LONG, 1, 200), (325, _LONG, 1, 300)
    )
    yield lambda: _plain_tiff(
        48,
        40,
        (322, _LONG, 1, 2**31 - 16),
        (323, _LONG, 1, 2**31 - 16),
        (324, _LONG, 1, 200),
        (325, _LONG, 1, 300),
        compression=8,
    )
    yield lambda: _plain_tiff(
        48,
        40,
        (322, _LONG, 1, 50_000),
        (323, _LONG, 1, 50_000),
        (324, _LONG, 1, 200),
        (325, _LONG, 1, 300),
        compression=8,
    )
    yield lambda: _plain_tiff(48, 40, (278, _LONG, 1, 2**32 - 1), compression=8)
    yield lambda: _plain_tiff(48, 40, (277, _SHORT, 1, 65_535))
    yield lambda: _chain_of_pages(1000, 65_000)
    yield lambda: _chain_of_pages(100_000, 4)
    yield lambda: _plain_tiff(48, 40, (270, 2, 50_000_000, 300)) + b"<OME " + b' SizeC="1"' * 5_000_000
    yield lambda: _plain_tiff(48, 40, (270, 2, 50_000_000, 4300)) + b"ImageJ=" + b"\nimages" * 7_000_000
    yield lambda: b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63) + bytes(1000)
    yield lambda: b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 10_000_000) + bytes(2_000_000)


def _other_bombs() -> Iterator[Callable[[], bytes]]:
    for side in (65_500, 20_000, 6_324):
        yield lambda side=side: _jpeg_sized(side, side)
    for count, side in ((50, 6000), (5_000, 6000), (60_000, 2000), (100_000, 48), (1_000_000, 16)):
        yield lambda c=count, s=side: _scans(c, s)
    yield (
        lambda: (
            b"\xff\xd8"
            + (b"\xff\xe2\xff\xffICC_PROFILE\0\x01\xff" + bytes(65_519)) * 3000
            + sound_files()[0][1][2:]
        )
    )
    yield lambda: b"\xff\xd8" + b"\xff\xfe\0\x02" * 3_000_000 + sound_files()[0][1][2:]
    yield lambda: b"\xff\xd8" + b"\xff" * 50_000_000 + sound_files()[0][1][2:]
    for width, height, frames in (
        (65_535, 65_535, 1),
        (6_000, 6_000, 1),
        (48, 40, 300_000),
        (6_000, 6_000, 3_000),
        (8, 8, 1_000_000),
    ):
        yield lambda w=width, h=height, f=frames: _gif(w, h, f)
    yield lambda: b"GIF89a0\0(\0\x80\0\0" + bytes(6) + b"!\xfe" + b"\xff" + bytes(255) + b"\xffx" * 10_000_000
    for width, height in ((16_384, 16_384), (65_535, 65_535), (2**24, 255), (6_000, 6_000)):
        yield lambda w=width, h=height: _webp(w, h)
    yield lambda: _bmp(2**31 - 1, 2**31 - 1)
    yield lambda: _bmp(6000, 6000)
    yield lambda: _bmp(6000, 6000, bits=8, compression=1)
    yield lambda: _bmp(48, -(2**31))
    jp2 = [data for kind, data in sound_files() if kind == "jpeg2000"]
    for base in jp2:
        for side in (2**31, 2**32 - 1, 65_000, 6_000):
            yield lambda b=base, s=side: _jp2(b, x=(8, ">I", s), y=(12, ">I", s))
            yield lambda b=base, s=side: _jp2(
                b, x=(8, ">I", s), y=(12, ">I", s), u=(24, ">I", s), v=(28, ">I", s)
            )
        yield lambda b=base: _jp2(b, u=(24, ">I", 1), v=(28, ">I", 1))
        yield lambda b=base: _jp2(
            b, x=(8, ">I", 6000), y=(12, ">I", 6000), u=(24, ">I", 24), v=(28, ">I", 24)
        )
        yield lambda b=base: _jp2(b, c=(40, ">H", 16_384))
        yield lambda b=base: _jp2(b, d=(42, ">B", 37))
        yield lambda b=base: b + bytes(100_000_000)
    yield lambda: _icns_like()


def _bmp(width: int, height: int, *, bits: int = 24, compression: int = 0) -> bytes:
    head = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 256 if bits == 8 else 0, 0
    )
    return (
        b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + (1024 if bits == 8 else 0)) + head + bytes(1024 + 10_000)
    )


def _icns_like() -> bytes:
    """A TIFF within a TIFF within ... by its sub-directories, each referring to the first."""
    return _plain_tiff(48, 40, (330, _LONG, 1, 8), (34665, _LONG, 1, 8), (34853, _LONG, 1, 8))


def _writer(make: Callable[[], bytes]) -> Callable[[pathlib.Path], object]:
    return lambda path: path.write_bytes(make())


def _sparse(start: bytes, size: int) -> Callable[[pathlib.Path], None]:
    def write(path: pathlib.Path) -> None:
        with path.open("wb") as file:
            file.write(start)
            file.truncate(size)

    return write


makers: list[Callable[[pathlib.Path], object]] = [
    *map(_writer, _made()),
    *(_sparse(data, size) for size in (10**10, 10**13) for _, data in sound_files()),
]
COUNT = len(makers)
