"""ADL against PyTorch, its one draw for the whole batch, and its gradients."""

import jax
import numpy as np
import pytest
import torch

from asae_jax.models.adl import ADL
from asae_jax.models.training_layer import STREAM


def _features(shape=(4, 7, 6, 5), seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def _reference(features, *, drop, threshold):
    """The layer's two outcomes by the paper's formulas, on channels-first torch tensors."""
    attention = features.mean(1, keepdim=True)
    if not drop:
        return features * torch.sigmoid(attention)
    hidden = attention >= threshold * attention.amax((2, 3), keepdim=True)
    return features.masked_fill(hidden, 0.0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("drop", [True, False])
def test_values_and_gradients_agree_with_torch(drop):
    features, weights = _features(), _features(seed=1)
    tensor = torch.from_numpy(features.transpose(0, 3, 1, 2).copy()).requires_grad_()
    expected = _reference(tensor, drop=drop, threshold=0.7)
    expected.backward(torch.from_numpy(weights.transpose(0, 3, 1, 2).copy()))

    layer = ADL(rate=float(drop), threshold=0.7)
    apply = jax.jit(lambda x: layer.apply({}, x, train=True, rngs={STREAM: jax.random.key(0)}))
    out, pullback = jax.vjp(apply, features)
    np.testing.assert_allclose(out, expected.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-12)
    np.testing.assert_allclose(
        pullback(weights)[0], tensor.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-12, atol=1e-12
    )


@pytest.mark.usefixtures("float64")
def test_one_draw_decides_for_all_images_with_the_drop_rate():
    features = np.abs(_features((3, 4, 4, 2)))
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
def test_features_with_a_branch_axis_are_treated_map_by_map():
    features = _features((2, 3, 5, 5, 4))
    np.testing.assert_allclose(_always_dropping(features)[1], _always_dropping(features[1]), rtol=1e-12)


@pytest.mark.usefixtures("float64")
def test_literal_at_the_edges():
    """A zero map is hidden everywhere, a negative one nowhere: what counts is `threshold * maximum`."""
    negative = -1 - np.abs(_features((3, 5, 5, 4)))
    np.testing.assert_array_equal(_always_dropping(negative), negative)
    np.testing.assert_array_equal(_always_dropping(np.zeros_like(negative)), 0)
