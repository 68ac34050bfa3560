"""Squeeze-and-excitation and non-local blocks against PyTorch; where NLNet and ADL put theirs."""

from functools import partial

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from asae_jax.models import create_model
from asae_jax.models.baselines.attention import NonLocalBlock, SqueezeExcitation
from asae_jax.models.baselines.drop_layers import ADL

CHANNELS = 32


def _features(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def _channels_first(x):
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


def _assert_close(actual, tensor):
    expected = np.moveaxis(tensor.detach().numpy(), 1, -1)
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-11)


def _random_parameters(module, features, **arguments):
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), features, **arguments))
    rng = np.random.default_rng(3)
    return jax.tree.map(lambda leaf: rng.uniform(0.2, 1, leaf.shape) - 0.5, shapes)


def _linear(parameters, *, convolution):
    """A torch layer with a Dense layer's kernel `[in, out]` and bias."""
    inputs, outputs = parameters["kernel"].shape
    layer = (nn.Conv2d(inputs, outputs, 1) if convolution else nn.Linear(inputs, outputs)).double()
    weight = torch.from_numpy(parameters["kernel"].T.copy())
    with torch.no_grad():
        layer.weight.copy_(weight[..., None, None] if convolution else weight)
        layer.bias.copy_(torch.from_numpy(parameters["bias"]))
    return layer


@pytest.mark.usefixtures("float64")
def test_squeeze_and_excitation_agrees_with_torch():
    features, weights = _features((3, 5, 4, CHANNELS)), _features((3, 5, 4, CHANNELS), seed=1)
    module = SqueezeExcitation(reduction=16)
    variables = _random_parameters(module, features)
    apply = jax.jit(partial(module.apply, variables))
    out, pullback = jax.vjp(apply, features)

    reduce = _linear(variables["params"]["reduce"], convolution=False)
    expand = _linear(variables["params"]["expand"], convolution=False)
    assert reduce.out_features == CHANNELS // 16
    tensor = _channels_first(features).requires_grad_()
    gate = torch.sigmoid(expand(torch.relu(reduce(tensor.mean((2, 3))))))
    expected = tensor * gate[:, :, None, None]
    expected.backward(_channels_first(weights))
    _assert_close(out, expected)
    _assert_close(pullback(weights)[0], tensor.grad)
    np.testing.assert_allclose(apply(features[None])[0], out, rtol=1e-12)  # a branch axis


def _torch_nonlocal(parameters, x):
    """The published embedded-Gaussian block, batch statistics, channels first."""
    layers = {name: _linear(parameters[name], convolution=True) for name in ("theta", "phi", "g", "out")}
    norm = nn.BatchNorm2d(x.shape[1]).double().train()
    with torch.no_grad():
        norm.weight.copy_(torch.from_numpy(parameters["bn"]["scale"]))
        norm.bias.copy_(torch.from_numpy(parameters["bn"]["bias"]))
    small = nn.functional.max_pool2d(x, 2)
    theta, phi, g = (
        layers["theta"](x).flatten(2),
        layers["phi"](small).flatten(2),
        layers["g"](small).flatten(2),
    )
    attention = torch.softmax(theta.transpose(1, 2) @ phi / theta.shape[1] ** 0.5, dim=-1)
    y = (attention @ g.transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:])
    return x + norm(layers["out"](y))


@pytest.mark.usefixtures("float64")
def test_the_nonlocal_block_agrees_with_torch():
    features, weights = _features((3, 5, 6, CHANNELS)), _features((3, 5, 6, CHANNELS), seed=1)
    module = NonLocalBlock(dtype=jnp.float64)
    variables = _random_parameters(module, features, train=True)
    assert variables["params"]["theta"]["kernel"].shape == (CHANNELS, CHANNELS // 2)
    apply = jax.jit(lambda x: module.apply(variables, x, train=True, mutable=["batch_stats"])[0])
    out, pullback = jax.vjp(apply, features)
    tensor = _channels_first(features).requires_grad_()
    expected = _torch_nonlocal(variables["params"], tensor)
    expected.backward(_channels_first(weights))
    _assert_close(out, expected)
    _assert_close(pullback(weights)[0], tensor.grad)


def test_the_nonlocal_block_starts_as_the_identity_and_takes_any_map():
    for shape in ((2, 1, 3, 8), (2, 2, 4, 4, 8)):
        features = _features(shape).astype(np.float32)
        module = NonLocalBlock()
        variables = jax.jit(partial(module.init, train=False))(jax.random.key(0), features)
        np.testing.assert_array_equal(
            jax.jit(partial(module.apply, train=False))(variables, features), features
        )


IMAGES = np.zeros((2, 32, 32, 3), np.float32)


def _places(name, kind):
    """Where modules of one kind are called in a training pass, as "stage/name"."""
    model = create_model(name, 5, width=4, stem="small")
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGES, train=False))

    def apply(variables):
        return model.apply(
            variables,
            IMAGES,
            train=True,
            rngs={"drop": jax.random.key(0)},
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=lambda m, method: isinstance(m, kind) and method == "__call__",
        )[1]["intermediates"]

    paths = flax.traverse_util.flatten_dict(jax.eval_shape(apply, variables)["backbone"])
    return sorted("/".join(path[:-1]) for path in paths)


def test_nonlocal_blocks_stand_where_the_authors_code_has_them():
    expected = [*(("layer2", i) for i in (1, 3)), *(("layer3", i) for i in (1, 3, 5))]
    assert _places("nl_resnet50", NonLocalBlock) == [f"{stage}/after_block{i}" for stage, i in expected]
    assert _places("nl_resnet18", NonLocalBlock) == ["layer2/after_block1", "layer3/after_block1"]


def test_adl_stands_where_the_authors_code_has_it():
    first = ["layer3/after_block0", "layer4/after_block0"]
    assert _places("adl_resnet50", ADL) == [*first, "layer4/after_block2"]
    assert _places("adl_resnet18", ADL) == [*first, "layer4/after_block1"]


def test_adl_is_absent_at_test_and_shares_the_plain_networks_variables():
    adl, plain = (create_model(name, 5, width=4, stem="small") for name in ("adl_resnet18", "resnet18"))
    shapes = [
        jax.eval_shape(lambda m=m: m.init(jax.random.key(0), IMAGES, train=False)) for m in (adl, plain)
    ]
    assert jax.tree.map(jnp.shape, shapes[0]) == jax.tree.map(jnp.shape, shapes[1])
    programs = [str(jax.make_jaxpr(partial(m.apply, train=False))(shapes[0], IMAGES)) for m in (adl, plain)]
    assert programs[0] == programs[1]


@pytest.mark.parametrize("name", ["se_resnet18", "nl_resnet18", "adl_resnet18"])
def test_they_take_branches_in_front_of_them(name):
    model = create_model(name, 5, width=4, stem="small", branching="asae", insert_after="layer1")
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGES, train=False))
    rngs = {"asae": jax.random.key(0), "drop": jax.random.key(1)}
    logits, _ = jax.eval_shape(
        lambda v: model.apply(v, IMAGES, train=True, rngs=rngs, mutable=["batch_stats"]), variables
    )
    assert logits.shape == (2, 2, 5)
