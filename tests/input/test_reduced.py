"""JPEGs at a reduced scale: near to the whole image made smaller, in the same place; nothing else changes."""

import io

import numpy as np
import pytest
from PIL import Image

from asae_jax.input import jpeg
from asae_jax.input.decode import BadImage, decode_image, decode_reduced, read_image
from asae_jax.input.folder import folder_index
from asae_jax.input.manifest import manifest_index
from asae_jax.input.preparation import Preparation
from asae_jax.synthetic import render


def reduced(size, **options):
    return Preparation(size, hue="none", decoding="reduced", **options)


def encoded(pixels, kind="JPEG", *, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def ramp(height, width, slope):
    """Grey that rises along both axes, in steps below those of the picture's levels."""
    rows, columns = np.mgrid[0:height, 0:width]
    grey = np.round((rows + columns) * slope).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [
        *((32, 32, 1), (63, 200, 1), (64, 64, 2), (127, 64, 2), (128, 129, 4), (255, 400, 4), (256, 256, 8)),
        (3000, 2000, 8),
    ],
)
def test_the_square_keeps_the_stored_size(height, width, factor):
    assert reduced(32).reduction(height, width) == factor
    assert Preparation(32).reduction(height, width) == 1


def test_the_scale_of_the_cells_counts():
    assert reduced(32, scale=2.0).reduction(128, 128) == 2  # half of the image is cut out
    assert reduced(32, scale=0.5).reduction(128, 128) == 1  # twice of it would lie beyond the image


@pytest.mark.parametrize("shape", [(135, 135), (250, 333), (131, 259)])
def test_the_mirror_image_begins_where_the_image_ends(shape):
    """As if all pixels had been decoded: the reduced picture lacks up to seven of them at two sides."""
    data = encoded(render(0, 1, size=400)[: shape[0], : shape[1]], quality=95)
    image = decode_reduced(data, "x", reduced(14, scale=0.5).reduction)
    whole = Preparation(14, hue="none", scale=0.5)(decode_image(data, "x"))
    np.testing.assert_array_equal(reduced(14, scale=0.5)(image), whole)


@pytest.mark.parametrize("shape", [(128, 135), (250, 250), (131, 131), (250, 333), (301, 259), (512, 500)])
@pytest.mark.parametrize("size", [14, 31, 48])
@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_a_ramp_stays_where_it_is(shape, size, scale):
    """Averaging and interpolating keep it: each pixel shows its value in the middle of the pixel's share."""
    slope = 250 / sum(shape)
    prepare = reduced(size, scale=scale)
    image = decode_reduced(encoded(ramp(*shape, slope), quality=100, subsampling=0), "x", prepare.reduction)
    side = round(min(shape) / scale)
    middles = (np.arange(size) + 0.5) * side / size - 0.5
    down, across = ((length - side) // 2 + middles for length in shape)
    expected = (down[:, None] + across) * slope
    assert image.factor > 1
    error = np.abs(prepare(image)[..., 0] - expected)
    # Half a level each of the ramp's rounding, of the decoder's and of the result's, and OpenCV's half of
    # thirty-seconds of a pixel along both axes. Half a pixel of the reduced picture is more than that.
    assert error[1:-1, 1:-1].max() <= 1.5 + slope * image.factor / 32
    # Beyond the middle of the outermost pixels there is nothing to interpolate with.
    assert error.max() <= 1.5 + slope * image.factor


def test_flat_images_stay_flat():
    for colour in ((0, 0, 0), (255, 255, 255), (120, 40, 200)):
        flat = np.broadcast_to(np.uint8(colour), (250, 250, 3))
        prepare = reduced(30)
        image = decode_reduced(encoded(flat), "x", prepare.reduction)
        assert image.factor == (8 if any(colour) else 1)  # what is dark is judged whole
        assert (
            np.abs(prepare(image).astype(int) - colour).max() <= 2
        )  # as in the file: a level of rounding each


@pytest.mark.parametrize(("size", "factor"), [(256, 2), (112, 4), (64, 8)])
def test_cells_are_near_to_the_mean_over_areas(size, factor):
    """The bound that docs/performance.md states: about a grey level on average."""
    data = encoded(render(0, 3, size=512), quality=90)
    prepare = reduced(size)
    image = decode_reduced(data, "x", prepare.reduction)
    assert image.factor == factor
    whole = Preparation(size, hue="none")(decode_image(data, "x")).astype(int)
    assert np.abs(prepare(image) - whole).mean() < 1.1


def rgb_coded(pixels):
    return encoded(pixels, keep_rgb=True)


ODD = {
    "half the colours": lambda p: encoded(p, quality=90),
    "a quarter of the columns' colours": lambda p: encoded(p, subsampling=1),
    "all colours": lambda p: encoded(p, subsampling=0),
    "grey": lambda p: encoded(p, mode="L"),
    "four colours": lambda p: encoded(p, mode="CMYK"),
    "coded as RGB": rgb_coded,
    "progressive": lambda p: encoded(p, progressive=True),
    "with restarts": lambda p: encoded(p, restart_marker_blocks=3),
    "padded": lambda p: encoded(p)[:-2] + bytes(40) + b"\xff\xd9",
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("size", [8, 20, 50, 90])
def test_pillow_gives_the_same_pixels(kind, size, monkeypatch):
    """What is read where simplejpeg is missing, or refuses the file, does not depend on it."""
    data = ODD[kind](render(1, 2, size=140)[:, 3:])
    prepare = reduced(size)
    here = decode_reduced(data, "x", prepare.reduction)
    monkeypatch.setattr(jpeg, "_FAST", None)
    by_pillow = decode_reduced(data, "x", prepare.reduction)
    np.testing.assert_array_equal(here.pixels, by_pillow.pixels)
    assert here.factor == by_pillow.factor == prepare.reduction(140, 137)
    assert here.pixels.shape == (140 // here.factor, 137 // here.factor, 3)
    if kind == "grey":
        assert np.ptp(here.pixels, axis=-1).max() == 0


@pytest.mark.skipif(jpeg._FAST is None, reason="simplejpeg is not installed")
def test_sound_files_of_usual_colours_do_not_go_to_pillow(monkeypatch):
    def opened(*_, **__):
        raise AssertionError("opened by Pillow")

    monkeypatch.setattr(Image, "open", opened)
    pixels = render(1, 2, size=140)
    for options in ({}, {"progressive": True}, {"mode": "L"}, {"subsampling": 0}):
        decode_image(encoded(pixels, **options), "x")


def test_orientation_in_exif_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    pixels, prepare = render(1, 2, size=140)[:, 20:], reduced(30)
    turned, plain = (
        decode_reduced(data, "x", prepare.reduction) for data in (encoded(pixels, exif=exif), encoded(pixels))
    )
    np.testing.assert_array_equal(turned.pixels, plain.pixels)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_other_kinds_are_read_whole(kind):
    data, prepare = encoded(render(1, 2, size=140), kind), reduced(30)
    image = decode_reduced(data, "x", prepare.reduction)
    assert image.factor == 1
    np.testing.assert_array_equal(image.pixels, decode_image(data, "x"))
    np.testing.assert_array_equal(prepare(image), Preparation(30, hue="none")(decode_image(data, "x")))


def test_sixteen_bits_keep_the_upper_eight(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (64, 64)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    image = decode_reduced((tmp_path / "x.png").read_bytes(), "x", reduced(16).reduction)
    np.testing.assert_array_equal(
        image.pixels, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=-1)
    )


def test_damage_is_noticed_at_any_scale():
    data = encoded(render(1, 2, size=300), quality=90)
    start = data.find(b"\xff\xda") + 100
    damaged = data[:start] + bytes(512) + data[start + 512 :]
    for bad in (damaged, data[: len(data) // 2]):
        with pytest.raises(BadImage, match="truncated or damaged"):
            decode_reduced(bad, "x", reduced(30).reduction)


def test_a_mask_is_refused_as_it_would_be_whole():
    mask = np.zeros((256, 256, 3), np.uint8)
    mask[3:5, 3:5] = 1  # gone in the mean of 8 x 8
    data = encoded(mask, quality=100, subsampling=0)
    assert decode_is_refused(data, Preparation(16)) == decode_is_refused(data, reduced(16)) != ""


def decode_is_refused(data, preparation):
    try:
        decode_reduced(data, "x", preparation.reduction)
    except BadImage as error:
        return error.reason
    return ""


def test_sources_of_files_read_what_the_preparation_asks_for(tmp_path):
    pixels = render(1, 2, size=140)
    for label in ("BLA", "LYT"):
        (tmp_path / "cells" / label).mkdir(parents=True)
        (tmp_path / "cells" / label / "1.jpg").write_bytes(encoded(pixels))
    (tmp_path / "list.csv").write_text("path,label\ncells/BLA/1.jpg,BLA\ncells/LYT/1.jpg,LYT\n")
    prepare = reduced(30)
    for index in (folder_index(tmp_path / "cells"), manifest_index(tmp_path / "list.csv")):
        for table in (index, index.select(np.array([1]))):
            image = table.read_reduced(0, prepare.reduction)
            assert image.factor == 4
            assert table.read_reduced(0, Preparation(30).reduction).factor == 1
    whole = read_image(tmp_path / "cells" / "BLA" / "1.jpg")
    assert (prepare(image) != Preparation(30, hue="none")(whole)).any()
