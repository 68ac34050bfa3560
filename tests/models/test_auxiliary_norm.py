"""Auxiliary batch normalisation: each branch with statistics, scale and bias of its own, one set at test."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax.errors import UserError
from asae_jax.models import create_model
from asae_jax.models.auxiliary_norm import copied_to_auxiliary, without_auxiliary
from asae_jax.models.layers import BatchNorm, make_norm
from asae_jax.models.weights import from_variables, to_torch

pytestmark = pytest.mark.usefixtures("float64")

CHANNELS = 6
BRANCHES = ("suppress", "plain", "enhance")
RNGS = {"params": jax.random.key(0), "asae": jax.random.key(3)}
IMAGES = np.random.default_rng(0).normal(size=(3, 28, 28, 3))


def _norm():
    return BatchNorm(branch_affine="separate", running_branch=1)


def _variables():
    rng = np.random.default_rng(1)
    draw = lambda *shape: rng.uniform(0.5, 1.5, (*shape, CHANNELS))  # noqa: E731
    return {
        "params": {
            "scale": draw(),
            "bias": draw(),
            "auxiliary_scale": draw(2),
            "auxiliary_bias": draw(2),
        },
        "batch_stats": {"mean": draw(), "var": draw()},
    }


def _torch_norm(scale, bias, stats):
    norm = torch.nn.BatchNorm2d(CHANNELS).double()
    with torch.no_grad():
        for target, value in zip(
            (norm.weight, norm.bias, norm.running_mean, norm.running_var),
            (scale, bias, stats["mean"], stats["var"]),
            strict=True,
        ):
            target.copy_(torch.from_numpy(np.array(value)))
    return norm


def _call_torch(norm, x):
    return norm(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).detach().numpy().transpose(0, 2, 3, 1)


def test_every_branch_passes_a_torch_norm_of_its_own_and_the_test_passes_the_plain_one():
    x = np.random.default_rng(2).normal(1, 2, size=(3, 4, 5, 5, CHANNELS))
    variables = _variables()
    params, before = variables["params"], variables["batch_stats"]
    scales = [params["auxiliary_scale"][0], params["scale"], params["auxiliary_scale"][1]]
    biases = [params["auxiliary_bias"][0], params["bias"], params["auxiliary_bias"][1]]
    oracles = [_torch_norm(*affine, before) for affine in zip(scales, biases, strict=True)]
    out, updated = _norm().apply(variables, x, train=True, mutable=["batch_stats"])
    for branch, oracle, result in zip(x, oracles, out, strict=True):
        np.testing.assert_allclose(result, _call_torch(oracle, branch), rtol=0, atol=1e-12)
    kept = updated["batch_stats"]
    np.testing.assert_allclose(kept["mean"], oracles[1].running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(kept["var"], oracles[1].running_var.numpy(), rtol=1e-12)

    at_test = _norm().apply(without_auxiliary(variables | updated), x[0], train=False)
    np.testing.assert_allclose(at_test, _call_torch(oracles[1].eval(), x[0]), rtol=0, atol=1e-12)


def test_a_branch_teaches_its_own_scale_and_bias_alone():
    x = np.random.default_rng(2).normal(1, 2, size=(3, 4, 5, 5, CHANNELS))
    variables = _variables()

    def of_branch(params, branch):
        out, _ = _norm().apply(variables | {"params": params}, x, train=True, mutable=["batch_stats"])
        return jnp.sum(out[branch] ** 3)

    for branch, rows in ((0, [True, False]), (1, [False, False]), (2, [False, True])):
        gradient = jax.grad(of_branch)(variables["params"], branch)
        for name in ("scale", "bias"):
            assert (gradient[name] != 0).all() == (branch == 1)
            assert (gradient[f"auxiliary_{name}"] != 0).all(1).tolist() == rows


def _model(**options):
    settings = {"width": 8, "stem": "small", "branching": "asae", "insert_after": "layer2"}
    settings |= {"branching_options": {"branches": BRANCHES}, "running_branch": 1}
    settings |= {"branch_affine": "separate", "dtype": jnp.float64, **options}
    return create_model("resnet18", 5, stage_sizes=(1, 1, 1, 1), **settings)


@functools.cache
def _network_variables():
    """Random values that differ from those of the start, without compiling anything."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: _model().init(RNGS, IMAGES, train=True))
    return jax.tree.map(
        lambda leaf: rng.normal(0, 0.1, leaf.shape) + (1 if leaf.ndim < 3 else 0), dict(shapes)
    )


def _names(tree):
    return {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)}


def _with_affine_of(branch, tree):
    """The variables of a network whose one scale and bias are those of the altered branch `branch`."""
    if not isinstance(tree, dict):
        return tree
    return {
        name: tree[f"auxiliary_{name}"][branch]
        if f"auxiliary_{name}" in tree
        else _with_affine_of(branch, value)
        for name, value in tree.items()
        if not name.startswith("auxiliary_")
    }


def _later_stages(model, x):
    for name in ("layer3", "layer4"):
        x = model.backbone.apply_stage(name, x, train=True)
    return model.backbone.classify(x)


def test_training_equals_one_network_per_branch_that_share_their_convolutions():
    variables = _network_variables()
    train = functools.partial(_model().apply, train=True, return_endpoints=True, mutable=["batch_stats"])
    (logits, endpoints), updated = jax.jit(lambda v: train(v, IMAGES, rngs=RNGS))(variables)
    later = jax.jit(
        lambda v, x: _model(branching=None, branch_affine="shared").apply(
            v, x, mutable=["batch_stats"], method=_later_stages
        )
    )
    ones = np.ones_like(endpoints["mask"])
    spatial = {"suppress": endpoints["mask"], "plain": ones, "enhance": endpoints["enhancement"]}
    own = {
        "suppress": _with_affine_of(0, variables),
        "plain": without_auxiliary(variables),
        "enhance": _with_affine_of(1, variables),
    }
    for branch, result in zip(BRANCHES, logits, strict=True):
        expected, new = later(own[branch], endpoints["layer2"] * spatial[branch][..., None])
        np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)
        if branch == "plain":
            kept = updated["batch_stats"]["backbone"]
            for stage in ("layer3", "layer4"):
                jax.tree.map(
                    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10),
                    kept[stage],
                    new["batch_stats"]["backbone"][stage],
                )


def test_only_norms_behind_the_layer_have_auxiliary_parameters_and_without_them_the_plain_network_is_left():
    plain = jax.eval_shape(
        lambda: _model(branching=None, branch_affine="shared").init(RNGS, IMAGES, train=False)
    )
    variables = _network_variables()
    extra = _names(variables) - _names(plain)
    norms = {name.rpartition("[")[0] for name in extra}
    assert norms == {
        f"['params']['backbone']['{stage}']['block0']{norm}"
        for stage in ("layer3", "layer4")
        for norm in ("['bn1']", "['bn2']", "['downsample']['bn']")
    }
    assert _names(without_auxiliary(variables)) == _names(plain)


def test_the_plain_network_takes_the_variables_with_or_without_the_auxiliary_ones():
    variables = _network_variables()
    with_layer = jax.jit(lambda v: _model().apply(v, IMAGES, train=False))(variables)
    for given in (variables, without_auxiliary(variables)):
        plain = jax.jit(lambda v: _model().clone(branching=None).apply(v, IMAGES, train=False))(given)
        np.testing.assert_array_equal(plain, with_layer)


def test_weights_go_out_and_in_without_the_auxiliary_parameters():
    variables = without_auxiliary(_network_variables())
    names = to_torch(variables["params"], variables["batch_stats"], "resnet18")
    assert not any("auxiliary" in name for name in names)
    assert from_variables(variables, variables, "resnet18").missing == ()


def test_auxiliary_parameters_start_as_copies_of_loaded_ones():
    like = _network_variables()
    loaded = jax.tree.map(lambda x: x + 1, without_auxiliary(like))
    full = copied_to_auxiliary(loaded, like)
    assert _names(full) == _names(like)
    jax.tree.map(np.testing.assert_array_equal, without_auxiliary(full), loaded)
    norm = full["params"]["backbone"]["layer4"]["block0"]["bn2"]
    for name in ("scale", "bias"):
        np.testing.assert_array_equal(norm[f"auxiliary_{name}"], np.stack([norm[name]] * 2))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UserError, match="separate statistics"):
        make_norm("batch", branch_statistics="joint", branch_affine="separate")
    with pytest.raises(UserError, match="batch normalisation"):
        make_norm("group", branch_affine="separate")
    with pytest.raises(UserError, match="vgg16 has no batch normalisation"):
        create_model("vgg16", 5, branch_affine="separate")
    with pytest.raises(UserError, match="running_branch"):
        BatchNorm(branch_affine="separate").init(jax.random.key(0), np.ones((2, 3, 4, 4, 2)), train=True)
