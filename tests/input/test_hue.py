import cv2
import numpy as np
import pytest

from asae_jax.input.hue import MIN_SATURATION, adjust_hue
from tests.reference import hue as reference


def smooth_image(seed, height=40, width=33):
    """An image of many colours, all of them with a hue and a saturation that round the same way for all."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(size=(height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    image = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    safe = ~reference.is_near_tie(image)
    image[~safe] = np.resize(image[safe], (np.sum(~safe), 3))
    return image


def hsv(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(int)


def from_hues(hues, saturation=200, value=220):
    """A row of colours of the given hues."""
    row = np.stack(np.broadcast_arrays(np.array(hues), saturation, value), axis=-1)
    return cv2.cvtColor(row[None].astype(np.uint8), cv2.COLOR_HSV2RGB)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("low", "high"), [(125, 155), (0, 179), (140, 140), (10, 31)])
def test_equals_the_float64_reference(seed, low, high):
    image = smooth_image(seed)
    result = adjust_hue(image, low=low, high=high)
    expected = reference.adjust_hue(image, low, high)
    assert result.dtype == np.uint8
    # OpenCV rounds in rows of up to 32 pixels and truncates in longer ones.
    assert (result - expected).max() <= 0.501
    assert (result - expected).min() > -1.001


def test_reference_and_opencv_agree_on_every_colour_of_a_grid():
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    image = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(len(levels), -1, 3)
    near_tie = reference.is_near_tie(image)
    difference = np.abs(reference.to_hsv(image) - hsv(image))
    difference[..., 0] = np.minimum(difference[..., 0], 180 - difference[..., 0])
    assert near_tie.mean() < 0.5
    assert difference[~near_tie].max() == 0
    assert difference.max() == 1


def test_extremes_reach_the_ends_of_the_range():
    image = from_hues([20, 60, 100])
    np.testing.assert_allclose(hsv(adjust_hue(image))[0, :, 0], [125, 140, 155], atol=1)


def test_saturation_and_value_stay():
    image = smooth_image(3)
    before, after = hsv(image), hsv(adjust_hue(image))
    np.testing.assert_array_equal(after[..., 2], before[..., 2])
    coloured = before[..., 2] > 60
    assert np.abs(after - before)[coloured][..., 1].max() <= 3


@pytest.mark.parametrize("mode", ["paper", "robust"])
def test_one_hue_goes_to_the_middle(mode):
    image = np.broadcast_to(from_hues([20]), (9, 9, 3))
    assert set(hsv(adjust_hue(image, mode=mode))[..., 0].ravel()) == {140}


@pytest.mark.parametrize("mode", ["paper", "robust"])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_grey_stays_as_it_is(mode, level):
    image = np.full((9, 12, 3), level, np.uint8)
    np.testing.assert_array_equal(adjust_hue(image, mode=mode), image)


def test_the_argument_is_not_changed_and_need_not_be_contiguous():
    image = smooth_image(1)
    before = image.copy()
    flipped = adjust_hue(image[:, ::-1])
    np.testing.assert_array_equal(image, before)
    np.testing.assert_allclose(flipped[:, ::-1].astype(int), adjust_hue(image), atol=1)  # see above


def test_paper_mode_is_set_by_noise_in_the_background_and_robust_mode_is_not():
    cell = from_hues(np.linspace(120, 140, 100))
    noisy_grey = np.tile(np.array([[[222, 220, 220], [220, 222, 220]]], np.uint8), (1, 50, 1))
    image = np.concatenate([cell, noisy_grey])
    assert hsv(noisy_grey)[..., 1].max() < MIN_SATURATION
    assert np.ptp(hsv(adjust_hue(image))[0, :, 0]) < 8
    np.testing.assert_array_equal(adjust_hue(image, mode="robust")[0], adjust_hue(cell, mode="robust")[0])
    assert np.ptp(hsv(adjust_hue(image, mode="robust"))[0, :, 0]) >= 29


def test_robust_mode_keeps_the_order_blue_purple_red_across_zero():
    image = np.repeat(from_hues([115, 140, 170, 178, 2, 6]), 30, axis=1)
    hues = hsv(adjust_hue(image, mode="robust"))[0, ::30, 0]
    assert (np.diff(hues) >= 0).all()
    np.testing.assert_allclose(hues[[0, -1]], [125, 155], atol=1)


def test_robust_mode_clips_the_outermost_hundredth():
    image = from_hues([*[70] * 5, *[110] * 500, *[150] * 500, *[20] * 5])
    hues = hsv(adjust_hue(image, mode="robust"))[0, :, 0]
    np.testing.assert_allclose(hues[[0, 300, 700, -1]], [125, 125, 155, 155], atol=1)


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (np.zeros((4, 4, 3), np.float32), {}),
        (np.zeros((4, 4), np.uint8), {}),
        (np.zeros((4, 4, 4), np.uint8), {}),
        (np.zeros((4, 4, 3), np.uint8), {"mode": "other"}),
        (np.zeros((4, 4, 3), np.uint8), {"low": 160}),
        (np.zeros((4, 4, 3), np.uint8), {"high": 180}),
        (np.zeros((4, 4, 3), np.uint8), {"low": -1}),
    ],
)
def test_wrong_arguments_are_refused(image, options):
    with pytest.raises(ValueError, match="hue"):
        adjust_hue(image, **options)
