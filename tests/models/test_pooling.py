"""Max-pooling against PyTorch's and XLA's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.models.pooling import max_pool

SHAPES = [
    (3, 2, 1, (8, 8)), (3, 2, 1, (9, 7)), (2, 2, 0, (8, 6)), (2, 2, 0, (7, 5)), (3, 1, 1, (5, 5)),
    (3, 3, 0, (9, 9)), (5, 2, 2, (11, 10)), (3, 2, 0, (3, 4)), (17, 1, 0, (18, 17)),
]  # fmt: skip


def _random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("size", "strides", "padding", "shape"), SHAPES)
def test_equals_pytorch_and_so_does_its_gradient(size, strides, padding, shape):
    torch = pytest.importorskip("torch")
    x = _random((2, *shape, 3))
    theirs = torch.from_numpy(x.transpose(0, 3, 1, 2)).requires_grad_()
    want = torch.nn.functional.max_pool2d(theirs, size, strides, padding)
    y, pullback = jax.vjp(lambda x: max_pool(x, size, strides=strides, padding=padding), jnp.asarray(x))
    np.testing.assert_array_equal(y, want.detach().numpy().transpose(0, 2, 3, 1))
    gradient = _random(y.shape, 1)
    want.backward(torch.from_numpy(gradient.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(pullback(gradient)[0], theirs.grad.numpy().transpose(0, 2, 3, 1), atol=1e-6)


@pytest.mark.parametrize(("size", "strides", "padding", "shape"), SHAPES)
def test_of_equal_values_the_first_gets_the_gradient_as_with_xla(size, strides, padding, shape):
    x = jnp.round(_random((2, *shape, 3)))
    gradient = _random(max_pool(x, size, strides=strides, padding=padding).shape, 1)
    ours = jax.vjp(lambda x: max_pool(x, size, strides=strides, padding=padding), x)[1](gradient)[0]
    windows = ((size, size), (strides, strides), [(padding, padding)] * 2)
    xlas = jax.vjp(lambda x: nn.max_pool(x, *windows), x)[1](gradient)[0]
    np.testing.assert_allclose(ours, xlas, atol=1e-6)


def test_branches_are_pooled_alike_and_the_dtype_stays():
    x = jnp.asarray(_random((2, 4, 6, 6, 3)), jnp.bfloat16)
    y, pullback = jax.vjp(lambda x: max_pool(x, 3, strides=2, padding=1), x)
    assert y.dtype == jnp.bfloat16
    assert y.shape == (2, 4, 3, 3, 3)
    for branch, of_branch in zip(x, y, strict=True):
        np.testing.assert_array_equal(of_branch, max_pool(branch, 3, strides=2, padding=1))
    assert pullback(y)[0].dtype == jnp.bfloat16


def test_a_value_that_is_no_number_is_not_hidden():
    x = jnp.asarray(_random((1, 4, 4, 1))).at[0, 1, 1, 0].set(jnp.nan)
    y, _ = jax.vjp(lambda x: max_pool(x, 2, strides=2), x)
    np.testing.assert_array_equal(np.isnan(y[0, :, :, 0]), [[True, False], [False, False]])
