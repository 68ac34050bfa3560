"""Damage inside of JPEG files is noticed where the decoder loses its place; sound files decode as before."""

import io

import numpy as np
import pytest
from PIL import Image

from asae_jax.input.decode import BadImage, decode_image


def cell(seed, shape=(90, 110, 3)):
    """A smooth picture with a dark disc, as a cell's."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    disc = 120 * (np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) < shape[0] / 3)
    noise = np.random.default_rng(seed).normal(0, 6, shape)
    return np.clip(220 - disc[..., None] * [0.5, 1, 0.3] + noise, 0, 255).astype(np.uint8)


def jpeg(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def plain(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def damaged(data, change, place):
    start = data.find(b"\xff\xda") + 14
    place = start + int(place * (len(data) - start - len(change) - 8))
    return data[:place] + change + data[place + len(change) :]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quality": 95, "subsampling": 0},
        {"quality": 5},
        {"optimize": True},
        {"restart_marker_blocks": 2},
        {"progressive": True},
    ],
)
@pytest.mark.parametrize("behind", [b"", b"notes", jpeg(cell(9))])
def test_sound_files_decode_as_before(options, behind):
    flat = [np.full((31, 45, 3), level, np.uint8) for level in (0, 128, 255)]
    for pixels in (cell(0), cell(1, (8, 8, 3)), cell(2)[..., 0], *flat, *(level[..., 0] for level in flat)):
        data = jpeg(pixels, **options) + behind
        np.testing.assert_array_equal(decode_image(data, "x"), plain(data))


def test_colours_of_four_samples_decode_as_before():
    buffer = io.BytesIO()
    Image.fromarray(cell(0)).convert("CMYK").save(buffer, "JPEG")
    np.testing.assert_array_equal(decode_image(buffer.getvalue(), "x"), plain(buffer.getvalue()))


@pytest.mark.parametrize("padding", [b"\xff" * 3, b"\0" * 5, b"\0" * 40])
def test_padding_before_the_end_is_allowed(padding):
    data = jpeg(cell(0))
    padded = data[:-2] + padding + data[-2:]
    np.testing.assert_array_equal(decode_image(padded, "x"), plain(data))


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_lost_sector_is_noticed(place):
    data = jpeg(cell(0, (300, 300, 3)), quality=90)
    bad = damaged(data, bytes(512), place)
    assert plain(bad).shape == (300, 300, 3)  # Pillow itself says nothing
    with pytest.raises(BadImage, match="truncated or damaged"):
        decode_image(bad, "x")


def test_most_damaged_runs_of_bytes_are_noticed():
    random, noticed = np.random.default_rng(0), 0
    for seed in range(40):
        data = jpeg(cell(seed), quality=90)
        change = bytes(random.integers(0, 255, 64, dtype=np.uint8))
        try:
            decode_image(damaged(data, change, random.uniform()), "x")
        except BadImage:
            noticed += 1
    assert noticed >= 25


def test_a_file_whose_end_is_zeros_is_noticed():
    data = jpeg(cell(0))
    for kept in (0.3, 0.6, 0.95):
        end = int(kept * len(data))
        with pytest.raises(BadImage, match="truncated or damaged"):
            decode_image(data[:end] + bytes(len(data) - end), "x")


def test_very_many_scans_are_not_decoded():
    """Each goes over all pixels: a file of some megabytes would take hours."""
    for options in ({}, {"progressive": True}):
        data = jpeg(cell(0), **options)
        start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
        bomb = data[:start] + data[start:end] * 200 + data[end:]
        with pytest.raises(BadImage, match="more than 100 scans"):
            decode_image(bomb, "x")
