"""Views as of another laboratory beside closed forms: Beer-Lambert, cosine transform and OpenCV's JPEG."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import fft, stats

from asae_jax import keys
from asae_jax.augment import HOME, Laboratory, augment, jpeg, stain, transforms

KEY = jax.random.key(0)
COLOURLESS = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
UNIT = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
viewed = jax.jit(augment, static_argnames=("size", "scale", "rotation", "horizontal_flip", "vertical_flip",
                                           "laboratory", *COLOURLESS, "mean", "std"))  # fmt: skip
compress = jax.jit(jpeg.compress)


def noise(batch=2, side=24, seed=0):
    return np.random.default_rng(seed).integers(256, size=(batch, side, side, 3), dtype=np.uint8)


def example_keys(count):
    return keys.example_keys(KEY, count)


def is_uniform(values, low, high):
    values = np.ravel(values)
    inside = values.min() >= low - 1e-5 and values.max() <= high + 1e-5
    return inside and stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


# Stain.


def test_stains_are_unit_vectors_and_the_rest_is_at_a_right_angle():
    products = stain.stain_vectors() @ stain.stain_vectors().T
    np.testing.assert_allclose(np.diag(products), 1, atol=1e-12)
    np.testing.assert_allclose(products[2, :2], 0, atol=1e-12)


def test_restaining_is_beer_and_lambert_with_other_amounts_and_other_stains():
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0, 1.5, size=(2, 6, 6, 3))
    light = np.array([[1.0, 0.9, 0.8], [0.7, 0.75, 0.8]])
    factors, others = rng.uniform(0.5, 1.5, size=(2, 3)), rng.uniform(0.1, 1, size=(2, 3, 3))
    vectors = stain.stain_vectors()
    seen = light[:, None, None] * np.exp(-amounts @ vectors)
    wanted = light[:, None, None] * np.exp(-np.stack([amounts[i] * factors[i] @ others[i] for i in range(2)]))
    maps = np.stack([np.linalg.inv(vectors) @ np.diag(factors[i]) @ others[i] for i in range(2)])
    found = stain.restain(*(jnp.asarray(values, jnp.float32) for values in (seen, light, maps)))
    np.testing.assert_allclose(found, wanted, rtol=2e-4)


def test_stains_are_drawn_as_they_are_described():
    strength = 0.4
    maps = np.asarray(stain.draw_stain(example_keys(3000), strength), np.float64)
    vectors = stain.stain_vectors()
    drawn = vectors @ maps  # what one unit of each stain becomes
    amounts = np.linalg.norm(drawn, axis=-1)
    for column in amounts.T:
        assert is_uniform(column, 1 - strength, 1 + strength)
    # A vector moved within a cube of half side h ends at most asin(sqrt(3) h) away from where it was.
    turned = np.arccos(np.clip((drawn * vectors).sum(-1) / amounts, -1, 1))
    most = np.arcsin(np.sqrt(3) * stain.VECTOR_SHARE * strength)
    assert 0.6 * most < turned.max() <= most + 1e-5
    correlations = np.corrcoef(np.concatenate([amounts.T, turned.T]))
    assert abs(correlations - np.eye(6)).max() < 0.09


def test_without_strength_nothing_is_stained_anew():
    maps = stain.draw_stain(example_keys(4), 0.0)
    np.testing.assert_allclose(maps, np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-6)


def test_the_background_keeps_its_colour_and_black_stays_finite():
    light = jnp.array([[0.9, 0.8, 0.7], [0.0, 0.0, 0.0]])
    images = jnp.zeros((2, 2, 2, 3)).at[:, 0].set(light[:, None])
    found = np.asarray(stain.restain(images, light, stain.draw_stain(example_keys(2), 1.0)))
    np.testing.assert_allclose(found[0, 0], np.broadcast_to(light[0], (2, 3)), rtol=1e-5)
    assert np.isfinite(found).all()
    darkest = stain.restain(jnp.maximum(images, 1 / 255), light, stain.draw_stain(example_keys(2), 1.0))
    np.testing.assert_allclose(found, darkest, rtol=1e-6)


# Light.


@pytest.mark.parametrize(("height", "width"), [(24, 19), (5, 9)])
def test_background_is_the_mean_of_the_brightest_block(height, width):
    images = np.random.default_rng(1).integers(256, size=(2, height, width, 3), dtype=np.uint8)
    tall, wide = min(8, height), min(8, width)
    found = stain.background(jnp.asarray(images))
    for image, light in zip(images, found, strict=True):
        blocks = [
            image[row : row + tall, column : column + wide].reshape(-1, 3).mean(0)
            for row in range(0, height - tall + 1, tall)
            for column in range(0, width - wide + 1, wide)
        ]
        np.testing.assert_allclose(light, np.max(blocks, axis=0) / 255, rtol=1e-6)


def test_light_is_multiplied_but_no_background_above_white():
    images = jnp.asarray(noise() / 255, jnp.float32)
    light, factors = jnp.array([[0.5, 0.8, 1.0]] * 2), jnp.array([[1.5, 1.5, 0.7]] * 2)
    np.testing.assert_allclose(
        stain.relight(images, light, factors), np.asarray(images) * np.array([1.5, 1.25, 0.7]), rtol=1e-6
    )
    assert np.isfinite(stain.relight(images, jnp.zeros((2, 3)), factors)).all()


def test_light_is_uniform_and_each_channel_by_itself():
    drawn = np.asarray(stain.draw_light(example_keys(3000), 0.3))
    assert all(is_uniform(drawn[:, channel], 0.7, 1.3) for channel in range(3))
    assert abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.08


# JPEG.


def test_cosines_are_the_orthonormal_transform():
    np.testing.assert_allclose(jpeg.cosines(), fft.dct(np.eye(8), axis=0, norm="ortho"), atol=1e-12)


@pytest.mark.parametrize("quality", [15, 50, 85])
@pytest.mark.parametrize("colours", [1, 3], ids=["grey", "colour"])
def test_compression_is_that_of_libjpeg(quality, colours):
    """libjpeg computes in integers, so that a few coefficients are rounded otherwise, by a whole step."""
    field = np.random.default_rng(quality).uniform(0, 255, size=(44, 52, 3))
    smooth = cv2.normalize(cv2.GaussianBlur(field, (0, 0), 2.0), None, 30, 225, cv2.NORM_MINMAX)
    image = np.broadcast_to(smooth[..., :colours], smooth.shape).astype(np.uint8)
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, file = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])
    theirs = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
    images = jnp.asarray(image[None] / 255, jnp.float32)
    ours = 255 * np.asarray(compress(images, jnp.array([float(quality)])))[0]
    assert abs(ours - theirs).mean() < 0.4 * abs(image - theirs).mean()
    assert np.mean(abs(np.rint(ours) - theirs) <= 1) > (0.97 if colours == 1 else 0.85)


def test_one_cosine_is_rounded_to_whole_steps():
    """At quality 50 the steps are the tables themselves."""
    wave = np.outer(jpeg.cosines()[2], jpeg.cosines()[1])  # 2 vertical half periods, 1 horizontal: step 13
    step = jpeg.LUMINANCE[2, 1]
    for amplitude, kept in ((2.4, 2), (2.6, 3), (0.4, 0)):
        image = np.repeat((128 + amplitude * step * wave)[..., None] / 255, 3, -1)
        found = compress(jnp.asarray(image, jnp.float32)[None], jnp.array([50.0]))[0]
        expected = np.repeat((128 + kept * step * wave)[..., None] / 255, 3, -1)
        np.testing.assert_allclose(found, expected, atol=2e-4)


def test_quality_is_uniform_up_to_a_hundred():
    assert is_uniform(np.asarray(jpeg.draw_quality(example_keys(3000), 30.0)), 30, 100)


# Scale.


@pytest.mark.parametrize("even", ["area", "logarithm"])
def test_crops_larger_than_the_image_hold_it_whole(even):
    options = {"flips": (False, False), "rotation": 0.0, "jitter": (0.0,) * 4, "scale": (0.25, 4.0)}
    drawn = transforms.draw(example_keys(3000), height=32, width=32, even=even, **options)
    area = np.asarray(drawn.side, np.float64) ** 2 / 32**2
    if even == "logarithm":
        assert is_uniform(np.log2(area), -2, 2)
    else:
        assert is_uniform(area, 0.25, 4)
    first = np.asarray(drawn.centre_x) - (np.asarray(drawn.side) - 1) / 2
    assert is_uniform(first / (32 - np.asarray(drawn.side)), 0, 1)  # of the room that there is
    large = area > 1
    assert (first[large] <= 1e-4).all()
    assert ((first + np.asarray(drawn.side))[large] >= 32 - 1e-4).all()


def test_a_crop_of_four_times_the_area_is_the_image_mirrored_at_half_its_size():
    images = noise(side=16)
    whole = {"scale": (4.0, 4.0), "rotation": 0.0, "horizontal_flip": False, "vertical_flip": False}
    found = viewed(KEY, jnp.asarray(images), size=16, **whole, **COLOURLESS, **UNIT)
    options = {"flips": (False, False), "rotation": 0.0, "jitter": (0.0,) * 4, "scale": (4.0, 4.0)}
    drawn = transforms.draw(example_keys(2), height=16, width=16, **options)
    for image, view, x, y in zip(images, found, drawn.centre_x, drawn.centre_y, strict=True):
        mirrored = np.pad(image, ((16, 16), (16, 16), (0, 0)), "reflect").astype(np.float32)
        places = 2 * (np.arange(16) - 7.5) + 16
        columns, rows = np.meshgrid(places + float(x), places + float(y))
        where = [np.ascontiguousarray(axis, np.float32) for axis in (columns, rows)]
        expected = cv2.remap(mirrored, *where, cv2.INTER_LINEAR)
        np.testing.assert_allclose(255 * view, expected, atol=255 / 16)  # OpenCV's places: 1/32 pixel


# The whole.


def test_each_purpose_draws_by_a_key_of_its_own():
    purposes = (transforms._BLUR, stain._STAIN, stain._LIGHT, jpeg._JPEG)
    assert len(set(purposes)) == len(purposes)


def test_what_is_off_draws_nothing_and_what_is_on_leaves_the_other_draws():
    images = jnp.asarray(noise())

    def view(laboratory):
        return viewed(KEY, images, size=16, laboratory=laboratory, **UNIT)

    def draws(laboratory):
        return str(jax.make_jaxpr(view, static_argnums=0)(laboratory)).count("random_bits")

    plain = np.asarray(view(HOME))
    assert draws(HOME) == 1
    assert draws(Laboratory(stain=0.3, light=0.3, jpeg=30.0)) == 4
    barely = view(Laboratory(stain=1e-5, light=1e-5, jpeg=100.0))  # of quality 100, rounding remains
    np.testing.assert_allclose(barely, plain, atol=0.03)
    for changed in (Laboratory(stain=0.3), Laboratory(light=0.3), Laboratory(jpeg=20.0)):
        found = np.asarray(view(changed))
        assert (abs(found - plain).max((1, 2, 3)) > 0.03).all(), changed
        assert 0 <= found.min() <= found.max() <= 1


def test_changes_come_in_the_order_in_which_they_come_about():
    """Stain, light, optics, camera, file: each step of its own, one after the other, on the warped images."""
    images, size = jnp.asarray(noise()), 16  # colours are clipped, or blur could follow them as well
    laboratory = Laboratory(stain=0.8, light=0.5, jpeg=20.0)
    jitter = {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.1}
    found = augment(KEY, images, size=size, blur=2.0, laboratory=laboratory, **jitter, **UNIT)

    own_keys, light = example_keys(len(images)), stain.background(images)
    draws = transforms.draw(own_keys, height=24, width=24, scale=(0.7, 1.0), flips=(True, True),
                            rotation=180.0, jitter=tuple(jitter.values()))  # fmt: skip
    expected = transforms.warp(images, transforms.crop_matrices(draws, size=size), size=size)
    expected = stain.restain(expected, light, stain.draw_stain(own_keys, 0.8))
    expected = stain.relight(expected, light, stain.draw_light(own_keys, 0.5))
    expected = transforms.gaussian_blur(expected, transforms.draw_blur(own_keys, 2.0), largest=2.0)
    expected = transforms.jitter_colours(expected, draws)
    expected = jpeg.compress(expected, jpeg.draw_quality(own_keys, 20.0))
    np.testing.assert_allclose(found, expected, atol=1e-5)
