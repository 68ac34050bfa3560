import cv2
import numpy as np
import pytest

from asae_jax.input import stain
from asae_jax.input.stain import METHODS, normalise_stain
from asae_jax.synthetic import render
from tests.reference import stain as reference


def two_stains(seed=0, stains=stain.REFERENCE_STAINS, amounts=stain.REFERENCE_AMOUNTS, size=96):
    """Beer and Lambert: random amounts of two known stains, and pure background at the left edge."""
    rng = np.random.default_rng(seed)
    drawn = cv2.GaussianBlur(rng.uniform(-0.2, 1.2, (size, size, 2)), (0, 0), 2)
    drawn = np.clip((drawn - drawn.min((0, 1))) / np.ptp(drawn, axis=(0, 1)) * 1.3 - 0.2, 0, 1) * amounts
    drawn[:, :8] = 0
    return np.clip(np.rint(256 * np.exp(-drawn @ stains) - 1), 0, 255).astype(np.uint8)


def lab_moments(image):
    lab = reference.to_lab(image)
    return lab.mean(axis=(0, 1)), lab.std(axis=(0, 1))


IMAGES = [render(0, index, size=64) for index in range(6)]


def test_our_reference_lab_is_opencvs():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    theirs = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    assert np.abs(reference.to_lab(image) - theirs).max() < 0.4  # theirs is interpolated between 33 levels
    assert np.abs(reference.from_lab(reference.to_lab(image)) - image).max() < 1e-2


@pytest.mark.parametrize("image", IMAGES)
def test_reinhard_equals_the_float64_reference(image):
    expected = reference.reinhard(image, stain.TARGET_MEAN, stain.TARGET_DEVIATION, stain.MAX_GAIN)
    assert np.abs(normalise_stain(image, method="reinhard") - expected).max() <= 1.5


@pytest.mark.parametrize("image", [*IMAGES, two_stains()])
def test_macenko_equals_the_float64_reference(image):
    expected = reference.macenko(image, stain.REFERENCE_STAINS, stain.REFERENCE_AMOUNTS, stain.MAX_GAIN)
    assert np.abs(normalise_stain(image, method="macenko") - expected).max() <= 0.6


def test_reinhard_reaches_the_target_where_no_colour_is_cut_off():
    lab = np.random.default_rng(1).normal(0, 1, (64, 64, 3)).clip(-2, 2) * [4, 3, 3] + [60, 5, -5]
    image = np.rint(reference.from_lab(lab)).astype(np.uint8)
    mean, deviation = lab_moments(normalise_stain(image, method="reinhard"))
    gain = np.minimum(stain.TARGET_DEVIATION / lab.std(axis=(0, 1)), stain.MAX_GAIN)
    np.testing.assert_allclose(mean, stain.TARGET_MEAN, atol=0.6)
    np.testing.assert_allclose(deviation, gain * lab.std(axis=(0, 1)), rtol=0.05)


def test_macenko_gives_two_stainings_of_one_cell_the_same_colours():
    others = np.array([[0.60, 0.65, 0.47], [0.25, 0.90, 0.36]])
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    ours, theirs = two_stains(), two_stains(stains=others, amounts=stain.REFERENCE_AMOUNTS * [1.3, 0.6])
    before = np.abs(ours.astype(int) - theirs).mean()
    results = [normalise_stain(image, method="macenko").astype(int) for image in (ours, theirs)]
    assert before > 20
    assert np.abs(results[0] - results[1]).mean() < 0.2 * before


def test_macenko_finds_the_stains_that_were_mixed():
    rng = np.random.default_rng(3)
    pure = [np.eye(2)[[i]].repeat(400, 0) for i in (0, 1)]
    amounts = np.concatenate([rng.uniform(0.5, 1.5, (4000, 2)), *pure, np.zeros((400, 2))])
    image = np.rint(256 * np.exp(-amounts @ stain.REFERENCE_STAINS) - 1).clip(0, 255).astype(np.uint8)
    found = reference.macenko_stains(image[None], beta=0.05)
    np.testing.assert_allclose(found, stain.REFERENCE_STAINS, atol=0.02)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "colour", [(0, 0, 0), (255, 255, 255), (200, 160, 210), (0, 255, 0), (128, 128, 128)]
)
def test_images_of_one_colour_stay_of_one_colour(method, colour):
    image = np.full((24, 24, 3), colour, np.uint8)
    assert len(np.unique(normalise_stain(image, method=method).reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_noise_of_a_blank_image_grows_no_more_than_the_gain_allows(method):
    noise = np.random.default_rng(0).normal(235, 1.5, (64, 64, 3))
    image = np.clip(np.rint(noise), 0, 255).astype(np.uint8)
    assert normalise_stain(image, method=method).std(axis=(0, 1)).max() < 4 * stain.MAX_GAIN


@pytest.mark.parametrize("method", METHODS)
def test_the_image_given_is_not_changed_and_any_layout_is_taken(method):
    image = IMAGES[0].copy()
    view = image[::-1, ::2]
    result = normalise_stain(view, method=method)
    np.testing.assert_array_equal(image, IMAGES[0])
    np.testing.assert_array_equal(result, normalise_stain(np.ascontiguousarray(view), method=method))
    assert result.dtype == np.uint8
    assert result.shape == view.shape


@pytest.mark.parametrize("method", METHODS)
def test_turning_the_image_turns_the_result(method):
    turned = normalise_stain(np.rot90(IMAGES[1]), method=method)
    assert np.abs(np.rot90(normalise_stain(IMAGES[1], method=method)).astype(int) - turned).max() <= 1


def test_what_is_no_image_or_no_method_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        normalise_stain(np.zeros((4, 4, 3)), method="macenko")
    with pytest.raises(ValueError, match="reinhard, macenko"):
        normalise_stain(IMAGES[0], method="vahadane")


def test_each_method_is_looked_up_by_its_name(monkeypatch):
    monkeypatch.setitem(METHODS, "negative", lambda image: 255 - image)
    np.testing.assert_array_equal(normalise_stain(IMAGES[0], method="negative"), 255 - IMAGES[0])
