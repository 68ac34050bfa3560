"""The linen module: branches, dtypes, randomness, gradients and JAX's transformations."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.models.asae import ASAE
from tests.reference import asae as reference

RNGS = {"asae": jax.random.key(7)}


@functools.cache
def _layer(**options):
    """The training pass, compiled: less time than its operations one by one."""
    return jax.jit(lambda x: ASAE(**options).apply({}, x, rngs=RNGS))


def _features(shape=(4, 9, 9, 6), seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


@jax.jit
def _maps(features):
    return ASAE().apply({}, features, train=True, rngs=RNGS, method="maps")


def test_it_returns_the_suppressed_and_the_enhanced_features():
    features = _features()
    suppressed, enhanced = _layer()(features)
    maps = _maps(features)
    assert ((maps.mask == 0).sum((1, 2)) >= 1).all()
    np.testing.assert_array_equal(suppressed, features * maps.mask[..., None])
    sigmoid = reference.enhancement_map(np.asarray(features, np.float64).mean(-1))
    np.testing.assert_allclose(enhanced, features * sigmoid[..., None], rtol=1e-5)


def test_it_has_no_variables():
    assert jax.eval_shape(lambda: ASAE().init(RNGS, _features())) == {}


@pytest.mark.parametrize("branches", [("suppress",), ("enhance",), ("enhance", "plain", "suppress")])
def test_the_leading_axis_has_the_branches_in_the_order_asked_for(branches):
    features = _features()
    both = dict(zip(("suppress", "enhance"), _layer()(features), strict=True))
    out = _layer(branches=branches)(features)
    assert out.shape == (len(branches), *features.shape)
    for branch, copy in zip(branches, out, strict=True):
        np.testing.assert_array_equal(copy, both.get(branch, features))


def test_only_suppression_needs_randomness():
    jax.eval_shape(lambda: ASAE(branches=("plain", "enhance")).apply({}, _features()))
    with pytest.raises(flax.errors.InvalidRngError, match="asae"):
        ASAE(branches=("suppress",)).apply({}, _features())


@pytest.mark.parametrize(
    "options",
    [
        {"branches": ("suppress", "supress")},
        {"branches": ()},
        {"enhancement": "softmax"},
        {"num_candidates": 0},
        {"p_top1": 1.5},
    ],
)
def test_wrong_settings_are_refused_at_once(options):
    with pytest.raises(UserError):
        ASAE(**options)


@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_bfloat16_features_keep_their_dtype_and_maps_are_float32(scale):
    features = (_features() * scale).astype(jnp.bfloat16)
    out = _layer()(features)
    assert out.dtype == jnp.bfloat16
    assert jnp.isfinite(out).all()
    maps = _maps(features)
    assert {maps.attention.dtype, maps.mask.dtype, maps.enhancement.dtype} == {jnp.dtype(jnp.float32)}
    # The mean of rounded features, not a rounded mean of features.
    exact = np.asarray(features, np.float64).mean(-1)
    np.testing.assert_allclose(maps.attention, exact, rtol=1e-5, atol=1e-6 * scale)


def test_the_gradient_flows_through_the_enhancement_and_not_through_the_mask():
    features = np.asarray(_features())
    weights = np.asarray(_features((2, 4, 9, 9, 6), seed=1))
    layer = _layer()
    gradient = jax.grad(lambda x: jnp.sum(weights * layer(x)))(features)

    mask = np.asarray(_maps(features).mask)
    sigmoid = reference.enhancement_map(features.astype(np.float64).mean(-1))
    # d/dF [w F sigma(mean F)] = w sigma + sigma (1 - sigma) / C * sum over channels of w F
    through_map = sigmoid * (1 - sigmoid) * (weights[1] * features).mean(-1)
    expected = weights[0] * mask[..., None] + weights[1] * sigmoid[..., None] + through_map[..., None]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_gradients_are_finite_on_flat_and_extreme_features():
    features = jnp.stack([jnp.zeros((5, 5, 3)), jnp.full((5, 5, 3), 1e4), jnp.full((5, 5, 3), -1e4)])
    for enhancement in ("sigmoid", "sigmoid_mean1"):
        layer = _layer(enhancement=enhancement)
        gradient = jax.grad(lambda x, layer=layer: jnp.sum(layer(x)))(features)
        assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (1, 2, 2, 1), (3, 4, 5, 2), (2, 1, 8, 4)])
def test_any_feature_map_will_do(shape):
    features = _features(shape)
    suppressed, enhanced = _layer()(features)
    hidden = (suppressed == 0).all(-1)
    assert (hidden.sum((1, 2)) >= 1).all()
    np.testing.assert_array_equal(jnp.where(hidden[..., None], 0, features), suppressed)
    sigmoid = reference.enhancement_map(np.asarray(features, np.float64).mean(-1))
    np.testing.assert_allclose(enhanced, features * sigmoid[..., None], rtol=1e-5)


def test_it_can_be_vmapped():
    features = _features((3, 4, 7, 7, 5))
    layer = _layer()
    expected = np.stack([layer(x) for x in features])
    np.testing.assert_allclose(jax.vmap(layer)(features), expected, rtol=1e-6)
