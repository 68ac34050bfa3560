"""Each drop layer by itself: exact values where kept, right shares where dropped."""

import functools

import jax
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from asae_jax import keys
from asae_jax.models.baselines.drop_layers import (
    ADL,
    STREAM,
    DiversificationBlock,
    DropBlock,
    block_mask,
    block_side,
    diversification_mask,
    dropout,
    max_drop,
    spatial_dropout,
)

FEATURES = np.random.default_rng(0).normal(size=(32, 6, 5, 40)).astype(np.float32)
KEYS = keys.example_keys(jax.random.key(1), len(FEATURES))


LAYERS = [dropout, spatial_dropout, max_drop]
WEIGHTS = np.random.default_rng(2).normal(size=FEATURES.shape).astype(np.float32)


@functools.partial(jax.jit, static_argnames="layer")
def _with_gradient(layer, image_keys, features, rate):
    out, pullback = jax.vjp(lambda x: layer(image_keys, x, rate=rate), features)
    return out, pullback(WEIGHTS)[0]


def _drop(layer, features, rate):
    """What the layer makes of the features, and the gradient of its sum with `WEIGHTS`."""
    return [np.asarray(x) for x in _with_gradient(layer, KEYS, features, rate)]


def _within_five_sigma(count, total, rate):
    return abs(count - total * rate) < 5 * np.sqrt(total * rate * (1 - rate))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_scales_what_it_keeps_and_drops_the_rate(rate):
    out = _drop(dropout, FEATURES, rate)[0]
    dropped = out == 0
    np.testing.assert_allclose(out[~dropped], FEATURES[~dropped] / (1 - rate), rtol=1e-6)
    assert _within_five_sigma(dropped.sum(), dropped.size, rate)
    assert dropped.mean((0, 1, 2)).min() > 0  # every channel, position and image takes its part
    assert dropped.any((0, 3)).all()
    assert dropped.any((1, 2, 3)).all()


def test_spatial_dropout_drops_whole_channels():
    out = _drop(spatial_dropout, FEATURES, 0.3)[0]
    dropped = (out == 0).all((1, 2))
    np.testing.assert_allclose(out, np.where(dropped[:, None, None], 0, FEATURES / 0.7), rtol=1e-6)
    assert _within_five_sigma(dropped.sum(), dropped.size, 0.3)


def _without_maxima(features):
    """NumPy reference: every channel's highest value, the first of equal ones, set to zero."""
    out = features.copy()
    for image in out:
        for channel in range(image.shape[-1]):
            image[np.unravel_index(image[..., channel].argmax(), image.shape[:2])][channel] = 0
    return out


def test_max_drop_takes_the_maximum_of_a_channel_or_nothing():
    features = FEATURES.copy()
    features[0, 2:4, 1, 7] = 9.0  # a tie
    expected = _without_maxima(features)
    np.testing.assert_array_equal(_drop(max_drop, features, 1.0)[0], expected)
    out = _drop(max_drop, features, 0.4)[0]
    hit = (out != features).any((1, 2))
    np.testing.assert_array_equal(out, np.where(hit[:, None, None], expected, features))
    assert _within_five_sigma(hit.sum(), hit.size, 0.4)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_gradient_is_that_of_the_mask(layer):
    out, gradient = _drop(layer, FEATURES, 0.3)
    np.testing.assert_allclose(gradient, WEIGHTS * (out / FEATURES), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_rate_zero_changes_nothing(layer):
    np.testing.assert_array_equal(_drop(layer, FEATURES, 0.0)[0], FEATURES)


# DropBlock: blocks wholly inside the map, each position hidden with the probability that follows from gamma.

BLOCKS = [(7, 9, 3), (14, 14, 6), (4, 4, 4)]
BLOCK_RATE, COUNT = 0.2, 4000


@functools.cache
def _block_masks(height, width, side):
    image_keys = keys.example_keys(jax.random.key(0), COUNT)
    mask = jax.jit(lambda k: block_mask(k, height, width, rate=BLOCK_RATE, side=side))(image_keys)
    return np.asarray(mask)


def _blocks_over_each_position(length, side):
    """How many of the blocks that fit into `length` positions cover each of them."""
    return np.array([sum(s <= p < s + side for s in range(length - side + 1)) for p in range(length)])


@pytest.mark.parametrize(("height", "width", "side"), BLOCKS)
def test_each_position_is_hidden_as_often_as_the_formula_says(height, width, side):
    gamma = BLOCK_RATE * height * width / side**2 / ((height - side + 1) * (width - side + 1))
    covers = np.outer(_blocks_over_each_position(height, side), _blocks_over_each_position(width, side))
    expected = 1 - (1 - gamma) ** covers
    hidden = 1 - _block_masks(height, width, side).mean(0)
    spread = np.sqrt(expected * (1 - expected) / COUNT)
    assert (np.abs(hidden - expected) < 5 * spread).all()


@pytest.mark.parametrize(("height", "width", "side"), BLOCKS)
def test_what_is_hidden_is_a_union_of_whole_blocks(height, width, side):
    """Opening by a square changes nothing: every hidden position lies in a hidden square."""
    hidden = 1 - _block_masks(height, width, side)[:200]
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


def test_the_block_is_given_in_positions_or_as_a_share_of_the_shorter_side():
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


# ADL against PyTorch, its one draw for the whole batch, and its gradients.


def _normal_features(shape=(4, 7, 6, 5), seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def _adl_reference(features, *, drop, threshold):
    """The layer's two outcomes by the paper's formulas, on channels-first torch tensors."""
    attention = features.mean(1, keepdim=True)
    if not drop:
        return features * torch.sigmoid(attention)
    hidden = attention >= threshold * attention.amax((2, 3), keepdim=True)
    return features.masked_fill(hidden, 0.0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("drop", [True, False])
def test_adl_s_values_and_gradients_agree_with_torch(drop):
    features, weights = _normal_features(), _normal_features(seed=1)
    tensor = torch.from_numpy(features.transpose(0, 3, 1, 2).copy()).requires_grad_()
    expected = _adl_reference(tensor, drop=drop, threshold=0.7)
    expected.backward(torch.from_numpy(weights.transpose(0, 3, 1, 2).copy()))

    layer = ADL(rate=float(drop), threshold=0.7)
    apply = jax.jit(lambda x: layer.apply({}, x, train=True, rngs={STREAM: jax.random.key(0)}))
    out, pullback = jax.vjp(apply, features)
    np.testing.assert_allclose(out, expected.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-12)
    np.testing.assert_allclose(
        pullback(weights)[0], tensor.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-12, atol=1e-12
    )


@pytest.mark.usefixtures("float64")
def test_one_draw_of_adl_decides_for_all_images_with_the_drop_rate():
    features = np.abs(_normal_features((3, 4, 4, 2)))
    layer = ADL()

    @jax.jit
    @jax.vmap
    def draw(key):
        return layer.apply({}, features, train=True, rngs={STREAM: key})

    out = np.asarray(draw(jax.random.split(jax.random.key(1), 1000)))
    dropped = (out == 0).any((2, 3, 4))  # [draws, images]: importance leaves nothing at zero
    assert (dropped == dropped[:, :1]).all()
    assert abs(dropped[:, 0].mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 1000)


@jax.jit
def _always_dropping(features):
    return ADL(rate=1.0).apply({}, features, train=True, rngs={STREAM: jax.random.key(0)})


@pytest.mark.usefixtures("float64")
def test_adl_treats_features_with_a_branch_axis_map_by_map():
    features = _normal_features((2, 3, 5, 5, 4))
    np.testing.assert_allclose(_always_dropping(features)[1], _always_dropping(features[1]), rtol=1e-12)


@pytest.mark.usefixtures("float64")
def test_adl_is_literal_at_the_edges():
    """A zero map is hidden everywhere, a negative one nowhere: what counts is `threshold * maximum`."""
    negative = -1 - np.abs(_normal_features((3, 5, 5, 4)))
    np.testing.assert_array_equal(_always_dropping(negative), negative)
    np.testing.assert_array_equal(_always_dropping(np.zeros_like(negative)), 0)


# The Diversification Block: peaks by one draw, patches by another, each weakened by the factor.

FEW_FEATURES = np.random.default_rng(0).normal(size=(64, 7, 8, 5)).astype(np.float32)
FEW_KEYS = keys.example_keys(jax.random.key(1), len(FEW_FEATURES))
PEAKS = FEW_FEATURES.max((1, 2), keepdims=True) == FEW_FEATURES


@jax.jit
def _diversified(peak_rate, patch_rate):
    return diversification_mask(
        FEW_KEYS, FEW_FEATURES, peak_rate=peak_rate, patch_rate=patch_rate, patch_size=3
    )


def _weakened(peak_rate, patch_rate):
    return np.asarray(_diversified(peak_rate, patch_rate))


def test_certain_rates_pick_exactly_the_peaks_or_all_but_the_peaks():
    np.testing.assert_array_equal(_weakened(peak_rate=1.0, patch_rate=0.0), PEAKS)
    np.testing.assert_array_equal(_weakened(peak_rate=0.0, patch_rate=1.0), ~PEAKS)


def test_patches_are_chosen_whole_and_by_themselves():
    mask = _weakened(peak_rate=0.0, patch_rate=0.3)
    chosen = []
    for top in (0, 3, 6):
        for left in (0, 3, 6):
            places = (slice(None), slice(top, top + 3), slice(left, left + 3))
            patch, peak = mask[places], PEAKS[places]
            hit = patch.any((1, 2))
            # A patch of one position that is the peak says nothing.
            np.testing.assert_array_equal(patch, hit[:, None, None] & ~peak)
            chosen.append(hit)
    chosen = np.stack(chosen)
    sigma = np.sqrt(0.3 * 0.7 / chosen.size)
    assert abs(chosen.mean() - 0.3) < 5 * sigma + 0.01  # the border patches' peaks hide some
    assert np.abs(np.corrcoef(chosen.reshape(9, -1)) - np.eye(9)).max() < 0.3


def test_peaks_are_chosen_with_their_rate_per_channel():
    hit = (_weakened(peak_rate=0.5, patch_rate=0.0) & PEAKS).any((1, 2))
    assert abs(hit.mean() - 0.5) < 5 * np.sqrt(0.25 / hit.size)
    assert 0 < hit.all(1).mean() < 0.5  # channels of one image differ


def test_weakened_values_are_multiplied_and_so_is_their_gradient():
    layer = DiversificationBlock(factor=0.25)
    apply = jax.jit(lambda x: layer.apply({}, x, train=True, rngs={STREAM: jax.random.key(4)}))
    out, pullback = jax.vjp(apply, FEW_FEATURES)
    factor = np.where(out == FEW_FEATURES, 1.0, 0.25).astype(np.float32)
    np.testing.assert_allclose(out, FEW_FEATURES * factor, rtol=1e-6)
    np.testing.assert_allclose(pullback(np.ones_like(FEW_FEATURES))[0], factor, rtol=1e-6)
    assert 0.3 < (factor < 1).mean() < 0.7
