"""The faithfulness test where its outcome is known; what is occluded, and in which places."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.evaluation.bootstrap import MIN_GROUPS
from asae_jax.inference.alignment import Alignment
from asae_jax.inference.explain.faithfulness import (
    FILLS,
    Faithfulness,
    Measured,
    occlude,
    placed_regions,
)
from asae_jax.inference.explain.report import mean_intervals, summarise

SIDE = 8


def _toy(draws=400):
    """Class 1 has 0.9, or 0.1 where position (2, 5) is occluded; the last image's class is unknown."""
    regions = np.zeros((5, SIDE, SIDE), bool)
    regions[:, 2, 5] = True
    regions[3] = np.roll(regions[3], 3, axis=1)  # here the peak is elsewhere: (2, 0)
    cams = np.zeros((5, SIDE, SIDE))
    cams[:, 2, 5] = 1

    def occluded(images, region):
        assert region.shape == (5, SIDE, SIDE)
        p = np.where(region[:, 2, 5], 0.1, 0.9)
        return np.log(np.stack([1 - p, p], 1)), region[:, 2, 5].astype(float)

    alignment = Alignment(SIDE, 64, 64 / SIDE, 32 / SIDE)
    test = Faithfulness(alignment, alignment, draws=draws, seed=0)
    before = np.log(np.tile([[0.1, 0.9]], (5, 1)))
    labels = np.array([1, 1, 1, 1, -1])
    test.add(occluded, np.zeros((5, 64, 64, 3), np.uint8), np.arange(5) + 7, labels, before, regions, cams)
    return test.measured()


def test_only_what_matters_costs():
    measured = _toy()
    np.testing.assert_array_equal(measured.rows, [7, 8, 9, 10])
    losses = measured.losses(logarithm=False)
    np.testing.assert_allclose(losses["peak"], [0.8, 0.8, 0.8, 0.0], atol=1e-12)
    np.testing.assert_allclose(losses["gradcam"], 0.8)
    np.testing.assert_allclose(losses["centre"], 0.0, atol=1e-12)
    np.testing.assert_allclose(measured.losses(logarithm=True)["gradcam"], np.log(9))
    # One position in 64 matters: 1600 draws have a standard error of 0.8 * 0.0031.
    assert losses["random"].mean() == pytest.approx(0.8 / 64, abs=0.01)
    np.testing.assert_allclose(measured.share, 1 / 64)


def test_the_hidden_share_is_one_of_the_image_s_pixels():
    """A map of 7 x 7 on 112 pixels, displaced by half a position: the last one reaches to the border."""
    alignment = Alignment(7, 112, 16, 0.5)
    regions = np.zeros((3, 7, 7), bool)
    for number, place in enumerate([(0, 0), (3, 3), (6, 6)]):
        regions[number][place] = True
    test = Faithfulness(alignment, alignment, draws=2000, seed=0)
    test.add(
        lambda images, region: (np.log(np.full((3, 2), 0.5)), np.ones(3)),
        np.zeros((3, 112, 112, 3), np.uint8),
        np.arange(3),
        np.zeros(3, int),
        np.log(np.full((3, 2), 0.5)),
        regions,
        np.zeros((3, 7, 7)),
    )
    measured = test.measured()
    # Nearest to the centres at 0.5, 16.5, ... 96.5: 8.5 -> 9 or 8, 16 each, and 23 or 24 pixels of 112.
    sides = np.bincount(alignment.nearest(112), minlength=7)
    assert sides[0] < 10
    assert sides[6] > 22
    np.testing.assert_array_equal(sides[1:6], 16)
    peak = np.array([sides[0], 16, sides[6]]) / 112
    np.testing.assert_allclose(measured.shares()["peak"], peak**2)
    np.testing.assert_allclose(measured.shares()["centre"], (16 / 112) ** 2)
    np.testing.assert_allclose(measured.shares()["random"], 1 / 49, rtol=0.05)  # every place as often
    found = summarise(measured, ("a", "b"), groups=None, resamples=0, seed=0)
    assert found["hidden_share"] == pytest.approx((peak**2).mean())
    assert found["hidden_shares"]["random"] == pytest.approx(measured.shares()["random"].mean())


def test_the_summary_of_it():
    found = summarise(_toy(), ("a", "b"), groups=None, resamples=200, seed=0)
    overall = found["overall"]
    assert overall["num_images"] == 4
    assert overall["probability"] == pytest.approx(0.9)
    assert overall["loss"]["probability"]["peak"]["mean"] == pytest.approx(0.6)
    assert overall["difference"]["probability"]["peak - centre"]["mean"] == pytest.approx(0.6)
    assert overall["difference"]["probability"]["peak - random"]["interval"] is None, "of four images"
    assert overall["change"]["gradcam"] == 1
    assert overall["peak_above_random"] == 0.75
    assert list(found["per_class"]) == ["b"]
    assert found["intervals_over"] == "images"


def test_places_do_not_depend_on_the_batch():
    """Where an image stands in its batch, and beside which others: its row alone draws its places."""
    alignment = Alignment(SIDE, 64, 64 / SIDE, 32 / SIDE)
    region = np.zeros((SIDE, SIDE), bool)
    region[2, 5] = True

    def occluded(images, regions):  # the probability of class 1 tells where the region is
        p = (1 + regions.reshape(len(regions), -1).argmax(1)) / (SIDE**2 + 2)
        return np.log(np.stack([1 - p, p], 1)), np.zeros(len(regions))

    def after(*batches):
        test = Faithfulness(alignment, alignment, draws=5, seed=0)
        for rows in map(np.array, batches):
            shape = (len(rows), SIDE, SIDE)
            regions, labels = np.broadcast_to(region, shape), np.ones(len(rows), int)
            test.add(
                occluded, np.zeros((len(rows), 64, 64, 3), np.uint8), rows, labels,
                np.log(np.full((len(rows), 2), 0.5)), regions, regions.astype(float),
            )  # fmt: skip
        found = test.measured()
        return dict(zip(found.rows.tolist(), found.after.round(12).tolist(), strict=True))

    together = after([7, 8, 9, 10])
    assert after([10, 7], [9, 8]) == together
    assert len({tuple(places) for places in together.values()}) == 4


def test_intervals_draw_groups():
    values = np.repeat([0.0, 1.0, 2.0, 3.0, 4.0], 20)
    groups = np.repeat(list("abcde"), 20)
    options = {"resamples": 4000, "seed": 0}
    alone = mean_intervals({"x": values}, None, **options)["x"]
    grouped = mean_intervals({"x": values, "y": -values}, groups, **options)
    half = 1.96 * values.std() / 10  # of the mean of 100
    np.testing.assert_allclose(alone["interval"], [2 - half, 2 + half], atol=0.02)
    low, high = grouped["x"]["interval"]
    assert (high - low) > 4 * (2 * half)
    np.testing.assert_allclose(grouped["y"]["interval"], [-high, -low])
    assert mean_intervals({"x": values}, np.zeros(100), **options)["x"]["interval"] is None


def test_few_images_or_groups_have_no_interval():
    """Two images would give their smaller and larger value, which hold zero in half of all cases of noise."""
    options = {"resamples": 500, "seed": 0}
    for count in (2, 7):
        assert mean_intervals({"x": np.arange(count) + 1.0}, None, **options)["x"]["interval"] is None
    low, high = mean_intervals({"x": np.arange(8.0)}, None, **options)["x"]["interval"]
    assert 1 < low < 3.5 < high < 6
    groups = np.arange(40) % (MIN_GROUPS - 1)
    assert mean_intervals({"x": np.arange(40.0)}, groups, **options)["x"]["interval"] is None


def test_the_same_shape_goes_where_it_is_wanted():
    region = np.zeros((6, 6), bool)
    region[0, 0] = region[1, :2] = True  # an L in the corner
    cam = np.zeros((6, 6))
    cam[4, 3] = cam[5, 3:5] = 1
    cam[0, 5] = 2
    placed = placed_regions(region, cam, np.random.default_rng(0), 200, centre=3.0)
    np.testing.assert_array_equal(placed[0], region)
    np.testing.assert_array_equal(placed[1], cam == 1)
    assert set(zip(*np.nonzero(placed[2]), strict=True)) == {(2, 2), (3, 2), (3, 3)}
    assert set(placed.sum((1, 2))) == {3}
    corners = {tuple(np.argwhere(one)[0]) for one in placed[3:]}
    assert corners == {(row, col) for row in range(5) for col in range(5)}


def test_fills():
    images = np.random.default_rng(0).normal(size=(2, 20, 20, 3)).astype(np.float32)
    region = np.zeros((2, 2, 2), bool)
    region[:, 0, 1] = True
    ring = np.ones((20, 20), bool)
    ring[1:-1, 1:-1] = False
    expected = {"border": images[:, ring].mean(1), "mean": images.mean((1, 2))}
    for fill, colour in expected.items():
        out = np.array(occlude(jnp.asarray(images), jnp.asarray(region), Alignment(2, 20, 10, 5), fill=fill))
        np.testing.assert_allclose(
            out[:, :10, 10:], np.broadcast_to(colour[:, None, None], (2, 10, 10, 3)), atol=1e-6
        )
        out[:, :10, 10:] = images[:, :10, 10:]
        np.testing.assert_array_equal(out, images)
    blurred = np.asarray(FILLS["blur"](jnp.asarray(images)))
    oracle = cv2.GaussianBlur(images[0], (17, 17), 2, borderType=cv2.BORDER_CONSTANT)
    weight = cv2.GaussianBlur(np.ones((20, 20), np.float32), (17, 17), 2, borderType=cv2.BORDER_CONSTANT)
    np.testing.assert_allclose(blurred[0], oracle / weight[..., None], atol=2e-3)


def test_intervals_of_a_class_draw_the_groups_of_its_images():
    """Two classes of 30 images; the second is of four patients alone, which tell nothing of others."""
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], 30)
    after = np.log(rng.uniform(0.1, 0.9, (60, 4)))
    measured = Measured(
        np.arange(60), labels, np.log(np.full(60, 0.9)), after, np.ones((60, 4)), np.full((60, 4), 0.1)
    )
    groups = np.where(labels == 0, np.arange(60) % 6, 10 + np.arange(60) % 4)
    found = summarise(measured, ("a", "b"), groups=groups, resamples=300, seed=0)
    costs = {name: part["loss"]["probability"]["peak"] for name, part in found["per_class"].items()}
    assert costs["b"]["interval"] is None
    values = 0.9 - np.exp(after[:30, 0])
    expected = mean_intervals({"x": values}, groups[:30], resamples=300, seed=0)["x"]["interval"]
    np.testing.assert_allclose(costs["a"]["interval"], expected)
    by_image = mean_intervals({"x": values}, None, resamples=300, seed=0)["x"]["interval"]
    assert abs(expected[0] - by_image[0]) > 1e-3
