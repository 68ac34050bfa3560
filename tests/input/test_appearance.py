"""Measures of drawn crops whose answer is known."""

import cv2
import numpy as np
import pytest

from asae_jax.input.appearance import MEASURES, appearance, median_error, nucleus_sizes, scale_between
from tests.input.drawn_nuclei import BACKGROUND, NUCLEUS, crop


def _measured(image):
    return dict(zip(MEASURES, appearance(image), strict=True))


@pytest.mark.parametrize("side", [64, 96, 250])
@pytest.mark.parametrize("share", [0.2, 0.35, 0.6])
def test_the_nucleus_is_as_large_as_it_was_drawn_at_any_resolution(side, share):
    found = _measured(crop(share * side, side))
    assert found["nucleus_size"] == pytest.approx(100 * share, abs=3)
    assert found["crowding"] == 0


def test_the_nucleus_in_the_middle_is_measured_and_a_heap_is_no_nucleus():
    alone = _measured(crop())["nucleus_size"]
    crowded = _measured(crop(neighbours=[(8, 50), (92, 50), (50, 5)]))
    assert crowded["nucleus_size"] == pytest.approx(alone, abs=2)
    assert crowded["crowding"] > 10
    touching = [(50 + 38 * np.cos(a), 50 + 38 * np.sin(a)) for a in np.arange(6) * np.pi / 3]
    assert _measured(crop(neighbours=touching))["nucleus_size"] <= 2.05 * alone


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_crowding_is_the_same_at_every_side(turns):
    image = crop(neighbours=[(3, 50)])
    turned = np.ascontiguousarray(np.rot90(image, turns))
    assert _measured(turned)["crowding"] == pytest.approx(_measured(image)["crowding"], abs=0.5)


def test_colours_are_those_that_were_drawn():
    found = _measured(crop())
    for what, colour in (("background", BACKGROUND), ("nucleus", NUCLEUS)):
        lab = cv2.cvtColor(np.float32([[colour]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]
        for name, value in zip(("lightness", "red", "yellow"), lab, strict=True):
            assert found[f"{what}_{name}"] == pytest.approx(value, abs=1.5)


def test_blur_takes_sharpness_and_nothing_is_no_nucleus():
    assert _measured(crop(soft=3))["sharpness"] < _measured(crop())["sharpness"] / 3
    blank = _measured(np.full((50, 50, 3), 200, np.uint8))
    assert blank["sharpness"] == 0
    assert np.isfinite(blank["background_red"])


def test_the_scale_between_two_sets_is_the_ratio_of_their_nuclei():
    rng = np.random.default_rng(0)
    small = np.array([appearance(crop(rng.normal(30, 2))) for _ in range(40)])
    large = np.array([appearance(crop(rng.normal(50, 3))) for _ in range(40)])
    value, low, high = scale_between(nucleus_sizes(small), nucleus_sizes(large))
    assert low < 0.6 < high
    assert value == pytest.approx(0.6, abs=0.04)
    assert high - low < 0.1


def test_the_error_of_a_median_is_how_medians_of_samples_differ():
    """Of 101 normal values sqrt(pi / 2 / 101) = 0.125, a quarter more than the error of their mean."""
    samples = np.random.default_rng(0).normal(size=(4000, 101))
    told = np.mean([median_error(sample) for sample in samples])
    assert told == pytest.approx(np.median(samples, axis=1).std(), rel=0.05)
    assert told == pytest.approx(0.125, rel=0.02)
