"""Augmentation beside slow references, OpenCV and NumPy's flips, and its statistics."""

from functools import partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from asae_jax import config, keys
from asae_jax.augment import (
    HOME,
    MEAN,
    NORMALISATIONS,
    STD,
    Laboratory,
    augment,
    centre_crop,
    normalise,
    preprocess,
)
from asae_jax.augment.transforms import (
    Draws,
    crop_matrices,
    draw,
    draw_blur,
    gaussian_blur,
    jitter_colours,
    warp,
)
from asae_jax.run import build
from tests.reference import augment as reference
from tests.unchecked import unchecked

KEY = jax.random.key(0)
OFF = {
    "scale": (1.0, 1.0), "horizontal_flip": False, "vertical_flip": False, "rotation": 0.0,
    "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "blur": 0.0, "laboratory": HOME,
}  # fmt: skip


OPTIONS = ("size", *OFF)
jitted_augment = jax.jit(augment, static_argnames=OPTIONS)
jitted_warp = jax.jit(warp, static_argnames="size")
jitted_matrices = jax.jit(crop_matrices, static_argnames="size")
jitted_jitter = jax.jit(jitter_colours)


def noise(batch=3, height=17, width=17, seed=0):
    return np.random.default_rng(seed).integers(256, size=(batch, height, width, 3), dtype=np.uint8)


def draws(batch=1, **given):
    """Draws that do nothing to a 17x17 image, but for the given ones."""
    neutral = {"side": 17.0, "centre_x": 8.0, "centre_y": 8.0, "angle": 0.0, "hue": 0.0}
    values = {name: jnp.full(batch, given.get(name, neutral.get(name, 1.0)), float) for name in Draws._fields}
    return Draws(**values)


def warped(images, size=17, **given):
    drawn = draws(len(images), **given)
    return np.asarray(jitted_warp(jnp.asarray(images), jitted_matrices(drawn, size=size), size=size))


# What stays the same.


def test_everything_off_is_only_normalisation():
    images = noise()
    found = jitted_augment(KEY, jnp.asarray(images), size=17, **OFF)
    np.testing.assert_allclose(found, (images / 255 - MEAN) / STD, atol=2e-6)
    assert found.dtype == jnp.float32


def test_the_input_is_left_alone():
    images = noise()
    before = images.copy()
    on_device = jnp.asarray(images)
    jitted_augment(KEY, on_device, size=12)
    np.testing.assert_array_equal(on_device, before)
    np.testing.assert_array_equal(images, before)


# The warp.


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"flip_x": -1.0}, lambda image: np.flip(image, axis=1)),
        ({"flip_y": -1.0}, lambda image: np.flip(image, axis=0)),
        ({"flip_x": -1.0, "flip_y": -1.0}, np.rot90),  # twice, see below
        ({"angle": np.pi / 2}, np.rot90),
        ({"angle": -np.pi / 2}, partial(np.rot90, k=-1)),
        ({"angle": np.pi / 2, "flip_x": -1.0}, lambda image: np.flip(np.rot90(image), axis=1)),
    ],
    ids=["left-right", "up-down", "both", "quarter turn", "quarter turn back", "turn, then flip"],
)
@pytest.mark.parametrize("side", [17, 16])
def test_flips_and_quarter_turns_are_exact(given, expected, side):
    images = noise(height=side, width=side)
    middle = (side - 1) / 2
    found = warped(images, size=side, side=side, centre_x=middle, centre_y=middle, **given)
    turned = [expected(image / 255) for image in images]
    if given == {"flip_x": -1.0, "flip_y": -1.0}:
        turned = [np.rot90(image) for image in turned]
    np.testing.assert_allclose(found, turned, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_a_crop_at_full_scale_is_the_part_itself():
    images = noise()
    found = warped(images, size=9, side=9.0, centre_x=10.0, centre_y=6.0)
    np.testing.assert_allclose(found, images[:, 2:11, 6:15] / 255, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("seed", range(6))
def test_any_warp_equals_the_reference(seed):
    rng = np.random.default_rng(seed)
    images = noise(batch=2, height=11, width=14, seed=seed)
    matrices = rng.uniform(-1.5, 1.5, size=(2, 2, 3))
    matrices[..., 2] += [7, 5]
    found = jitted_warp(jnp.asarray(images), jnp.asarray(matrices), size=9)
    expected = [reference.warp(image, m, 9) / 255 for image, m in zip(images, matrices, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_far_outside_the_reflection_goes_on():
    images = noise(batch=1, height=5, width=5)
    found = warped(images, size=41, side=41.0, centre_x=2.0, centre_y=2.0)
    np.testing.assert_allclose(
        found[0], np.pad(images[0], ((18, 18), (18, 18), (0, 0)), "reflect") / 255, rtol=0, atol=1e-12
    )


@pytest.mark.usefixtures("float64")
def test_an_image_of_one_pixel_fills_the_result():
    images = noise(batch=1, height=1, width=1)
    found = warped(images, size=3, side=3.0, centre_x=0.0, centre_y=0.0)
    np.testing.assert_allclose(found, np.broadcast_to(images / 255, (1, 3, 3, 3)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 30.0, 137.0])
def test_equals_opencv_in_the_interior_and_at_the_border(angle):
    """OpenCV rounds places to 1/32 pixel, so on a smooth image of slope 2.5 at most the two agree to 0.1."""
    rows, columns = np.mgrid[0:40, 0:40]
    waves = [128 + 100 * np.sin((rows * a + columns * b) / 40) for a, b in ((1, 0), (0, 1), (0.7, 0.7))]
    image = np.stack(waves, -1).astype(np.uint8)
    drawn = draws(angle=np.radians(angle), side=44.0, centre_x=17.0, centre_y=22.0, flip_x=-1.0)
    matrices = jitted_matrices(drawn, size=40)
    found = np.asarray(jitted_warp(jnp.asarray(image)[None], matrices, size=40))[0] * 255
    inverse = np.asarray(matrices[0], np.float64)
    inverse[:, 2] -= inverse[:, :2] @ [19.5, 19.5]  # OpenCV counts from the first pixel, not the centre
    theirs = cv2.warpAffine(
        image.astype(np.float32), inverse, (40, 40), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    np.testing.assert_allclose(found, theirs, atol=0.15)


# The draws.


def many(count=4000, **options):
    defaults = {
        "height": 80, "width": 100, "scale": (0.25, 0.49), "flips": (True, True), "rotation": 30.0,
        "jitter": (0.1, 0.2, 0.3, 0.05),
    }  # fmt: skip
    drawn = jax.jit(lambda key: draw(keys.example_keys(key, count), **(defaults | options)))(KEY)
    return {name: np.asarray(values, np.float64) for name, values in drawn._asdict().items()}


def test_each_draw_is_uniform_in_its_range():
    found = many()
    radians, turn = np.radians(30.0), 2 * np.pi * 0.05
    uniform = {
        "area share": (found["side"] ** 2 / 8000, 0.25, 0.49),
        "left": ((found["centre_x"] - (found["side"] - 1) / 2) / (100 - found["side"]), 0, 1),
        "top": ((found["centre_y"] - (found["side"] - 1) / 2) / (80 - found["side"]), 0, 1),
        "angle": (found["angle"], -radians, radians),
        "brightness": (found["brightness"], 0.9, 1.1),
        "contrast": (found["contrast"], 0.8, 1.2),
        "saturation": (found["saturation"], 0.7, 1.3),
        "hue": (found["hue"], -turn, turn),
    }
    for name, (values, low, high) in uniform.items():
        assert values.min() >= low - 1e-6, name
        assert values.max() <= high + 1e-6, name
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3, name


def test_flips_are_fair_and_independent_of_each_other():
    found = many()
    counts = [np.sum((found["flip_x"] == x) & (found["flip_y"] == y)) for x in (-1, 1) for y in (-1, 1)]
    assert sum(counts) == 4000
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_draws_of_one_example_are_uncorrelated():
    correlations = np.corrcoef(np.stack(list(many().values())))
    # 4000 draws scatter by 0.016; the largest of 45 stays below 0.07 but once in a thousand times.
    assert abs(correlations - np.eye(10)).max() < 0.07


def test_flips_can_be_switched_off():
    found = many(flips=(False, True))
    assert (found["flip_x"] == 1).all()
    assert {-1.0, 1.0} == set(found["flip_y"])


def test_the_crop_fits_an_oblong_image():
    found = many(height=20, width=100, scale=(0.1, 1.0))
    assert found["side"].max() == 20
    assert (found["centre_x"] - (found["side"] - 1) / 2).min() >= 0
    assert (found["centre_x"] + (found["side"] - 1) / 2).max() <= 99 + 1e-4


# Colours.


@pytest.mark.parametrize("seed", range(4))
def test_jitter_equals_the_four_steps_one_by_one(seed):
    rng = np.random.default_rng(seed)
    image = rng.random((6, 5, 3))
    values = {"brightness": rng.uniform(0.5, 1.5), "contrast": rng.uniform(0.5, 1.5)}
    values |= {"saturation": rng.uniform(0.5, 1.5), "hue": rng.uniform(-1, 1)}
    found = jitted_jitter(jnp.asarray(image, jnp.float32)[None], draws(**values))
    np.testing.assert_allclose(found[0], reference.jitter(image, **values), atol=2e-6)


def test_jitter_is_clipped():
    images = jnp.asarray(noise() / 255, jnp.float32)
    found = np.asarray(jitted_jitter(images, draws(3, brightness=1.8, saturation=1.9)))
    assert [found.min(), found.max()] == [0.0, 1.0]


def test_no_saturation_is_grey_and_keeps_the_grey():
    image = np.random.default_rng(0).random((4, 4, 3))
    found = np.asarray(jitted_jitter(jnp.asarray(image, jnp.float32)[None], draws(saturation=0.0)))[0]
    np.testing.assert_allclose(found, np.repeat(reference.luma(image)[..., None], 3, -1), atol=1e-6)


def test_no_contrast_is_the_mean_grey():
    image = np.random.default_rng(0).random((4, 4, 3))
    found = np.asarray(jitted_jitter(jnp.asarray(image, jnp.float32)[None], draws(contrast=0.0)))
    np.testing.assert_allclose(found, reference.luma(image).mean(), atol=1e-6)


def test_hue_turns_by_about_its_share_of_the_circle_and_keeps_greys():
    colour = np.array([0.55, 0.3, 0.65])  # a stained nucleus
    found = np.asarray(jitted_jitter(jnp.asarray(colour, jnp.float32).reshape(1, 1, 1, 3), draws(hue=0.2)))
    shift = reference.hue_of(found.reshape(3)) - reference.hue_of(colour)
    assert 0.5 < abs(shift) / (0.2 / (2 * np.pi)) < 2  # a turn in YIQ is not quite one in HSV
    grey = jnp.full((1, 2, 2, 3), 0.4)
    np.testing.assert_allclose(jitted_jitter(grey, draws(hue=3.0)), grey, atol=1e-6)


# The whole.


@pytest.mark.usefixtures("float64")
def test_an_example_alone_equals_the_example_in_its_batch():
    images = jnp.asarray(noise(batch=4))
    whole = jitted_augment(KEY, images, size=12)
    for i in range(4):
        alone = jitted_augment(KEY, images[i : i + 1], size=12, first_example=i)
        np.testing.assert_allclose(alone[0], whole[i], rtol=0, atol=1e-12)


def test_examples_and_keys_differ():
    images = jnp.asarray(noise(batch=1).repeat(2, axis=0))
    first, second = jitted_augment(KEY, images, size=12)
    assert np.abs(first - second).max() > 0.1
    other = jitted_augment(jax.random.key(1), images, size=12)
    assert np.abs(other[0] - first).max() > 0.1


@pytest.mark.usefixtures("float64")
def test_devices_share_a_batch_without_changing_it():
    images = jnp.asarray(noise(batch=4))

    def shard(part):
        return augment(KEY, part, size=12, first_example=jax.lax.axis_index("devices") * 2)

    found = jax.pmap(shard, axis_name="devices", devices=jax.devices()[:2])(images.reshape(2, 2, 17, 17, 3))
    np.testing.assert_allclose(
        found.reshape(4, 12, 12, 3), jitted_augment(KEY, images, size=12), rtol=0, atol=1e-12
    )


def test_compiles_once_for_all_steps():
    traces = []

    @jax.jit
    def step(key, images, first):
        traces.append(images.shape)
        return augment(key, images, size=12, first_example=first)

    for i in range(3):
        assert np.isfinite(step(jax.random.key(i), jnp.asarray(noise(seed=i)), 3 * i)).all()
    assert len(traces) == 1


def test_every_option_changes_the_result():
    images = jnp.asarray(noise())
    plain = np.asarray(augment(KEY, images, size=12, **OFF))
    changed = {
        "scale": (0.5, 0.6), "horizontal_flip": True, "vertical_flip": True, "rotation": 90.0,
        "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1, "blur": 1.0,
        "laboratory": Laboratory(stain=0.3),
    }  # fmt: skip
    for name, value in changed.items():
        found = augment(KEY, images, size=12, **(OFF | {name: value}))
        assert np.abs(found - plain).max() > 1e-3, name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 18}, "size must lie"),
        ({"size": 0}, "size must lie"),
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"scale": (0.9, 0.8)}, "scale"),
        ({"scale": (0.9, 4.1)}, "scale"),
        ({"scale_even": "side"}, "scale_even"),
        ({"laboratory": Laboratory(stain=1.1)}, "stain"),
        ({"laboratory": Laboratory(light=-0.1)}, "light"),
        ({"laboratory": Laboratory(jpeg=0.5)}, "jpeg"),
        ({"laboratory": Laboratory(jpeg=101)}, "jpeg"),
        ({"brightness": -0.1}, "brightness"),
        ({"contrast": 1.1}, "contrast"),
        ({"saturation": float("nan")}, "saturation"),
        ({"hue": 0.6}, "hue"),
    ],
    ids=str,
)
def test_refuses_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        augment(KEY, jnp.asarray(noise()), **({"size": 12} | options))


@pytest.mark.parametrize(
    "images", [np.zeros((17, 17, 3), np.uint8), np.zeros((1, 17, 17, 4), np.uint8), np.zeros((1, 17, 17, 3))]
)
def test_refuses_what_is_not_a_batch_of_uint8_images(images):
    for call in (partial(augment, KEY), centre_crop, preprocess):
        with unchecked(), pytest.raises(ValueError, match="must be uint8"):
            call(jnp.asarray(images), size=12)


# Test time.


@pytest.mark.parametrize(("side", "size", "first"), [(8, 4, 2), (9, 5, 2), (9, 4, 2), (8, 5, 1), (8, 8, 0)])
def test_centre_crop(side, size, first):
    images = noise(height=side, width=side + 2)
    found = centre_crop(jnp.asarray(images), size=size)
    np.testing.assert_array_equal(found, images[:, first : first + size, first + 1 : first + 1 + size])


def test_centre_crop_refuses_to_enlarge():
    with pytest.raises(ValueError, match="size must lie"):
        centre_crop(jnp.asarray(noise(height=20)), size=18)


def test_preprocess_is_the_normalised_centre():
    images = noise()
    found = preprocess(jnp.asarray(images), size=13)
    np.testing.assert_allclose(found, (images[:, 2:15, 2:15] / 255 - MEAN) / STD, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("imagenet", lambda x: (x / 255 - MEAN) / STD),
        ("half", lambda x: x / 127.5 - 1),
        ("lite", lambda x: (x - 127) / 128),
    ],
)
@pytest.mark.parametrize("chosen", [True, False])
def test_settings_normalise_as_the_published_weights_do(name, formula, chosen):
    """By the setting, and by the model's name; in training and at test."""
    settings = config.base_config()
    settings.augment.size = 14
    if chosen:
        settings.augment.normalisation = name
    else:
        settings.model.name = {"imagenet": "resnet18", "half": "vit_small", "lite": "efficientnet_lite1"}[
            name
        ]
        formula = {"half": lambda x: (x / 255 - MEAN) / STD}.get(name, formula)
    plain = {"scale_min": 1.0, "rotation": 0.0, "horizontal_flip": False, "vertical_flip": False}
    plain |= dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    settings.augment.update(plain)
    images = noise(height=14, width=14)
    expected = formula(images.astype(np.float64))
    np.testing.assert_allclose(build.create_preprocess(settings)(jnp.asarray(images)), expected, atol=2e-6)
    np.testing.assert_allclose(build.create_augment(settings)(KEY, jnp.asarray(images)), expected, atol=1e-4)


def test_the_settings_know_every_normalisation():
    assert config.BY_NAME["augment.normalisation"].choices == ("auto", *NORMALISATIONS)


def test_normalise_with_other_constants():
    images = jnp.array([[0, 255, 51]], jnp.uint8)
    found = normalise(images, mean=(0.0, 0.5, 0.2), std=(1.0, 0.5, 2.0))
    np.testing.assert_allclose(found, [[0.0, 1.0, 0.0]], atol=1e-7)


# The blur.


def test_blur_is_opencv_s():
    images = noise(batch=3).astype(np.float32) / 255
    deviations = (0.0, 0.7, 1.5)
    found = gaussian_blur(jnp.asarray(images), jnp.asarray(deviations), largest=1.5)
    for image, blurred, deviation in zip(images, found, deviations, strict=True):
        kernel = {"sigmaX": deviation, "borderType": cv2.BORDER_REFLECT_101}
        expected = cv2.GaussianBlur(image, (7, 7), **kernel) if deviation else image
        np.testing.assert_allclose(blurred, expected, atol=2e-6)


def test_blur_of_images_smaller_than_the_kernel():
    images = noise(batch=1, height=4, width=4).astype(np.float32) / 255
    found = gaussian_blur(jnp.asarray(images), jnp.asarray([3.0]), largest=3.0)
    assert np.ptp(found) < np.ptp(images)
    assert images.min() <= found.min()


def test_blur_is_uniform_and_drawn_apart_from_the_rest():
    example_keys = keys.example_keys(KEY, 2000, 0)
    assert stats.kstest(np.asarray(draw_blur(example_keys, 2.0)) / 2, "uniform").pvalue > 1e-3
    images = jnp.asarray(noise(batch=2))
    plain = jitted_augment(KEY, images, size=12)
    barely = jitted_augment(KEY, images, size=12, blur=0.19)  # below a fifth of a pixel
    np.testing.assert_allclose(plain, barely, atol=1e-4)


def test_a_negative_blur_is_refused():
    with pytest.raises(ValueError, match="blur must be at least 0"):
        augment(KEY, jnp.asarray(noise()), size=12, blur=-1.0)
