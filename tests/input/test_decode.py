import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from asae_jax.errors import UserError
from asae_jax.input.decode import BadImage, read_image, read_orientation

NAMES = "JPEG, PNG, BMP, TIFF, WebP, GIF or JPEG 2000"


@pytest.fixture
def picture():
    """RGB `[20, 30, 3]`, smooth enough to survive JPEG."""
    rows, columns = np.mgrid[0:20, 0:30]
    return np.stack([rows * 9, columns * 7, 255 - rows * 5], axis=-1).astype(np.uint8)


def save(array, path, **options):
    Image.fromarray(array).save(path, **options)
    return path


def encoded(array, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def png_of_size(width, height, *, depth=8, colour=2, rows=b""):
    """A PNG file written by hand; with the default `rows`, one that has only a header."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif", "x.TIFF"])
def test_lossless_formats_return_the_pixels(tmp_path, picture, name):
    result = read_image(save(picture, tmp_path / name))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, picture)


def test_jpeg_is_close_and_rgb(tmp_path, picture):
    result = read_image(save(picture, tmp_path / "x.jpg", quality=98))
    assert np.abs(result.astype(int) - picture).max() < 12


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_grey_becomes_three_equal_channels(tmp_path, picture, suffix):
    result = read_image(save(picture[..., 0], tmp_path / f"x.{suffix}"))
    assert result.shape == picture.shape
    assert np.ptp(result, axis=-1).max() == 0
    assert np.abs(result[..., 0].astype(int) - picture[..., 0]).max() < 8


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("alpha", [0, 130])
def test_alpha_is_dropped_not_composited(tmp_path, picture, suffix, alpha):
    opacity = np.full((*picture.shape[:2], 1), alpha, np.uint8)
    path = save(np.concatenate([picture, opacity], axis=-1), tmp_path / f"x.{suffix}")
    np.testing.assert_array_equal(read_image(path), picture)


def test_grey_with_alpha(tmp_path, picture):
    path = save(np.stack([picture[..., 0], picture[..., 1]], axis=-1), tmp_path / "x.png")
    np.testing.assert_array_equal(read_image(path), np.repeat(picture[..., :1], 3, axis=-1))


@pytest.mark.parametrize("options", [{}, {"transparency": 3}, {"transparency": bytes(range(40))}])
def test_palette_becomes_its_colours(tmp_path, picture, options):
    image = Image.fromarray(picture).quantize(40)
    image.save(tmp_path / "x.png", **options)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_keeps_the_upper_eight_bits(tmp_path, suffix):
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    result = read_image(save(values, tmp_path / f"x.{suffix}"))
    np.testing.assert_array_equal(result, np.repeat((values >> 8)[..., None], 3, axis=-1))


def test_sixteen_bit_colour_keeps_the_upper_eight_bits(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (9, 11, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    (tmp_path / "x.png").write_bytes(png_of_size(11, 9, depth=16, rows=rows))
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), values >> 8)


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colour_in_jpeg_2000_is_refused(tmp_path, channels):
    """Pillow 12 rounds it into 8 bits, in which white becomes black."""
    values = np.full((64, 64, channels), 65535, np.uint16)
    path = tmp_path / "x.jp2"
    path.write_bytes(cv2.imencode(".jp2", values)[1].tobytes())
    with pytest.raises(BadImage, match="JPEG 2000 in colour of more than 8 bits per sample: save it as PNG"):
        read_image(path)
    path.write_bytes(cv2.imencode(".jp2", (values >> 8).astype(np.uint8))[1].tobytes())
    assert read_image(path).min() == 255


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("kind", ["grey.png", "grey.tif", "colour.png", "grey.jp2"])
def test_fewer_bits_in_files_of_sixteen_are_refused(tmp_path, bits, kind):
    values = np.random.default_rng(0).integers(0, 1 << bits, (9, 11, 3)).astype(np.uint16)
    path = tmp_path / kind
    if kind == "colour.png":
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        path.write_bytes(png_of_size(11, 9, depth=16, rows=rows))
    else:
        save(values[..., 0], path)
    with pytest.raises(BadImage, match=r"no value reaches .* of 65,536, as when 12 bits.*scale its values"):
        read_image(path)


KINDS = {
    "jpg": {},
    "png": {},
    "webp": {"lossless": True},
    "tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "jpeg.tif": {"compression": "jpeg"},
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sides", [(48, 32), (32, 32)])
def test_the_orientation_that_a_file_states_is_ignored(tmp_path, kind, orientation, sides):
    """As the same file without it; of lossless kinds these are the pixels that were saved."""
    pixels = np.random.default_rng(0).integers(0, 256, (*sides, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {"tiffinfo": {0x0112: orientation}} if kind.endswith("tif") else {"exif": exif}
    found = read_image(save(pixels, tmp_path / f"turned.{kind}", **KINDS[kind], **turned))
    np.testing.assert_array_equal(found, read_image(save(pixels, tmp_path / f"plain.{kind}", **KINDS[kind])))
    if "jp" not in kind:
        np.testing.assert_array_equal(found, pixels)
    assert read_orientation(tmp_path / f"turned.{kind}") == orientation
    assert read_orientation(tmp_path / f"plain.{kind}") == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # the package passes over warnings of Pillow
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense"])
def test_damaged_metadata_state_no_orientation(tmp_path, picture, exif):
    assert read_orientation(save(picture, tmp_path / "x.jpg", exif=exif)) == 1


def test_an_orientation_that_there_is_not_counts_as_none(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 9
    assert read_orientation(save(picture, tmp_path / "x.jpg", exif=exif)) == 1


def test_an_orientation_in_xmp_alone_turns_no_jpeg(tmp_path, picture):
    """As browsers have it."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    assert read_orientation(save(picture, tmp_path / "x.jpg", xmp=xmp)) == 1


def test_the_orientation_of_no_image_is_refused(tmp_path):
    with pytest.raises(BadImage, match="unreadable"):
        read_orientation(tmp_path / "none.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_sixteen_bits_is_ignored(tmp_path, orientation):
    grey = np.random.default_rng(0).integers(0, 65536, (48, 32)).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "x.tif", tiffinfo={0x0112: orientation})
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif")[..., 0], grey >> 8)


def test_a_smaller_page_is_a_preview_and_is_ignored(tmp_path, picture):
    second = Image.fromarray(255 - picture[::2, ::2])
    path = save(picture, tmp_path / "x.tif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_several_pages_or_frames_are_refused(tmp_path, picture, suffix):
    second = Image.fromarray(255 - picture)
    path = save(picture, tmp_path / f"x.{suffix}", save_all=True, append_images=[second])
    with pytest.raises(BadImage, match=r"a stack: page 2|an animation of 2 frames"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["jfif", "jp2", "j2k", "webp", "gif", "png"])
def test_other_formats_are_read(tmp_path, picture, suffix):
    image = Image.fromarray(picture)
    options = {"lossless": True} if suffix == "webp" else {}
    image.save(tmp_path / f"x.{suffix}", **options)
    result = read_image(tmp_path / f"x.{suffix}")
    assert result.dtype == np.uint8
    assert np.abs(result.astype(int) - picture).max() <= {"gif": 255, "jfif": 40}.get(suffix, 0)
    if suffix == "gif":
        with Image.open(tmp_path / "x.gif") as gif:
            np.testing.assert_array_equal(result, np.asarray(gif.convert("RGB")))


def test_the_extension_does_not_matter(tmp_path, picture):
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded(picture, "PNG"))
    np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {}),
        ("GIF", {}),
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
    ],
)
@pytest.mark.filterwarnings("ignore:::PIL")  # as outside of tests
def test_no_truncated_file_passes_for_an_image(tmp_path, kind, options):
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    whole = encoded(noise, kind, **options)
    path = tmp_path / "x"
    path.write_bytes(whole)
    pixels = read_image(path)
    refused = set()
    for length in range(1, len(whole), 37):
        path.write_bytes(whole[:length])
        try:
            np.testing.assert_array_equal(read_image(path), pixels)
        except BadImage as error:
            refused.add(error.reason.split(" (")[0])
    assert refused - {f"not a {NAMES} image"} == {"truncated or damaged"}


BLACK = np.zeros((20, 20), np.uint8)
JPEG_OF_12_BITS = encoded(BLACK, "JPEG").replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc1\0\x0b\x0c")

# Pillow writes it from 11.3 on.
AVIF = (
    encoded(BLACK, "AVIF") if ".avif" in Image.registered_extensions() else b"\0\0\0\x1cftypavif" + bytes(99)
)


def write(path, data):
    path.write_bytes(data)
    return path


BAD_FILES = {
    "an image": (b"these are my notes\n", f"not a {NAMES} image"),
    "empty": (b"", "empty file"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(99), "a HEIC image: save it as PNG"),
    "avif": (AVIF, "an AVIF image: save it as PNG"),
    "dicom": (bytes(128) + b"DICM" + bytes(9), "a DICOM file: save it as PNG"),
    "pnm": (encoded(BLACK, "PPM"), "a PNM image: save it"),
    "zip": (b"PK\x03\x04" + bytes(30), "a ZIP archive: unpack it"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS.*git lfs pull"),
    "a failed download": (b"<!DOCTYPE html><html>", "a web page: download the file again"),
    "a Mac's leftover": (b"\0\x05\x16\x07" + bytes(99), "a Mac's notes about a file"),
    "12-bit jpeg": (JPEG_OF_12_BITS, "a JPEG of 12 bits, which is not read"),
    "one pixel": (encoded(np.zeros((1, 1, 3), np.uint8), "PNG"), "1x1 pixels"),
    "narrow": (encoded(np.zeros((100, 7, 3), np.uint8), "JPEG"), "7x100 pixels"),
    "50 megapixels": (png_of_size(10_000, 5_000), "10000x5000 pixels; more than 40,000,000"),
    "100 megapixels": (png_of_size(10_000, 10_000), "more than 40,000,000|exceeds limit"),
    "400 megapixels": (png_of_size(20_000, 20_000), "more than 40,000,000"),
    "float": (encoded(np.zeros((20, 20), np.float32), "TIFF"), "32-bit pixels"),
    "garbage after the header": (b"\x89PNG\r\n\x1a\n" + bytes(100), "truncated or damaged"),
    "a JPEG's beginning": (b"\xff\xd8\xff\xe0", "truncated or damaged"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_are_refused_with_a_reason_of_one_line(tmp_path, kind):
    data, reason = BAD_FILES[kind]
    path = write(tmp_path / "x.jpg", data)
    with pytest.raises(BadImage, match=reason) as caught:
        read_image(path)
    assert caught.value.path == str(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UserError)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "x.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("x.png", "link.png", "zero.png"):
        with pytest.raises(BadImage, match="not a file but a pipe, socket or device"):
            read_image(tmp_path / name)


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "x.png").symlink_to(tmp_path / "x.png")
    with pytest.raises(BadImage, match="unreadable"):
        read_image(tmp_path / "x.png")


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(BadImage, match="unreadable"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(BadImage, match="unreadable"):
        read_image(tmp_path)


def test_forty_megapixels_are_refused_before_anything_is_decoded(tmp_path, monkeypatch):
    def decoded(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("asae_jax.input.decode._rgb", decoded)
    with pytest.raises(BadImage, match="more than 40,000,000"):
        read_image(write(tmp_path / "x.png", png_of_size(8_001, 5_000)))
    with pytest.raises(BadImage, match="decoded"):  # the limit itself is allowed
        read_image(write(tmp_path / "x.png", png_of_size(8_000, 5_000)))
