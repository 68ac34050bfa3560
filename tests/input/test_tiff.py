"""Pixels of scientific TIFF files are right, or the file is refused with the true reason."""

import io

import numpy as np
import pytest
from PIL import Image

from asae_jax.input.decode import BadImage, decode_image
from tests.input.tiffs import tiff

RANDOM = np.random.default_rng(0)
RGB8 = RANDOM.integers(0, 256, (10, 14, 3), dtype=np.uint8)
RGB16 = RANDOM.integers(0, 65536, (10, 14, 3), dtype=np.uint16)
GREY8, GREY16 = RGB8[..., 0], RGB16[..., 0]
ALPHA8 = RANDOM.integers(0, 256, (10, 14, 4), dtype=np.uint8)
ALPHA16 = RANDOM.integers(0, 65536, (10, 14, 4), dtype=np.uint16)
BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION, PLANAR, SUBFILE = 258, 259, 262, 270, 284, 254
EXTRA, ROWS_PER_STRIP = 338, 278


def grey(values):
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=-1)


def by_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("strip", [3, 10])
@pytest.mark.parametrize("behind", [b"", bytes(9)])
def test_uncompressed_colours_are_those_of_pillow(strip, behind):
    """Strips, the last one shorter."""
    buffer = io.BytesIO()
    Image.fromarray(RGB8).save(buffer, "TIFF", tiffinfo={ROWS_PER_STRIP: strip})
    data = buffer.getvalue() + behind
    np.testing.assert_array_equal(decode_image(data, "x"), by_pillow(data))


def packed_12_bits(values):
    """Two values in three bytes."""
    even, odd = values[:, ::2], values[:, 1::2]
    parts = [even >> 4, (even & 15) << 4 | odd >> 8, odd & 255]
    return np.stack(parts, axis=-1).astype(np.uint8).reshape(len(values), -1)


READ = {
    "8-bit colours": ((RGB8, {}), RGB8),
    "8-bit colours in planes": ((RGB8, {PLANAR: 2}), RGB8),
    "16-bit colours": ((RGB16, {}), RGB16 >> 8),
    "8-bit alpha": ((ALPHA8, {EXTRA: 2}), ALPHA8[..., :3]),
    "8-bit alpha in planes": ((ALPHA8, {EXTRA: 2, PLANAR: 2}), ALPHA8[..., :3]),
    "16-bit alpha": ((ALPHA16, {EXTRA: 2}), ALPHA16[..., :3] >> 8),
    "8-bit grey": ((GREY8, {}), grey(GREY8)),
    "8-bit grey, white is zero": ((GREY8, {PHOTOMETRIC: 0}), 255 - grey(GREY8)),
    "16-bit grey": ((GREY16, {}), grey(GREY16 >> 8)),
    "an ImageJ image": ((RGB8, {DESCRIPTION: "ImageJ=1.53t\nunit=um\n"}), RGB8),
    "an OME colour image": ((RGB8, {DESCRIPTION: '<OME><Pixels SizeC="3" SizeZ="1"/></OME>'}), RGB8),
}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", READ)
def test_pixels_are_right_in_both_byte_orders(kind, order):
    page, expected = READ[kind]
    np.testing.assert_array_equal(decode_image(tiff([page], order=order), "x"), expected)


def test_sixteen_bits_white_is_zero_are_inverted():
    data = tiff([(GREY16, {PHOTOMETRIC: 0})])
    np.testing.assert_array_equal(decode_image(data, "x"), grey((65535 - GREY16) >> 8))


def test_packed_twelve_bits_keep_the_upper_eight():
    values = GREY16 >> 4
    data = tiff([(packed_12_bits(values), {256: 14, BITS: 12})])
    np.testing.assert_array_equal(decode_image(data, "x"), grey(values >> 4))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_few_bits_are_stretched(bits, white_is_zero):
    values, each = RANDOM.integers(0, 1 << bits, (10, 16)), 8 // bits
    rows = sum(values[:, i::each] << (8 - bits * (i + 1)) for i in range(each)).astype(np.uint8)
    result = decode_image(tiff([(rows, {256: 16, BITS: bits, PHOTOMETRIC: 1 - white_is_zero})]), "x")
    full = grey(values * (255 // ((1 << bits) - 1)))
    np.testing.assert_array_equal(result, 255 - full if white_is_zero else full)


OME = '<?xml version="1.0"?><OME><Pixels DimensionOrder="XYCZT" SizeC="3" SizeZ="1" SizeT="1"/></OME>'
REFUSED = {
    "16-bit colours in planes": ([(RGB16, {PLANAR: 2})], "16-bit colours in separate planes.*8-bit RGB"),
    "16-bit alpha in planes": ([(ALPHA16, {PLANAR: 2})], "16-bit colours in separate planes"),
    "12 bits in 16": ([(RGB16 >> 4, {})], "no value reaches 4,096 of 65,536.*no more than 16 grey levels"),
    "12 bits in 16, white is zero": ([(GREY16 >> 4, {PHOTOMETRIC: 0})], "no value reaches 4,096|layout"),
    "int8": ([(GREY8.astype(np.int8), {})], r"8-bit pixels \(signed\), which are not read: save it"),
    "int8 colours": ([(RGB8.astype(np.int8), {})], r"8-bit pixels \(signed\)"),
    "int16": ([(GREY16.astype(np.int16), {})], r"16-bit pixels \(signed\)"),
    "uint32": ([(RGB8.astype(np.uint32), {})], r"32-bit pixels \(unsigned\), which have no fixed range"),
    "float16": ([(GREY8.astype(np.float16), {})], r"16-bit pixels \(floating point\), which have no fixed"),
    "float32": ([(RGB8.astype(np.float32), {})], r"32-bit pixels \(floating point\)"),
    "float64": ([(GREY8.astype(np.float64), {})], r"64-bit pixels \(floating point\)"),
    "complex": ([(GREY8.astype(np.complex64), {})], r"64-bit pixels \(complex floating point\)"),
    "one colour a page": ([(RGB8[..., i], {}) for i in range(3)], "a stack: page 2 .*Stack to RGB"),
    "colour pages": ([(RGB8, {})] * 2, "a stack: page 2"),
    "a preview first": ([(RGB8, {SUBFILE: 1}), (RGB16, {})], "its first page is only a preview"),
    "a small page first": ([(RGB8[:9, :9], {}), (RGB8, {})], "a stack: page 2"),
    "ImageJ, without directories": ([(GREY8, {DESCRIPTION: "ImageJ=1.53t\nimages=3\n"})], "one of 3 images"),
    "OME, a file a colour": ([(GREY8, {DESCRIPTION: OME})], "one of 3 images or colours of a stack"),
    "grey channels": ([(RGB8, {PHOTOMETRIC: 1})], "3 grey channels instead of colours"),
    "L*a*b*": ([(RGB8, {PHOTOMETRIC: 8})], r"CIE L\*a\*b\*: save it as 8-bit RGB"),
    "YCbCr": ([(RGB8, {PHOTOMETRIC: 6})], "YCbCr without JPEG"),
    "raw": ([(GREY16, {PHOTOMETRIC: 32803})], "raw colours"),
    "JPEG 2000 inside": ([(RGB8, {COMPRESSION: 34712})], "compressed by method 34712, which is not read"),
    "an odd layout": ([(RGB8, {BITS: [5, 6, 5]})], r"its layout \(3 samples of 6 bits per pixel\)"),
}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_come_out_wrong_is_refused_with_the_true_reason(kind, order):
    pages, reason = REFUSED[kind]
    with pytest.raises(BadImage, match=reason) as caught:
        decode_image(tiff(pages, order=order), "x.tif")
    assert "damaged" not in caught.value.reason


@pytest.mark.parametrize("mark", [{SUBFILE: 4}, {SUBFILE: 1}, {255: 2}])
def test_masks_and_previews_of_any_size_are_ignored(mark):
    np.testing.assert_array_equal(decode_image(tiff([(RGB8, {}), (RGB8, mark)]), "x"), RGB8)


def test_a_chain_of_pages_that_bites_its_tail_ends():
    data = bytearray(tiff([(RGB8, {}), (RGB8[:5, :5], {})]))
    first = int.from_bytes(data[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    second = int.from_bytes(data[link : link + 4], "little")
    end = second + 2 + 12 * int.from_bytes(data[second : second + 2], "little")
    data[end : end + 4] = second.to_bytes(4, "little")
    np.testing.assert_array_equal(decode_image(bytes(data), "x"), RGB8)


def test_damaged_tags_are_called_so():
    data = tiff([(RGB8, {})])
    for length in range(8, 150, 7):
        with pytest.raises(BadImage, match="truncated or damaged"):
            decode_image(data[:length], "x")
