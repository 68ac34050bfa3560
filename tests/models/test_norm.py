"""Normalisation against torch, per branch, over devices, and frozen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax.errors import UserError
from asae_jax.models.layers import BatchNorm, GroupNorm, make_norm

CHANNELS = 6
IN_FLOAT64 = pytest.mark.usefixtures("float64")


def _features(*shape, seed=0):
    return np.random.default_rng(seed).normal(1, 2, size=(*shape, CHANNELS))


def _variables():
    rng = np.random.default_rng(1)
    draw = lambda low, high: rng.uniform(low, high, CHANNELS)  # noqa: E731
    return {
        "params": {"scale": draw(0.5, 1.5), "bias": draw(-1, 1)},
        "batch_stats": {"mean": draw(-1, 1), "var": draw(0.5, 2)},
    }


def _torch_norm(variables):
    norm = torch.nn.BatchNorm2d(CHANNELS).double()
    tensors = {k: torch.from_numpy(v.copy()) for group in variables.values() for k, v in group.items()}
    norm.load_state_dict(
        {
            "weight": tensors["scale"],
            "bias": tensors["bias"],
            "running_mean": tensors["mean"],
            "running_var": tensors["var"],
            "num_batches_tracked": torch.tensor(0),
        }
    )
    return norm


def _call_torch(norm, x):
    return norm(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).detach().numpy().transpose(0, 2, 3, 1)


def _train(norm, variables, x):
    return norm.apply(variables, x, train=True, mutable=["batch_stats"])


@IN_FLOAT64
def test_separate_branches_are_two_calls_of_a_shared_torch_norm():
    x, variables = _features(2, 3, 4, 5), _variables()
    oracle = _torch_norm(variables)
    expected = np.stack([_call_torch(oracle, branch) for branch in x])
    out, updated = _train(BatchNorm(), variables, x)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(updated["batch_stats"]["mean"], oracle.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(updated["batch_stats"]["var"], oracle.running_var.numpy(), rtol=1e-12)

    variables["batch_stats"] = updated["batch_stats"]
    at_test = BatchNorm().apply(variables, x[0], train=False)
    np.testing.assert_allclose(at_test, _call_torch(oracle.eval(), x[0]), rtol=0, atol=1e-12)


@IN_FLOAT64
def test_joint_branches_are_one_call_on_one_large_batch():
    x, variables = _features(2, 3, 4, 5), _variables()
    expected = _train(BatchNorm(), variables, x.reshape(6, 4, 5, CHANNELS))
    out, updated = _train(BatchNorm(branch_statistics="joint"), variables, x)
    np.testing.assert_allclose(out.reshape(expected[0].shape), expected[0], rtol=0, atol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), updated, expected[1])


@IN_FLOAT64
@pytest.mark.parametrize("branch_statistics", ["separate", "joint"])
def test_eight_devices_equal_one_large_batch(branch_statistics):
    """Outputs, running statistics, and gradients through the statistics."""
    x, weights = _features(2, 16, 3, 3), _features(2, 16, 3, 3, seed=2)
    variables = _variables()

    def pass_both_ways(norm, x, weights):
        def loss(x):
            out, updated = _train(norm, variables, x)
            return jnp.sum(weights * jnp.square(out)), (out, updated)

        gradient, aux = jax.grad(loss, has_aux=True)(x)
        return gradient, *aux

    expected = pass_both_ways(BatchNorm(branch_statistics=branch_statistics), x, weights)
    synced = BatchNorm(branch_statistics=branch_statistics, axis_name="device")
    shards = [a.reshape(2, 8, 2, 3, 3, CHANNELS).swapaxes(0, 1) for a in (x, weights)]
    gradient, out, updated = jax.pmap(lambda *a: pass_both_ways(synced, *a), axis_name="device")(*shards)
    whole = lambda a: a.swapaxes(0, 1).reshape(x.shape)  # noqa: E731
    np.testing.assert_allclose(whole(out), expected[1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(whole(gradient), expected[0], rtol=0, atol=1e-11)
    for stats in jax.tree.map(lambda a: list(np.asarray(a)), updated)["batch_stats"]["var"]:
        np.testing.assert_allclose(stats, expected[2]["batch_stats"]["var"], rtol=1e-12)
    np.testing.assert_allclose(
        updated["batch_stats"]["mean"][0], expected[2]["batch_stats"]["mean"], rtol=1e-12
    )


@IN_FLOAT64
def test_frozen_statistics_are_used_and_kept_in_training():
    x, variables = _features(2, 3, 4, 5), _variables()
    norm = make_norm("frozen_batch")()
    out, updated = _train(norm, variables, x)
    np.testing.assert_array_equal(out, BatchNorm().apply(variables, x, train=False))
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], variables["batch_stats"])
    gradient = jax.grad(lambda p: jnp.sum(norm.apply({**variables, "params": p}, x, train=True) ** 2))(
        variables["params"]
    )
    assert all(jnp.all(g != 0) for g in jax.tree.leaves(gradient))


@IN_FLOAT64
@pytest.mark.parametrize(("groups", "used"), [(3, 3), (4, 2), (32, 2)])
def test_group_norm_equals_torch_also_where_the_groups_do_not_divide(groups, used):
    x, variables = _features(3, 4, 5), {"params": _variables()["params"]}
    oracle = torch.nn.GroupNorm(used, CHANNELS).double()
    oracle.weight.data = torch.from_numpy(variables["params"]["scale"])
    oracle.bias.data = torch.from_numpy(variables["params"]["bias"])
    out = GroupNorm(groups=groups).apply(variables, x, train=True)
    np.testing.assert_allclose(out, _call_torch(oracle, x), rtol=0, atol=1e-12)
    branched = GroupNorm(groups=groups).apply(variables, np.stack([x, 2 * x]), train=True)
    np.testing.assert_array_equal(branched[0], out)


def test_float32_is_as_near_as_any_order_of_its_sums_allows():
    """A sum of n terms in whatever order is off by at most n u sum |terms| (Higham 2002, section 4.2)."""
    x, variables = _features(3, 4, 5).astype(np.float32), jax.tree.map(np.float32, _variables())
    out, _ = _train(BatchNorm(), variables, x)
    scale, bias = (variables["params"][name].astype(float) for name in ("scale", "bias"))
    x, n, u = x.astype(float), 60, 2**-24
    mean, square = x.mean((0, 1, 2)), np.square(x).mean((0, 1, 2))
    deviation = np.sqrt(square - mean**2 + 1e-5)
    exact = (x - mean) / deviation * scale + bias

    of_mean = n * u * abs(x).mean((0, 1, 2))
    of_variance = (n + 4) * u * square + 2 * abs(mean) * of_mean
    slope = scale / deviation
    bound = slope * of_mean + abs(x - mean) * slope * of_variance / (2 * deviation**2)
    bound += 8 * u * (abs(x - mean) * slope + abs(bias))  # at most eight operations follow the sums
    assert (abs(out - exact) <= bound).all()
    assert bound.max() < 1e-4


@pytest.mark.parametrize("kind", ["batch", "frozen_batch", "group"])
def test_bfloat16_features_are_normalised_in_float32(kind):
    # 300 and 302 are neighbours in bfloat16: statistics in it would be zero variance or nonsense.
    x = jnp.where(_features(4, 8, 8) > 1, 302, 300).astype(jnp.bfloat16)
    norm = make_norm(kind)()
    variables = norm.init(jax.random.key(0), x, train=False)
    out = norm.apply(variables, x, train=True, mutable=["batch_stats"])[0]
    assert out.dtype == jnp.bfloat16
    exact = norm.apply(variables, x.astype(jnp.float32), train=True, mutable=["batch_stats"])[0]
    np.testing.assert_allclose(out.astype(jnp.float32), exact, rtol=2**-8)
    assert kind == "frozen_batch" or 0.9 < float(jnp.std(exact)) < 1.1


def test_initialising_does_not_touch_the_running_statistics():
    stats = BatchNorm(axis_name="device").init(
        jax.random.key(0), _features(3, 2, 2).astype(np.float32), train=True
    )["batch_stats"]
    np.testing.assert_array_equal(stats["mean"], np.zeros(CHANNELS))
    np.testing.assert_array_equal(stats["var"], np.ones(CHANNELS))


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="frozen_batch"):
        make_norm("layer")
    with pytest.raises(UserError, match="joint"):
        make_norm("batch", branch_statistics="shared")


@IN_FLOAT64
def test_running_statistics_of_one_branch_are_a_plain_norm_s():
    """Every branch is normalised by its own batch; what is kept is what branch 1 alone would have left."""
    x, variables = _features(3, 3, 4, 5), _variables()
    out, updated = _train(BatchNorm(running_branch=1), variables, x)
    every, _ = _train(BatchNorm(), variables, x)
    alone, kept = _train(BatchNorm(), variables, x[1])
    np.testing.assert_array_equal(out, every)
    np.testing.assert_allclose(out[1], alone, rtol=0, atol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), updated, kept)


@IN_FLOAT64
def test_running_branch_means_nothing_without_branches():
    x, variables = _features(3, 4, 5), _variables()
    expected = _train(BatchNorm(), variables, x)
    jax.tree.map(np.testing.assert_array_equal, _train(BatchNorm(running_branch=0), variables, x), expected)
