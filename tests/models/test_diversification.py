"""The Diversification Block: peaks by one draw, patches by another, each weakened by the factor."""

import jax
import numpy as np

from asae_jax import keys
from asae_jax.models.diversification import DiversificationBlock, diversification_mask
from asae_jax.models.training_layer import STREAM

FEATURES = np.random.default_rng(0).normal(size=(64, 7, 8, 5)).astype(np.float32)
KEYS = keys.example_keys(jax.random.key(1), len(FEATURES))
PEAKS = FEATURES.max((1, 2), keepdims=True) == FEATURES


@jax.jit
def _compiled(peak_rate, patch_rate):
    return diversification_mask(KEYS, FEATURES, peak_rate=peak_rate, patch_rate=patch_rate, patch_size=3)


def _mask(peak_rate, patch_rate):
    return np.asarray(_compiled(peak_rate, patch_rate))


def test_certain_rates_pick_exactly_the_peaks_or_all_but_the_peaks():
    np.testing.assert_array_equal(_mask(peak_rate=1.0, patch_rate=0.0), PEAKS)
    np.testing.assert_array_equal(_mask(peak_rate=0.0, patch_rate=1.0), ~PEAKS)


def test_patches_are_chosen_whole_and_by_themselves():
    mask = _mask(peak_rate=0.0, patch_rate=0.3)
    chosen = []
    for top in (0, 3, 6):
        for left in (0, 3, 6):
            cells = (slice(None), slice(top, top + 3), slice(left, left + 3))
            patch, peak = mask[cells], PEAKS[cells]
            hit = patch.any((1, 2))
            # A patch of one cell that is the peak says nothing.
            np.testing.assert_array_equal(patch, hit[:, None, None] & ~peak)
            chosen.append(hit)
    chosen = np.stack(chosen)
    sigma = np.sqrt(0.3 * 0.7 / chosen.size)
    assert abs(chosen.mean() - 0.3) < 5 * sigma + 0.01  # the border patches' peaks hide some
    assert np.abs(np.corrcoef(chosen.reshape(9, -1)) - np.eye(9)).max() < 0.3


def test_peaks_are_chosen_with_their_rate_per_channel():
    hit = (_mask(peak_rate=0.5, patch_rate=0.0) & PEAKS).any((1, 2))
    assert abs(hit.mean() - 0.5) < 5 * np.sqrt(0.25 / hit.size)
    assert 0 < hit.all(1).mean() < 0.5  # channels of one image differ


def test_weakened_values_are_multiplied_and_so_is_their_gradient():
    layer = DiversificationBlock(factor=0.25)
    apply = jax.jit(lambda x: layer.apply({}, x, train=True, rngs={STREAM: jax.random.key(4)}))
    out, pullback = jax.vjp(apply, FEATURES)
    factor = np.where(out == FEATURES, 1.0, 0.25).astype(np.float32)
    np.testing.assert_allclose(out, FEATURES * factor, rtol=1e-6)
    np.testing.assert_allclose(pullback(np.ones_like(FEATURES))[0], factor, rtol=1e-6)
    assert 0.3 < (factor < 1).mean() < 0.7
