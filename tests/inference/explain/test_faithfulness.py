"""The test of faithfulness where its outcome is known."""

import numpy as np
import pytest

from asae_jax.inference.alignment import Grid
from asae_jax.inference.explain.faithfulness import Faithfulness
from asae_jax.inference.explain.report import mean_intervals, summarise

CELLS = 8


def _toy(draws=400):
    """Class 1 is certain to 0.9 unless cell (2, 5) is hidden, which leaves 0.1; the last image is unknown."""
    regions = np.zeros((5, CELLS, CELLS), bool)
    regions[:, 2, 5] = True
    regions[3] = np.roll(regions[3], 3, axis=1)  # here the peak is elsewhere: (2, 0)
    cams = np.zeros((5, CELLS, CELLS))
    cams[:, 2, 5] = 1

    def hide(images, region):
        assert region.shape == (5, CELLS, CELLS)
        p = np.where(region[:, 2, 5], 0.1, 0.9)
        return np.log(np.stack([1 - p, p], 1)), region[:, 2, 5].astype(float)

    grid = Grid(CELLS, 64)
    test = Faithfulness(grid, grid, draws=draws, seed=0)
    before = np.log(np.tile([[0.1, 0.9]], (5, 1)))
    labels = np.array([1, 1, 1, 1, -1])
    test.add(hide, np.zeros((5, 64, 64, 3), np.uint8), np.arange(5) + 7, labels, before, regions, cams)
    return test.measured()


def test_only_what_matters_costs():
    measured = _toy()
    np.testing.assert_array_equal(measured.rows, [7, 8, 9, 10])
    losses = measured.losses(logarithm=False)
    np.testing.assert_allclose(losses["peak"], [0.8, 0.8, 0.8, 0.0], atol=1e-12)
    np.testing.assert_allclose(losses["gradcam"], 0.8)
    np.testing.assert_allclose(losses["centre"], 0.0, atol=1e-12)
    np.testing.assert_allclose(measured.losses(logarithm=True)["gradcam"], np.log(9))
    # One cell in 64 matters: 1600 draws have a standard error of 0.8 * 0.0031.
    assert losses["random"].mean() == pytest.approx(0.8 / 64, abs=0.01)
    np.testing.assert_allclose(measured.share, 1 / 64)


def test_the_summary_of_it():
    found = summarise(_toy(), ("a", "b"), groups=None, resamples=200, seed=0)
    overall = found["overall"]
    assert overall["num_images"] == 4
    assert overall["probability"] == pytest.approx(0.9)
    assert overall["loss"]["probability"]["peak"]["mean"] == pytest.approx(0.6)
    assert overall["difference"]["probability"]["peak - centre"]["mean"] == pytest.approx(0.6)
    low, high = overall["difference"]["probability"]["peak - random"]["interval"]
    assert low < 0.6 < high
    assert overall["change"]["gradcam"] == 1
    assert overall["peak_above_random"] == 0.75
    assert list(found["per_class"]) == ["b"]
    assert found["intervals_over"] == "images"


def test_places_do_not_depend_on_the_batch():
    np.testing.assert_array_equal(_toy(draws=5).after, _toy(draws=5).after)


def test_intervals_draw_groups():
    values = np.repeat([0.0, 1.0, 2.0, 3.0], 25)
    groups = np.repeat(list("abcd"), 25)
    options = {"resamples": 4000, "seed": 0}
    alone = mean_intervals({"x": values}, None, **options)["x"]
    grouped = mean_intervals({"x": values, "y": -values}, groups, **options)
    half = 1.96 * values.std() / 10  # of the mean of 100
    np.testing.assert_allclose(alone["interval"], [1.5 - half, 1.5 + half], atol=0.02)
    low, high = grouped["x"]["interval"]
    assert (high - low) > 1.8 * (2 * half)
    np.testing.assert_allclose(grouped["y"]["interval"], [-high, -low])
    assert mean_intervals({"x": values}, np.zeros(100), **options)["x"]["interval"] is None
