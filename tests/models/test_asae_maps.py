"""The ASAE layer's pure functions against the cell-by-cell reference, and the cases the paper leaves open."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asae_jax.errors import UserError
from asae_jax.models import asae
from tests.reference import asae as reference

# Compiled as one, which takes less time than the operations one by one.
find_peaks = jax.jit(asae.find_peaks, static_argnames="window")
suppression_mask = jax.jit(asae.suppression_mask, static_argnames="area")

SHAPES = [(1, 1), (2, 2), (1, 9), (4, 4), (7, 7), (14, 14), (6, 11)]


@functools.cache
def _maps(shape):
    """Smooth, noisy, flat, tied, negative and single-peak maps: float32 [images, *shape]."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    cone = -np.hypot(rows - shape[0] // 2, cols - shape[1] // 3)
    noise = rng.normal(size=(4, *shape))
    ties = rng.integers(0, 3, size=(8, *shape))
    plateau = (rows > 0) & (cols < 2)
    images = [
        *noise,
        *ties,
        *(-1 - np.abs(noise)),
        cone,
        cone + 100,
        plateau,
        np.zeros(shape),
        np.full(shape, -2),
    ]
    return np.stack(images).astype(np.float32)


@pytest.mark.parametrize("window", [1, 3, 5, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_peaks_equal_the_reference(shape, window):
    maps = _maps(shape)
    expected = [reference.find_peaks(m, window) for m in maps]
    np.testing.assert_array_equal(find_peaks(maps, window=window), expected)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(arrays(np.float32, (1, 6, 7), elements=st.integers(-2, 2)))
def test_peaks_of_maps_full_of_ties_equal_the_reference(maps):
    np.testing.assert_array_equal(find_peaks(maps)[0], reference.find_peaks(maps[0], 5))


def test_a_flat_map_has_one_peak_at_its_first_cell():
    peaks = asae.find_peaks(jnp.full((2, 14, 14), 3.0))
    np.testing.assert_array_equal(jnp.argwhere(peaks), [[0, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize("window", [0, 2, 4, -1])
def test_an_even_window_is_refused(window):
    with pytest.raises(UserError, match="odd"):
        asae.find_peaks(jnp.zeros((1, 4, 4)), window=window)


@functools.cache
def _ranked_peaks(shape):
    return [reference.ranked_peaks(m, reference.find_peaks(m, 5)) for m in _maps(shape)]


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (6, 11), (14, 14)])
@pytest.mark.parametrize(
    ("ratio", "area"), [(0.8, 36), (0.8, 25), (0.5, 1), (1.0, 9), (0.0, 400), (0.7, 0.2)]
)
def test_masks_at_every_rank_equal_the_reference(shape, ratio, area):
    maps = _maps(shape)
    ranked = _ranked_peaks(shape)
    for rank in (0, 2):
        cells = np.array([cells[min(rank, len(cells) - 1)] for cells in ranked])
        mask = suppression_mask(maps, cells[:, 0], cells[:, 1], ratio=ratio, area=area)
        expected = [reference.suppression_mask(m, *c, ratio, area) for m, c in zip(maps, cells, strict=True)]
        assert mask.dtype == jnp.float32
        np.testing.assert_array_equal(mask, expected)


def _hidden(mask):
    """First and last hidden row and column."""
    rows, cols = np.nonzero(np.asarray(mask[0]) == 0)
    return rows.min(), rows.max(), cols.min(), cols.max()


@pytest.mark.parametrize(
    ("centre", "area", "expected"),
    [
        ((7, 7), 36, (4, 9, 4, 9)),  # even side: c-3 .. c+2
        ((7, 7), 25, (5, 9, 5, 9)),  # odd side: centred
        ((0, 13), 36, (0, 2, 10, 13)),  # cut at the border, not shifted
        ((7, 7), 36 / 196, (4, 9, 4, 9)),  # a fraction of the 14 x 14 map
        ((7, 7), 1, (7, 7, 7, 7)),
        ((7, 7), 0.001, (7, 7, 7, 7)),  # never less than the peak itself
        ((7, 7), 0.999, (0, 13, 0, 13)),
    ],
)
def test_the_square_is_where_the_design_says(centre, area, expected):
    rows, cols = jnp.array(centre[:1]), jnp.array(centre[1:])
    assert _hidden(suppression_mask(jnp.ones((1, 14, 14)), rows, cols, area=area)) == expected


def test_the_threshold_is_inclusive_and_a_negative_peak_is_hidden():
    attention = jnp.array([[[0.5, 0.4, 0.3]], [[-2.0, -2.4, -1e9]]])
    chosen = jnp.array([0, 0])
    mask = asae.suppression_mask(attention, chosen, chosen, ratio=0.8)
    np.testing.assert_array_equal(mask, [[[0, 0, 1]], [[0, 1, 1]]])


@pytest.mark.parametrize("area", [0, -4])
def test_an_area_that_is_not_positive_is_refused(area):
    with pytest.raises(UserError, match="area"):
        asae.suppression_mask(jnp.zeros((1, 4, 4)), jnp.array([0]), jnp.array([0]), area=area)


def test_attention_and_enhancement_equal_the_reference():
    features = np.random.default_rng(1).normal(size=(3, 5, 4, 6)).astype(np.float32)
    attention = asae.self_attention_map(features)
    np.testing.assert_allclose(attention, features.astype(np.float64).mean(-1), atol=1e-6)
    extreme = np.array([[[-1e4, -3.0, 0.0, 3.0, 1e4]]], np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(
            asae.enhancement_map(extreme), reference.enhancement_map(extreme.astype(np.float64)), atol=1e-7
        )


def test_without_a_key_the_highest_peak_is_taken():
    features = _maps((7, 7))[..., None]
    maps = asae.asae_maps(None, features)
    expected = [reference.ranked_peaks(m, reference.find_peaks(m, 5))[0] for m in features[..., 0]]
    np.testing.assert_array_equal(np.stack([maps.rows, maps.cols], 1), expected)


def test_maps_are_made_of_the_parts():
    features = np.random.default_rng(2).normal(size=(4, 7, 7, 3)).astype(np.float32)
    key = jax.random.key(5)
    options = {"num_candidates": 3, "p_top1": 0.2, "first_example": 7}
    maps = asae.asae_maps(key, features, window=3, ratio=0.6, area=9, **options)
    attention = asae.self_attention_map(features)
    peaks = asae.find_peaks(attention, window=3)
    rows, cols = asae.select_peak(key, attention, peaks, **options)
    mask = asae.suppression_mask(attention, rows, cols, ratio=0.6, area=9)
    expected = asae.ASAEMaps(attention, peaks, rows, cols, mask, asae.enhancement_map(attention))
    jax.tree.map(np.testing.assert_array_equal, maps, expected)


def test_mean1_enhancement_has_mean_one_and_the_shape_of_the_sigmoid():
    features = np.random.default_rng(3).normal(size=(4, 7, 7, 3)).astype(np.float32)
    plain = asae.asae_maps(None, features).enhancement
    scaled = asae.asae_maps(None, features, enhancement="sigmoid_mean1").enhancement
    np.testing.assert_allclose(scaled, plain / plain.mean((1, 2), keepdims=True), rtol=1e-5)
