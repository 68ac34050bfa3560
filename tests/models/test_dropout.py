"""Dropout, Spatial Dropout and MaxDrop: exact values where kept, right shares where dropped."""

import functools

import jax
import numpy as np
import pytest

from asae_jax import keys
from asae_jax.models.dropout import dropout, spatial_dropout
from asae_jax.models.maxdrop import max_drop

FEATURES = np.random.default_rng(0).normal(size=(32, 6, 5, 40)).astype(np.float32)
KEYS = keys.example_keys(jax.random.key(1), len(FEATURES))


LAYERS = [dropout, spatial_dropout, max_drop]
WEIGHTS = np.random.default_rng(2).normal(size=FEATURES.shape).astype(np.float32)


@functools.partial(jax.jit, static_argnames="layer")
def _compiled(layer, image_keys, features, rate):
    out, pullback = jax.vjp(lambda x: layer(image_keys, x, rate=rate), features)
    return out, pullback(WEIGHTS)[0]


def _run(layer, features, rate):
    """What the layer makes of the features, and the gradient of its sum with `WEIGHTS`."""
    return [np.asarray(x) for x in _compiled(layer, KEYS, features, rate)]


def _within_five_sigma(count, total, rate):
    return abs(count - total * rate) < 5 * np.sqrt(total * rate * (1 - rate))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_scales_what_it_keeps_and_drops_the_rate(rate):
    out = _run(dropout, FEATURES, rate)[0]
    dropped = out == 0
    np.testing.assert_allclose(out[~dropped], FEATURES[~dropped] / (1 - rate), rtol=1e-6)
    assert _within_five_sigma(dropped.sum(), dropped.size, rate)
    assert dropped.mean((0, 1, 2)).min() > 0  # every channel, cell and image takes its part
    assert dropped.any((0, 3)).all()
    assert dropped.any((1, 2, 3)).all()


def test_spatial_dropout_drops_whole_channels():
    out = _run(spatial_dropout, FEATURES, 0.3)[0]
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
    np.testing.assert_array_equal(_run(max_drop, features, 1.0)[0], expected)
    out = _run(max_drop, features, 0.4)[0]
    hit = (out != features).any((1, 2))
    np.testing.assert_array_equal(out, np.where(hit[:, None, None], expected, features))
    assert _within_five_sigma(hit.sum(), hit.size, 0.4)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_gradient_is_that_of_the_mask(layer):
    out, gradient = _run(layer, FEATURES, 0.3)
    np.testing.assert_allclose(gradient, WEIGHTS * (out / FEATURES), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_rate_zero_changes_nothing(layer):
    np.testing.assert_array_equal(_run(layer, FEATURES, 0.0)[0], FEATURES)
