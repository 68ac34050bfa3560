"""The parts that cells are made of: outlines, noise tiles, dyes."""

import numpy as np
import pytest

from asae_jax.synthetic.cells import Chain, bent_chain, chain_distance, coverage
from asae_jax.synthetic.slide import develop, draw_exposure, draw_slide
from asae_jax.synthetic.texture import Placement, Window, sample, white_noise

WINDOW = Window(-100.0, -100.0, 201, 201, 0.1)  # 20 micrometres around the anchor


def test_one_segment_is_at_its_exact_distance():
    x, y = WINDOW.grid()
    distance = chain_distance(x, y, Chain(np.array([[-3.0, 1.0, 3.0, 1.0, 1.5]])))
    beyond = np.maximum(np.abs(x.astype(float)) - 3, 0)
    np.testing.assert_allclose(distance, np.hypot(beyond, y.astype(float) - 1) - 1.5, atol=1e-5)


def test_a_union_is_near_the_nearest_segment():
    x, y = WINDOW.grid()
    segments = np.array([[-3.0, 0, 0, 0, 1.0], [0, 0, 2, 3, 0.5], [4, -4, 4, -4, 2.0]])
    union = chain_distance(x, y, Chain(segments))
    nearest = np.min([chain_distance(x, y, Chain(row[None])) for row in segments], axis=0)
    assert np.all(union <= nearest + 1e-5)
    assert np.all(union >= nearest - 0.12 * np.log(3) - 1e-5)


@pytest.mark.parametrize(
    ("thickness", "pinch", "lobes"),
    [(1.0, 0, 3), (0.9, 0, 3), (0.64, 0, 3), (0.45, 0.1, 3), (0.45, 1, 3), (0.45, 1, 5)],
)
def test_a_nucleus_keeps_its_area_whatever_its_shape(thickness, pinch, lobes):
    x, y = WINDOW.grid()
    areas = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        chain = bent_chain(rng, radius=4.0, thickness=thickness, bend=3.0, pinch=pinch, lobes=lobes)
        areas.append(np.sum(chain_distance(x, y, chain) < 0) * WINDOW.pixel**2)
    assert np.mean(areas) == pytest.approx(np.pi * 4.0**2, rel=0.15)


def test_coverage_falls_from_one_to_zero_over_its_width():
    values = coverage(np.array([-1.0, -0.25, -0.125, 0.0, 0.125, 0.25, 1.0], np.float32), 0.5)
    np.testing.assert_allclose(values, [1, 1, 0.75, 0.5, 0.25, 0, 0], atol=1e-6)


@pytest.mark.parametrize("kind", ["smooth", "fine", "clumps", "lace"])
def test_noise_has_zero_mean_and_unit_variance(kind):
    values = sample(kind, Placement(0.3, 0.8, 0.0), 8.0, Window(0, 0, 512, 512, 1.0))
    assert values.dtype == np.float32
    assert abs(values.mean()) < 0.1
    assert values.std() == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("kind", ["grains", "sparse_grains"])
def test_grains_lie_between_zero_and_one(kind):
    values = sample(kind, Placement(0.3, 0.8, 0.5), 8.0, Window(0, 0, 512, 512, 1.0))
    assert values.min() == 0
    assert 0.8 < values.max() <= 1
    assert np.mean(values > 0.3) < 0.75


def test_noise_stays_in_place_when_the_window_is_cut_or_refined():
    placement = Placement(0.9, 0.1, 1.0)
    whole = sample("smooth", placement, 3.0, Window(-40.0, -40.0, 81, 81, 0.1))
    part = sample("smooth", placement, 3.0, Window(-10.0, 5.0, 20, 30, 0.1))
    np.testing.assert_allclose(part, whole[45:75, 30:50], atol=0.06)
    coarse = sample("smooth", placement, 3.0, Window(-10.0, -10.0, 21, 21, 0.4))
    assert np.corrcoef(coarse.ravel(), whole[::4, ::4].ravel())[0, 1] > 0.98


def test_white_noise_is_standard_normal_for_any_shape():
    small = white_noise(Placement(0.99, 0, 0), (32, 32, 3))
    large = white_noise(Placement(0.5, 0, 0), (600, 600, 3))
    assert small.shape == (32, 32, 3)
    assert large.shape == (600, 600, 3)
    assert large.std() == pytest.approx(1, abs=0.02)
    assert small.std() == pytest.approx(1, abs=0.06)


def test_an_empty_slide_shows_its_light_and_dye_only_darkens():
    rng = np.random.default_rng(0)
    slide, exposure = draw_slide(rng), draw_exposure(rng)
    empty = [np.zeros((32, 32), np.float32) for _ in range(4)]
    light = develop(empty, slide, exposure, pixel=0.5)
    np.testing.assert_allclose(light[16, 16], slide.light, rtol=0.02)
    for dye in range(4):
        stained = list(empty)
        stained[dye] = np.full((32, 32), 0.5, np.float32)
        expected = light[16, 16] * np.exp(-0.5 * exposure.gain * slide.absorbance[dye])
        np.testing.assert_allclose(develop(stained, slide, exposure, pixel=0.5)[16, 16], expected, rtol=1e-3)
