"""Convolution against torch; the matrix product for 1 x 1; initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax.models import convolution
from asae_jax.models.layers import Conv, Head


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("size", "strides", "padding", "use_bias"),
    [
        (1, 1, 0, False),
        (1, 2, 0, True),
        (1, 2, 1, False),
        (3, 1, 1, True),
        (3, 2, 1, False),
        (7, 2, 3, False),
    ],
)
def test_convolution_equals_torch(size, strides, padding, use_bias):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 12, 3))
    kernel = rng.normal(size=(size, size, 3, 5))
    bias = rng.normal(size=5)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()),
        torch.from_numpy(bias) if use_bias else None,
        strides,
        padding,
    )
    params = {"kernel": kernel, "bias": bias} if use_bias else {"kernel": kernel}
    conv = Conv(5, size, strides=strides, padding=padding, use_bias=use_bias, dtype=jnp.float64)
    out = conv.apply({"params": params}, x)
    np.testing.assert_allclose(out, expected.numpy().transpose(0, 2, 3, 1), rtol=0, atol=1e-12)
    branched = conv.apply({"params": params}, np.stack([x, -x, x]))
    np.testing.assert_allclose(branched[2], out, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("size", "strides", "groups"), [(3, 1, 2), (1, 1, 3), (3, 2, 6), (5, 2, 12), (7, 1, 12)]
)
def test_grouped_convolution_equals_torch(size, strides, groups):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 14, 12))
    kernel = rng.normal(size=(size, size, 12 // groups, 12))
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()),
        stride=strides,
        padding=size // 2,
        groups=groups,
    )
    conv = Conv(12, size, strides=strides, padding=size // 2, groups=groups, dtype=jnp.float64)
    out = jax.jit(conv.apply)({"params": {"kernel": kernel}}, np.stack([x, -x]))
    expected = expected.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(out, np.stack([expected, -expected]), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize(("size", "groups"), [(1, 1), (3, 1), (5, 2), (2, 1), (3, 6), (5, 6)])
def test_padding_same_is_xla_s(size, groups, strides):
    """An even height, an odd width; `groups` of 6 is a depthwise convolution."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 8, 11, 6))
    kernel = rng.normal(size=(size, size, 6 // groups, 6))
    conv = Conv(6, size, strides=strides, padding="same", groups=groups, dtype=jnp.float64)
    out = jax.jit(conv.apply)({"params": {"kernel": kernel}}, np.stack([x, -x]))
    expected = jax.lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    np.testing.assert_allclose(out, np.stack([expected, -expected]), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("shape", "features", "size", "strides", "padding"),
    [
        pytest.param((5, 60, 60, 24), 3, 3, 1, 1, id="kernel gradient in parts, the last one smaller"),
        pytest.param((5, 60, 59, 24), 3, 3, 2, 1, id="in parts, strided"),
        pytest.param((3, 5, 6, 8), 16, 3, 1, 1, id="kernel larger than the map"),
        pytest.param((3, 5, 6, 8), 16, 3, 2, 1, id="kernel larger than the map, strided"),
        pytest.param(
            (3, 5, 6, 8), 16, 3, 1, "same", id="kernel larger than the map, padded as TensorFlow does"
        ),
        pytest.param((4, 11, 12, 256), 257, 3, 1, 1, id="many channels: Winograd's algorithm, an odd height"),
        pytest.param((4, 12, 11, 257), 256, 3, 1, 1, id="the same, an odd width"),
        pytest.param((3, 5, 6, 8), 4, 1, 1, 0, id="1 x 1, fewer channels out"),
        pytest.param((3, 5, 6, 8), 12, 1, 2, 0, id="1 x 1, strided, more channels out"),
    ],
)
def test_values_and_gradients_equal_torchs(shape, features, size, strides, padding):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=shape), rng.normal(size=(size, size, shape[-1], features))
    torch_x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    torch_kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()).requires_grad_()
    expected = torch.nn.functional.conv2d(torch_x, torch_kernel, None, strides, padding)
    weights = rng.normal(size=expected.shape)
    (expected * torch.from_numpy(weights)).sum().backward()

    conv = Conv(features, size, strides=strides, padding=padding, dtype=jnp.float64)

    def objective(kernel, x):
        return jnp.sum(conv.apply({"params": {"kernel": kernel}}, x) * weights.transpose(0, 2, 3, 1))

    values = jax.jit(lambda x: jax.vjp(conv.apply, {"params": {"kernel": kernel}}, x)[0])(x)
    expected_values = expected.detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(values, expected_values, rtol=0, atol=1e-12 * abs(expected_values).max())
    of_kernel, of_x = jax.jit(jax.grad(objective, (0, 1)))(kernel, x)
    expected_of_kernel = torch_kernel.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(
        of_kernel, expected_of_kernel, rtol=0, atol=1e-11 * abs(expected_of_kernel).max()
    )
    np.testing.assert_allclose(of_x, torch_x.grad.numpy().transpose(0, 2, 3, 1), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("batch", "size", "strides", "padding"),
    [
        pytest.param(1, 3, 1, 1, id="one image"),
        pytest.param(12, 3, 2, 1, id="two parts of six, a row that no place of the kernel meets"),
        pytest.param(17, 5, 1, 2, id="a prime number of images"),
        pytest.param(6, 5, 2, 0, id="no padding"),
        pytest.param(8, 2, 3, 0, id="rows between the places that are met"),
        pytest.param(3, 7, 1, 3, id="kernel larger than the map"),
    ],
)
def test_depthwise_values_and_gradients_equal_torchs(batch, size, strides, padding):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(batch, 6, 8, 4)), rng.normal(size=(size, size, 1, 4))
    torch_x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    torch_kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()).requires_grad_()
    expected = torch.nn.functional.conv2d(torch_x, torch_kernel, None, strides, padding, groups=4)
    weights = rng.normal(size=expected.shape)
    (expected * torch.from_numpy(weights)).sum().backward()
    conv = Conv(4, size, strides=strides, padding=padding, groups=4, dtype=jnp.float64)

    def objective(kernel, x):
        values = conv.apply({"params": {"kernel": kernel}}, x)
        return jnp.sum(values * weights.transpose(0, 2, 3, 1)), values

    (of_kernel, of_x), values = jax.jit(jax.grad(objective, (0, 1), has_aux=True))(kernel, x)
    np.testing.assert_allclose(values, expected.detach().numpy().transpose(0, 2, 3, 1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(of_kernel, torch_kernel.grad.numpy().transpose(2, 3, 1, 0), rtol=0, atol=1e-11)
    np.testing.assert_allclose(of_x, torch_x.grad.numpy().transpose(0, 2, 3, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("channels", "side", "dtype", "products"),
    [
        (256, 80, "float32", 16),
        (255, 80, "float32", 0),
        (128, 23, "float32", 16),
        (127, 23, "float32", 0),
        (256, 22, "float32", 0),
        (256, 80, "bfloat16", 0),
    ],
)
def test_winograd_s_algorithm_serves_many_channels(channels, side, dtype, products):
    x = jax.ShapeDtypeStruct((1, side, side, channels), dtype)
    conv = Conv(256, 3, padding=1, dtype=x.dtype)
    params = jax.eval_shape(conv.init, jax.random.key(0), x)

    def trained(params, x):
        return jax.vjp(conv.apply, params, x)[0]

    assert str(jax.make_jaxpr(trained)(params, x)).count("dot_general") == products
    assert str(jax.make_jaxpr(conv.apply)(params, x)).count("dot_general") == 0


def test_the_gradient_of_images_is_not_computed_where_nothing_needs_it():
    images, conv = np.ones((2, 16, 16, 3), np.float32), Conv(4, 3, padding=1)
    params = conv.init(jax.random.key(0), images)

    def convolutions(arguments):
        def objective(params, x):
            return jnp.sum(conv.apply(params, x) ** 2)

        compiled = jax.jit(jax.grad(objective, arguments)).lower(params, images).compile()
        return compiled.as_text().count(" convolution(")

    assert (convolutions((0, 1)), convolutions((0,))) == (3, 2)


@pytest.mark.parametrize(("size", "groups"), [(1, 1), (3, 1), (3, 8)])
def test_accelerators_are_given_xla_s_own_operations(size, groups, monkeypatch):
    conv = Conv(8, size, padding=size // 2, groups=groups)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 8)).astype(np.float32)
    params = conv.init(jax.random.key(0), x)

    def operations():
        jaxpr = jax.make_jaxpr(conv.apply)(params, x)
        names = [str(equation.primitive) for equation in jaxpr.eqns]
        return [name for name in names if name != "squeeze"], conv.apply(params, x)

    of_cpus, expected = operations()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    of_gpus, found = operations()
    assert of_gpus == ["dot_general" if size == 1 else "conv_general_dilated"]
    assert of_cpus != of_gpus
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "zeros", "height", "width"),
    [
        (7, (3, 3), 12, 10),
        (7, (3, 3), 11, 9),
        (3, (0, 1), 8, 8),
        (3, (1, 1), 7, 8),
        (4, (1, 1), 8, 9),
        (7, (3, 3), 1, 2),
    ],
)
def test_convolution_of_images_over_blocks_equals_xla_s(size, zeros, height, width):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2, height, width, 3)).astype(np.float32)
    kernel = generator.normal(size=(size, size, 3, 5)).astype(np.float32)

    def both(function, *options):
        y, pullback = jax.vjp(lambda *a: function(*a, *options), x, kernel)
        return y, *pullback(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))

    ours = both(lambda x, k: convolution._in_blocks(x, k, (zeros, zeros)))
    theirs = both(lambda x, k: convolution._plain(x, k, 2, (zeros, zeros)))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-4)


def test_accelerators_see_images_in_blocks_and_exports_do_not(monkeypatch):
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    conv = Conv(8, 7, strides=2, padding=3)
    params, expected = conv.init(jax.random.key(0), x), None
    for backend, channels in (("cpu", 3), ("gpu", 12)):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        jaxpr = str(jax.make_jaxpr(conv.apply)(params, x))
        assert f"f32[{7 if channels == 3 else 4},{7 if channels == 3 else 4},{channels},8]" in jaxpr
        found = conv.apply(params, x)
        expected = found if expected is None else expected
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    with convolution.as_on_accelerators():
        assert "f32[4,4,12,8]" not in str(jax.make_jaxpr(conv.apply)(params, x))


def test_a_map_smaller_than_the_depthwise_kernel_is_padded():
    x, kernel = np.ones((1, 1, 2, 1), np.float32), np.arange(49, dtype=np.float32).reshape(7, 7, 1, 1)
    out = Conv(1, 7, padding=3, groups=1).apply({"params": {"kernel": kernel}}, x)
    np.testing.assert_array_equal(out[0, 0, :, 0], [24 + 25, 23 + 24])


def test_initial_values_have_torchvisions_spread():
    x = np.zeros((1, 4, 4, 32), np.float32)
    kernel = Conv(64, 3).init(jax.random.key(0), x)["params"]["kernel"]
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 64)), rtol=0.02)
    head = Head(500).init(jax.random.key(0), x)["params"]
    np.testing.assert_allclose(abs(head["kernel"]).max(), 1 / np.sqrt(32), rtol=0.01)
    assert not head["bias"].any()
