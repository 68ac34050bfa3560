"""Published variations on the layer's maps, against closed forms and their definitions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from asae_jax.errors import UserError
from asae_jax.models import asae, asae_variants
from asae_jax.models.asae import ASAE
from tests.reference import asae as reference

KEY = jax.random.key(5)
IMAGES = 20_000

asae_maps = jax.jit(asae.asae_maps, static_argnames=("window", "area", "attention", "enhancement", "place"))
moved_region = jax.jit(asae_variants.moved_region)


def _features(shape=(6, 7, 7, 5), seed=0):
    return np.random.default_rng(seed).normal(1, 1, size=shape).astype(np.float32)


@functools.cache
def _layer(**options):
    return jax.jit(lambda x: ASAE(**options).apply({}, x, rngs={"asae": KEY}))


def test_magnitude_is_the_mean_of_the_absolute_values_over_its_mean_on_the_map():
    features = _features() - 1
    values = np.abs(features.astype(np.float64)).mean(-1)
    magnitude = jax.jit(asae_variants.magnitude)
    np.testing.assert_allclose(magnitude(features), values / values.mean((1, 2), keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(magnitude(np.zeros_like(features)), np.zeros((6, 7, 7)))


def test_magnitude_finds_what_cancels_in_the_mean():
    """One position holds large values of both signs: the paper's mean is lowest there."""
    features = np.full((1, 7, 7, 2), 0.1, np.float32)
    features[0, 4, 2] = 9, -9
    found = {
        kind: [int(at[0]) for at in asae_maps(None, features, area=9, attention=kind)[2:4]]
        for kind in ("mean", "magnitude")
    }
    assert found["magnitude"] == [4, 2] != found["mean"]


def test_where_nothing_is_negative_magnitude_chooses_what_the_mean_chooses():
    features = np.abs(_features())
    mean, magnitude = (asae_maps(KEY, features, area=9, attention=kind) for kind in ("mean", "magnitude"))
    for name in ("peaks", "rows", "cols", "mask"):
        np.testing.assert_array_equal(getattr(mean, name), getattr(magnitude, name))
    scale = np.asarray(mean.attention).mean((1, 2), keepdims=True)
    np.testing.assert_allclose(mean.attention, magnitude.attention * scale, rtol=1e-5)


def test_residual_enhancement_is_one_and_the_sigmoid():
    features = _features()
    out = _layer(branches=("enhance",), enhancement="residual")(features)[0]
    sigmoid = reference.enhancement_map(features.astype(np.float64).mean(-1))
    np.testing.assert_allclose(out, features * (1 + sigmoid[..., None]), rtol=1e-5)


def _corners(masks, shape):
    """Where in each mask the hidden positions have their bounding box, which must hold `shape`."""
    corners = []
    for mask in np.asarray(masks):
        rows, cols = np.nonzero(mask == 0)
        box = mask[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
        np.testing.assert_array_equal(box == 0, shape)
        corners.append((rows.min(), cols.min()))
    return np.array(corners)


def test_a_moved_region_keeps_its_shape_and_lies_anywhere_with_the_same_probability():
    shape = np.array([[1, 0, 1], [1, 1, 0]], bool)
    mask = np.ones((4, 6), np.float32)
    mask[1:3, 2:5] = ~shape
    corners = _corners(moved_region(KEY, np.broadcast_to(mask, (IMAGES, 4, 6))), shape)
    counts = np.zeros((3, 4))  # a 2 x 3 box has so many places in 4 x 6
    np.add.at(counts, tuple(corners.T), 1)
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_a_region_as_large_as_the_map_stays():
    np.testing.assert_array_equal(moved_region(KEY, np.zeros((3, 4, 5), np.float32)), np.zeros((3, 4, 5)))


def test_the_control_differs_from_the_method_in_the_place_alone():
    features = _features((64, 7, 7, 5))
    peak, moved = (asae_maps(KEY, features, area=9, ratio=0.3, place=place) for place in ("peak", "random"))
    same = [name for name in peak._fields if name != "mask"]
    for name in same:
        np.testing.assert_array_equal(getattr(peak, name), getattr(moved, name))
    for before, after in zip(np.asarray(peak.mask), np.asarray(moved.mask), strict=True):
        rows, cols = np.nonzero(before == 0)
        box = before[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
        _corners(after[None], box == 0)
    assert (np.asarray(peak.mask) != np.asarray(moved.mask)).any((1, 2)).mean() > 0.8
    without_key = asae_maps(None, features, area=9, place="random").mask
    np.testing.assert_array_equal(without_key, asae_maps(None, features, area=9).mask)


@pytest.mark.parametrize("enhancement", ["sigmoid", "sigmoid_mean1", "residual"])
def test_the_ramp_goes_from_plain_features_to_the_whole_layer(enhancement):
    features = _features()
    whole = asae_maps(KEY, features, enhancement=enhancement)
    start, middle, end = (
        asae_maps(KEY, features, enhancement=enhancement, strength=strength) for strength in (0.0, 0.25, 1.0)
    )
    np.testing.assert_array_equal(start.mask, np.ones((6, 7, 7)))
    np.testing.assert_array_equal(start.enhancement, np.ones((6, 7, 7)))
    np.testing.assert_array_equal(end.mask, whole.mask)
    np.testing.assert_allclose(end.enhancement, whole.enhancement, rtol=1e-6)
    np.testing.assert_allclose(middle.enhancement, 0.75 + 0.25 * np.asarray(whole.enhancement), rtol=1e-6)
    for name in ("rows", "cols", "peaks"):
        np.testing.assert_array_equal(getattr(middle, name), getattr(whole, name))


@pytest.mark.parametrize("strength", [0.1, 0.6])
def test_the_ramp_hides_an_image_s_whole_region_or_nothing(strength):
    masks = np.tile(np.array([[0.0, 1.0]], np.float32), (IMAGES, 1, 1))
    ramped = np.asarray(asae_variants.ramped_mask(KEY, masks, strength))
    hidden = int((ramped[:, 0, 0] == 0).sum())
    assert (ramped[:, 0, 1] == 1).all()
    assert stats.binomtest(hidden, IMAGES, strength).pvalue > 1e-3


def test_whether_a_region_is_hidden_says_nothing_of_where_it_is_moved():
    mask = np.ones((IMAGES, 4, 3), np.float32)
    mask[:, 1, 1] = 0
    hidden = np.asarray(asae_variants.ramped_mask(KEY, mask, 0.5) == 0).any((1, 2))
    moved = np.asarray(moved_region(KEY, mask) == 0)
    for axis in (1, 2):
        places = moved.any(3 - axis).argmax(1)
        counts = [np.bincount(places[rows], minlength=mask.shape[axis]) for rows in (hidden, ~hidden)]
        assert stats.chi2_contingency(counts).pvalue > 1e-3


@pytest.mark.parametrize("options", [{"place": "random"}, {"strength": 0.5}])
def test_what_is_drawn_does_not_depend_on_how_the_batch_is_spread(options):
    features = _features((8, 7, 7, 5))
    options = options | {"area": 9}
    whole = asae_maps(KEY, features, **options).mask
    parts = [asae_maps(KEY, features[i : i + 2], first_example=i, **options).mask for i in (0, 2, 4, 6)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert not np.array_equal(whole, asae_maps(jax.random.key(6), features, **options).mask)


def test_kept_features_are_divided_by_the_share_kept_of_their_own_map():
    """DropBlock's algorithm 1: features times the mask times count(M) / count_ones(M)."""
    features = _features()
    maps = jax.jit(lambda x: ASAE().apply({}, x, train=True, rngs={"asae": KEY}, method="maps"))(features)
    mask = np.asarray(maps.mask, np.float64)
    scale = 49 / (mask == 1).sum((1, 2))
    assert len(set(scale)) > 1
    suppressed, enhanced = _layer(rescale=True)(features)
    np.testing.assert_allclose(suppressed, features * mask[..., None] * scale[:, None, None, None], rtol=1e-6)
    np.testing.assert_array_equal(enhanced, _layer()(features)[1])
    np.testing.assert_array_equal(maps.mask, mask)  # the map itself stays 0 or 1


def test_a_map_that_is_hidden_altogether_stays_zero():
    np.testing.assert_array_equal(asae_variants.kept_rescaled(jnp.zeros((2, 3, 3))), np.zeros((2, 3, 3)))


@pytest.mark.parametrize(
    "options", [{"place": "centre"}, {"enhancement": "residuals"}, {"attention": "auto"}]
)
def test_unknown_variants_are_refused(options):
    with pytest.raises(UserError, match="choose one of"):
        ASAE(**options)
    with pytest.raises(UserError, match="choose one of"):
        asae.asae_maps(None, _features(), **options)
