"""DropBlock: blocks wholly inside the map, each cell hidden with the probability that follows from gamma."""

import functools

import jax
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from asae_jax import keys
from asae_jax.models.dropblock import DropBlock, block_mask, block_side
from asae_jax.models.training_layer import STREAM

MAPS = [(7, 9, 3), (14, 14, 6), (4, 4, 4)]
RATE, COUNT = 0.2, 4000


@functools.cache
def _masks(height, width, side):
    image_keys = keys.example_keys(jax.random.key(0), COUNT)
    mask = jax.jit(lambda k: block_mask(k, height, width, rate=RATE, side=side))(image_keys)
    return np.asarray(mask)


def _blocks_over_each_cell(length, side):
    """How many of the blocks that fit into `length` cells cover each of them."""
    return np.array([sum(s <= c < s + side for s in range(length - side + 1)) for c in range(length)])


@pytest.mark.parametrize(("height", "width", "side"), MAPS)
def test_each_cell_is_hidden_as_often_as_the_formula_says(height, width, side):
    gamma = RATE * height * width / side**2 / ((height - side + 1) * (width - side + 1))
    covers = np.outer(_blocks_over_each_cell(height, side), _blocks_over_each_cell(width, side))
    expected = 1 - (1 - gamma) ** covers
    hidden = 1 - _masks(height, width, side).mean(0)
    spread = np.sqrt(expected * (1 - expected) / COUNT)
    assert (np.abs(hidden - expected) < 5 * spread).all()


@pytest.mark.parametrize(("height", "width", "side"), MAPS)
def test_what_is_hidden_is_a_union_of_whole_blocks(height, width, side):
    """Opening by a square changes nothing: every hidden cell lies in a hidden square."""
    hidden = 1 - _masks(height, width, side)[:200]
    centres = sliding_window_view(hidden, (side, side), axis=(1, 2)).min((-2, -1))
    padded = np.pad(centres, ((0, 0), (side - 1, side - 1), (side - 1, side - 1)))
    np.testing.assert_array_equal(
        sliding_window_view(padded, (side, side), axis=(1, 2)).max((-2, -1)), hidden
    )
    assert 0 < hidden.mean() < 1


def test_features_are_masked_and_rescaled_by_the_share_kept():
    features = np.random.default_rng(0).uniform(1, 2, (16, 9, 9, 3)).astype(np.float32)
    layer = DropBlock(rate=0.3, block_size=3)
    apply = jax.jit(lambda x: layer.apply({}, x, train=True, rngs={STREAM: jax.random.key(2)}))
    out, pullback = jax.vjp(apply, features)
    kept = np.asarray(out) != 0
    assert (kept == kept[..., :1]).all()  # one mask for all channels
    np.testing.assert_allclose(out, features * kept * (kept.size / kept.sum()), rtol=1e-5)
    np.testing.assert_allclose(
        pullback(np.ones_like(features))[0], kept * (kept.size / kept.sum()), rtol=1e-5
    )


def test_the_block_is_given_in_cells_or_as_a_share_of_the_shorter_side():
    assert block_side(7, 14, 14) == 7
    assert block_side(0.5, 8, 14) == 4
    assert block_side(7, 4, 9) == 4
    assert block_side(0.01, 8, 8) == 1


def test_a_map_that_is_hidden_whole_stays_finite():
    layer = DropBlock(rate=0.99, block_size=2)
    features = np.ones((1, 2, 2, 3), np.float32)
    apply = jax.jit(lambda key: layer.apply({}, features, train=True, rngs={STREAM: key}))
    out = np.stack([apply(jax.random.key(i)) for i in range(4)])
    assert np.isfinite(out).all()
    assert (out == 0).all((1, 2, 3, 4)).any()
