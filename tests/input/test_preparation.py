import dataclasses
import hashlib
import json

import cv2
import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.input.hue import adjust_hue
from asae_jax.input.preparation import Preparation
from asae_jax.input.stain import METHODS, normalise_stain
from asae_jax.synthetic import render


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(8, 8), (64, 64), (250, 250), (8, 300), (301, 17), (63, 65)])
@pytest.mark.parametrize("hue", ["paper", "robust", "none"])
def test_any_size_becomes_the_stored_size(shape, hue):
    result = Preparation(64, hue=hue)(noise(*shape))
    assert result.shape == (64, 64, 3)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous


def test_right_size_without_hue_is_unchanged():
    image = noise(32, 32)
    np.testing.assert_array_equal(Preparation(32, hue="none")(image), image)


def test_halving_averages_two_by_two():
    image = noise(64, 64)
    expected = image.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(Preparation(32, hue="none")(image) - expected).max() <= 0.5


@pytest.mark.parametrize("side", [70, 100, 129, 250, 363])
def test_shrinking_is_near_to_the_mean_over_areas(side):
    image = cv2.GaussianBlur(noise(side, side), (0, 0), 3)
    expected = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(Preparation(64, hue="none")(image) - expected).max() <= 4
    # Noise finer than a pixel of the result is averaged away, not sampled.
    result, area = Preparation(16, hue="none")(noise(side, side)), (side // 16) ** 2
    assert result.std() < 1.3 * 74 / np.sqrt(area)


def test_the_centre_of_the_longer_side_is_kept():
    image = np.zeros((16, 40, 3), np.uint8)
    image[:, 12:28] = noise(16, 16)
    np.testing.assert_array_equal(Preparation(16, hue="none")(image), image[:, 12:28])
    upright = image.transpose(1, 0, 2)
    np.testing.assert_array_equal(Preparation(16, hue="none")(upright), upright[12:28])


def test_enlarging_keeps_constants_and_the_mean():
    image = np.full((16, 16, 3), 77, np.uint8)
    assert set(Preparation(48, hue="none")(image).ravel()) == {77}


def test_hue_is_adjusted_after_resizing():
    image = cv2.GaussianBlur(noise(96, 96), (0, 0), 4)
    resized = Preparation(48, hue="none")(image)
    for mode in ("paper", "robust"):
        result = Preparation(48, hue=mode, hue_low=100, hue_high=110)(image)
        np.testing.assert_array_equal(result, adjust_hue(resized, low=100, high=110, mode=mode))


@pytest.mark.parametrize("method", METHODS)
def test_stain_is_normalised_after_resizing_in_place_of_hue(method):
    image = render(0, 3, size=96)
    resized = Preparation(48, hue="none")(image)
    result = Preparation(48, hue="none", stain=method)(image)
    np.testing.assert_array_equal(result, normalise_stain(resized, method=method))
    assert (result != resized).any()


def test_scaling_cuts_out_the_middle_or_continues_by_the_mirror_image():
    raw = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    half = Preparation(20, hue="none", scale=2.0)(raw)
    np.testing.assert_array_equal(half, raw[10:30, 20:40])
    double = Preparation(80, hue="none", scale=0.5)(raw)
    padded = np.pad(raw, ((20, 20), (10, 10), (0, 0)), "symmetric")
    np.testing.assert_array_equal(double, padded)
    # Within the image: more of it is seen before anything is mirrored.
    wide = Preparation(50, hue="none", scale=0.8)(raw)
    np.testing.assert_array_equal(wide[5:45], raw[:, 5:55])


def test_the_background_becomes_the_light_that_is_asked_for_and_proportions_stay():
    raw = np.full((30, 30, 3), (200, 180, 210), np.uint8)
    raw[10:14, 10:14] = (100, 45, 105)
    found = Preparation(30, hue="none", background=(250.0, 225.0, 200.0))(raw)
    np.testing.assert_array_equal(found[0, 0], (250, 225, 200))
    np.testing.assert_array_equal(found[12, 12], (125, 56, 100))
    blank = Preparation(8, hue="none", background=(255.0, 255.0, 255.0))(np.full((8, 8, 3), 10, np.uint8))
    assert (blank == 30).all()  # light that is not there cannot be multiplied


def test_what_is_off_leaves_old_caches_valid():
    """The fingerprint of a preparation as it was before there were scale and background."""
    fields = {"stored_size": 64, "hue": "none", "hue_low": 125, "hue_high": 155, "stain": "none"}
    before = hashlib.sha256(json.dumps([1, fields], sort_keys=True).encode()).hexdigest()[:32]
    assert Preparation(64, hue="none").fingerprint() == before


def test_only_caches_of_a_wrong_mirror_image_are_given_up():
    """Before, the picture at a reduced scale was continued, which lacks a part of the last row and column."""
    fields = {"stored_size": 64, "hue": "none", "hue_low": 125, "hue_high": 155, "stain": "none"}
    for scale in (0.8, 1.0, 1.25):
        given = {**fields, "decoding": "reduced", **({} if scale == 1 else {"scale": scale})}
        before = hashlib.sha256(json.dumps([1, given], sort_keys=True).encode()).hexdigest()[:32]
        now = Preparation(64, hue="none", scale=scale, decoding="reduced").fingerprint()
        assert (now == before) == (scale >= 1)


def test_every_field_changes_the_fingerprint():
    base = Preparation(64, hue="none")
    others = {"stored_size": 65, "hue": "robust", "hue_low": 124, "hue_high": 156, "stain": "macenko"}
    others |= {"scale": 0.9, "background": (255.0, 250.0, 240.0), "decoding": "reduced"}
    assert set(others) == {field.name for field in dataclasses.fields(Preparation)}
    changed = {dataclasses.replace(base, **{name: value}).fingerprint() for name, value in others.items()}
    assert len(changed | {base.fingerprint()}) == len(others) + 1
    assert Preparation(64, hue="none").fingerprint() == base.fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stored_size": 0}, "stored size is 0"),
        ({"stored_size": 64, "hue": "papre"}, "unknown hue mode 'papre'.*paper, robust, none"),
        ({"stored_size": 64, "scale": 5.0}, "scale is 5: choose 0.25 to 4"),
        ({"stored_size": 64, "hue_low": 156}, r"156\.\.155"),
        ({"stored_size": 64, "hue_high": 180}, r"125\.\.180"),
        ({"stored_size": 64, "stain": "macenco"}, "unknown stain mode 'macenco'.*reinhard, macenko, none"),
        ({"stored_size": 64, "decoding": "half"}, "unknown decoding 'half'.*full, reduced"),
        ({"stored_size": 64, "stain": "macenko"}, "stain=macenko and hue=paper.*hue=none or .*stain=none"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Preparation(**options)
