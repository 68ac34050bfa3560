"""Batches computed in parts, and stages computed twice: less memory, the same gradients."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from asae_jax import keys
from asae_jax.losses import cross_entropy
from asae_jax.models.asae import ASAE
from asae_jax.models.backbones.base import Backbone
from asae_jax.models.layers import Conv, make_norm
from asae_jax.models.network import Network
from asae_jax.run import build, parallel, steps
from asae_jax.run.accumulation import mean_over_parts, members
from asae_jax.run.state import TrainState, create_state
from benchmarks import step_memory
from tests.quick import quick_options
from tests.training.tiny import NUM_CLASSES, shallow, tiny_config

CLASSES, SIDE, COUNT, LAYERS = 4, 14, 8, 3
RATE = 0.5
BATCH = {
    "image": np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8),
    "label": np.arange(COUNT, dtype=np.int32) % CLASSES,
}


def test_a_mean_over_parts_is_that_of_all_and_each_result_keeps_its_place():
    values = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)

    def function(part, numbers):
        rows, factor = part
        return rows.mean(0), factor * rows + numbers[:, None]

    for parts in (2, 3, 4):
        mean, each = jax.jit(lambda n=parts: mean_over_parts(function, (values, 2.0), n))()
        np.testing.assert_allclose(mean, values.mean(0), atol=1e-6)
        np.testing.assert_allclose(each, 2 * values + np.arange(12)[:, None], rtol=1e-6)
    mean, each = mean_over_parts(function, (values, 2.0), 3, first=24, classes=2)
    np.testing.assert_allclose(each, 2 * values + 24 + np.arange(12)[:, None], rtol=1e-6)


@pytest.mark.parametrize(
    ("batch", "parts", "classes"), [(84, 7, 14), (84, 2, 14), (84, 3, 14), (24, 6, 4), (40, 2, 5), (36, 3, 9)]
)
def test_parts_are_balanced_and_the_same_on_any_number_of_devices(batch, parts, classes):
    """Element j of a balanced batch is of class j % classes: of 14 in 7 parts, every seventh has two."""
    whole = [set(np.asarray(members(k, batch, parts, classes=classes))) for k in range(parts)]
    assert sorted(np.concatenate([list(part) for part in whole])) == list(range(batch))
    for part in whole:
        counts = np.bincount(np.array(list(part)) % classes, minlength=classes)
        assert len(part) == batch // parts
        assert counts.max() - counts.min() <= 1
    for devices in (d for d in range(2, batch) if batch % (d * parts) == 0):
        share, firsts = batch // devices, range(0, batch, batch // devices)
        for k, part in enumerate(whole):
            of_all = [first + members(k, share, parts, first=first, classes=classes) for first in firsts]
            assert {len(places) for places in of_all} == {share // parts}
            assert set(np.concatenate(of_all)) == part


def test_what_no_part_changes_stays_bit_for_bit():
    """A sum of three equal numbers divided by three is not always the number: seen with this one."""
    number = np.float32(1.75 + 2**-22)
    assert np.float32(np.float32(number + number + number) / np.float32(3)) != number
    mean, _ = jax.jit(lambda: mean_over_parts(lambda part, first: (number, part), np.zeros(3), 3))()
    assert mean == number


class _Frozen(nn.Module):
    """Logits of a network whose statistics training leaves as they are."""

    @nn.compact
    def __call__(self, images, *, train, first_example=0):
        self.variable("batch_stats", "mean", jnp.float32, 1.75 + 2**-22)
        return nn.Dense(CLASSES)(images.mean((1, 2)))


@pytest.mark.parametrize("parts", [1, 3])
def test_frozen_statistics_stay_bit_for_bit_on_three_devices(parts):
    network, optimizer = _Frozen(), optax.sgd(RATE)
    state = create_state(network, optimizer, jax.random.key(0), image_size=4)
    function = functools.partial(
        steps.train_step, network=network, optimizer=optimizer, loss=cross_entropy, seed=0,
        axis_name=parallel.AXIS, augment=lambda key, images, first_example: images / 255, accumulate=parts,
    )  # fmt: skip
    devices = jax.devices()[:3]
    update = jax.pmap(function, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=None, devices=devices)
    batch = {"image": np.ones((3, 3, 4, 4, 3), np.uint8), "label": np.zeros((3, 3), np.int32)}
    after, _ = update(state, batch)
    assert after.batch_stats["mean"] == state.batch_stats["mean"] == np.float32(1.75 + 2**-22)


class _Stage(nn.Module):
    """Convolutions with normalisation."""

    features: int
    norm: Any

    @nn.compact
    def __call__(self, x, *, train):
        for i in range(LAYERS):
            x = Conv(self.features, 3, padding=1, dtype=jnp.float64, name=f"conv{i}")(x)
            x = nn.relu(self.norm(name=f"norm{i}")(x, train=train))
        return x


class _Small(Backbone):
    """Two stages, which compile quickly."""

    stage_names = ("layer0", "layer1")
    stems = ("small",)

    def stages(self):
        return _Stage(4, self.norm), _Stage(6, self.norm)


def _network(norm="batch", branching="asae", axis_name=None, remat=False):
    """The real network and layers on a small backbone."""
    backbone = _Small(CLASSES, "small", make_norm(norm, axis_name=axis_name))
    layer = ASAE(area=9, axis_name=axis_name) if branching == "asae" else None
    return Network(backbone, layer, "layer0", remat=remat)


def _flipped(key, images, first_example=0):
    """Views drawn per example without arithmetic that could round."""
    flips = jax.vmap(jax.random.bernoulli)(keys.example_keys(key, len(images), first_example))
    images = images.astype(jnp.float64) / 255 - 0.5
    return jnp.where(flips[:, None, None, None], images[:, :, ::-1], images)


def _half(key, images, partners):
    return 0.7 * images + 0.3 * partners, jnp.float64(0.7)


def _state(network, optimizer):
    """Random variables, drawn without compiling anything."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(
        lambda: network.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)), train=False)
    )

    def draw(path, leaf):
        if leaf.ndim > 1:
            return rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape)
        positive = path[-1].key in ("scale", "var")
        return rng.uniform(0.5 if positive else -0.2, 1.5 if positive else 0.2, leaf.shape)

    variables = jax.tree_util.tree_map_with_path(draw, shapes)
    params, stats = variables["params"], variables.get("batch_stats", {})
    return TrainState(
        step=np.int32(3), params=params, batch_stats=stats, opt_state=optimizer.init(params), average=None
    )


def _step(network, devices, **options):
    """State and metrics after one step at `RATE` on so many devices; the compiled step, its convolutions."""
    function = functools.partial(
        steps.train_step, network=network, optimizer=optax.sgd(RATE), loss=cross_entropy, augment=_flipped,
        seed=0, axis_name=parallel.AXIS, classes=CLASSES, **options,
    )  # fmt: skip
    mapped = jax.vmap(function, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=None)
    batch = {name: x.reshape(devices, -1, *x.shape[1:]) for name, x in BATCH.items()}
    state = _state(network, optax.sgd(RATE))
    lowered = jax.jit(mapped, compiler_options=quick_options()).lower(state, batch)
    compiled = lowered.compile()
    result = compiled(state, batch)
    memory = compiled.memory_analysis().temp_size_in_bytes
    return *jax.tree.map(np.asarray, result), memory, lowered.as_text().count("stablehlo.convolution")


def _assert_close(actual, expected, rtol=1e-9):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12), actual, expected)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("devices", "parts"), [(1, 4), (2, 2)])
def test_without_batch_statistics_the_step_is_that_of_the_whole_batch(devices, parts):
    """With the views, partners and peaks that each image of the batch has without accumulation."""
    network = _network("group", axis_name=parallel.AXIS)
    options = {"mix": _half, "agreement": 0.3, "loss_per_branch": True}
    expected_state, expected_metrics, whole_memory, _ = _step(network, 1, **options)
    state, metrics, memory, _ = _step(network, devices, accumulate=parts, **options)
    _assert_close(state.params, expected_state.params)
    assert state.batch_stats == {}
    assert metrics.sums.count == COUNT
    assert metrics.sums.correct == expected_metrics.sums.correct
    np.testing.assert_allclose(metrics.sums.loss, expected_metrics.sums.loss, rtol=COUNT * 2**-23)
    np.testing.assert_allclose(metrics.gradient_norm, expected_metrics.gradient_norm, rtol=1e-9)
    if devices == 1:
        assert memory < 0.5 * whole_memory


@pytest.mark.usefixtures("float64")
def test_batch_normalisation_takes_the_statistics_of_each_part():
    """Two parts by hand: gradients of each part's own pass, and the mean of the statistics after it."""
    network = _network(branching=None)
    state, metrics, *_ = _step(network, 1, accumulate=2)
    before = _state(network, optax.sgd(RATE))
    images = _flipped(keys.step_key(keys.stream_key(0, "augment"), 3), jnp.asarray(BATCH["image"]))

    @functools.partial(jax.jit, compiler_options=quick_options())
    @functools.partial(jax.grad, has_aux=True)
    def by_hand(params, images, labels):
        variables = {"params": params, "batch_stats": before.batch_stats}
        logits, updated = network.apply(variables, images, train=True, mutable=["batch_stats"])
        rows = np.arange(len(labels))
        return -jax.nn.log_softmax(logits)[rows, labels].mean(), updated["batch_stats"]

    places = [members(k, COUNT, 2, classes=CLASSES) for k in (0, 1)]
    results = [by_hand(before.params, images[i], BATCH["label"][i]) for i in places]
    gradients, statistics = (
        jax.tree.map(lambda a, b: (a + b) / 2, *pair) for pair in zip(*results, strict=True)
    )
    _assert_close(state.params, jax.tree.map(lambda p, g: p - RATE * g, before.params, gradients))
    _assert_close(state.batch_stats, statistics)
    np.testing.assert_allclose(metrics.gradient_norm, optax.tree.norm(gradients), rtol=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("parts", [1, 2])
def test_the_statistics_of_a_part_do_not_depend_on_the_number_of_devices(parts):
    (one, metrics, *_), (two, metrics_of_two, *_) = (
        _step(_network(axis_name=parallel.AXIS), devices, accumulate=parts, mix=_half) for devices in (1, 2)
    )
    _assert_close(two.params, one.params)
    _assert_close(two.batch_stats, one.batch_stats)
    np.testing.assert_allclose(metrics_of_two.gradient_norm, metrics.gradient_norm, rtol=1e-9)


@pytest.mark.usefixtures("float64")
def test_stages_that_are_computed_twice_give_the_same_step():
    once, twice = (_network(remat=remat) for remat in (False, True))
    assert _shapes(once) == _shapes(twice)
    (state, metrics, _, few), (again, metrics_again, _, more) = (
        _step(network, 1) for network in (once, twice)
    )
    _assert_close(again.params, state.params)
    _assert_close(again.batch_stats, state.batch_stats)
    np.testing.assert_allclose(metrics_again.gradient_norm, metrics.gradient_norm, rtol=1e-9)
    assert more == few + 2 * LAYERS  # the forward pass of both stages; what it saves is XLA's to say


def _shapes(network):
    return jax.tree.map(np.shape, _state(network, optax.sgd(RATE)).variables())


def test_the_settings_reach_step_and_network(monkeypatch):
    monkeypatch.setattr(parallel, "parallel_update", lambda function: function)
    config = tiny_config(train__accumulate=7, model__remat=True)
    step = build.compiled_train_step(config, NUM_CLASSES, optax.sgd(RATE))
    assert step.keywords["accumulate"] == 7
    assert step.keywords["classes"] == NUM_CLASSES
    assert step.keywords["network"].remat


def test_the_memory_of_a_step_is_printed_without_running_it(capsys):
    options = "--model=resnet18 --stem=small --branching=none --width=4 --size=24 --batch_size=4"
    with shallow():
        step_memory.main([*options.split(), "--accumulate", "2"])
    *_, once, twice = (line.split() for line in capsys.readouterr().out.splitlines())
    assert [once[:2], twice[:2]] == [["2", "no"], ["2", "yes"]]
    assert float(twice[3]) < 0.9 < float(once[3]) == 1
