import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from asae_jax import keys
from asae_jax.run import build, parallel, steps
from asae_jax.run.state import TrainState, average_weights, create_state
from asae_jax.training.optimizer import create_optimizer, create_schedule
from tests.quick import quick_options
from tests.training.tiny import BATCH_SIZE, NUM_CLASSES, tiny_config


def _batch(seed, side=36):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (BATCH_SIZE, side, side, 3), np.uint8),
        "label": np.arange(BATCH_SIZE, dtype=np.int32) % NUM_CLASSES,
    }


def _network(config, axis_name=None):
    """The configured network with one block a stage, which compiles in half the time."""
    network = build.create_network(config, NUM_CLASSES, axis_name=axis_name)
    return network.clone(backbone=network.backbone.clone(stage_sizes=(1, 1, 1, 1)))


def _in_float64(network):
    return network.clone(backbone=network.backbone.clone(dtype=jnp.float64))


def _flipped(key, images, first_example=0):
    """Views drawn per example, as the configured ones, but without arithmetic that could round."""
    flips = jax.vmap(jax.random.bernoulli)(keys.example_keys(key, len(images), first_example))
    images = images.astype(jnp.float64) / 255 - 0.5
    return jnp.where(flips[:, None, None, None], images[:, :, ::-1], images)


NARROW = {"model__width": 4}
SIDE = 24
"""In float64 XLA's convolutions are slow: half of the channels, and images of 24 pixels."""


@functools.cache
def _fresh_state(width):
    """Of all configurations here: neither the layer nor the type of the computation has parameters."""
    config = tiny_config(model__width=width)
    with jax.enable_x64(False):
        return create_state(
            _network(config), _optimizer(config), keys.stream_key(0, "init"), image_size=config.augment.size
        )


def _optimizer(config):
    schedule = create_schedule(config.optimizer, steps_per_epoch=2, epochs=2)
    return create_optimizer(config.optimizer, schedule)


def _parts(config):
    function = functools.partial(
        steps.train_step,
        network=_network(config, parallel.AXIS),
        optimizer=_optimizer(config),
        loss=build.create_loss(config, NUM_CLASSES),
        augment=build.create_augment(config),
        seed=0,
        axis_name=parallel.AXIS,
    )
    return _fresh_state(config.model.width), function


def _on_one_device(function):
    """The step on a whole batch, compiled more quickly than by `jax.pmap`; (state, metrics) on the host."""
    mapped = jax.vmap(function, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=None)
    update = jax.jit(mapped, compiler_options=quick_options())
    return lambda state, batch: jax.tree.map(
        np.asarray, update(state, jax.tree.map(lambda x: x[None], batch))
    )


def _on_several_devices(function, count):
    """The step on the first `count` devices; (state, metrics) on the host."""
    devices = jax.devices()[:count]
    update = jax.pmap(function, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=None, devices=devices)

    def step(state, batch):
        shares = {name: x.reshape(count, -1, *x.shape[1:]) for name, x in batch.items()}
        return jax.tree.map(np.asarray, update(state, shares))

    return step


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("branching", "devices"), [("asae", 8), ("none", 2)])
def test_one_and_several_devices_train_alike(branching, devices):
    """Three steps: in float32 the order of sums would decide the digits, and training enlarge them."""
    config = tiny_config(model__branching=branching, **NARROW)
    state, function = _parts(config)
    function = functools.partial(
        function, network=_in_float64(_network(config, parallel.AXIS)), augment=_flipped
    )
    state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, state)
    on_one, on_several = _on_one_device(function), _on_several_devices(function, devices)
    one = several = state
    for number in range(3):
        one, metrics_one = on_one(one, _batch(number, SIDE))
        several, metrics = on_several(several, _batch(number, SIDE))
        np.testing.assert_allclose(metrics_one.sums.loss, metrics.sums.loss, rtol=BATCH_SIZE * 2**-23)
        np.testing.assert_allclose(metrics_one.gradient_norm, metrics.gradient_norm, rtol=1e-10)
        assert metrics_one.sums.count == metrics.sums.count == BATCH_SIZE
    for field in ("params", "batch_stats"):
        a, b = (jax.tree.leaves(getattr(result, field)) for result in (one, several))
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def test_the_step_compiles_once():
    state, function = _parts(tiny_config())
    update = parallel.parallel_update(function)
    state, _ = update(parallel.place(state), parallel.split(_batch(0)))
    compiled = []

    def note(event, seconds, **_):
        if "compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        for seed in (1, 2):
            state, _ = update(state, parallel.split(_batch(seed)))
        assert compiled == []
        jax.jit(lambda x: x + 1)(1.0)  # the listener does hear
        assert compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def test_steps_differ_by_their_number_only_through_the_keys():
    """Same state, same batch: the same result; another step number: other crops, another loss."""
    state, function = _parts(tiny_config())
    update = _on_one_device(function)
    _, first = update(state, _batch(0))
    _, again = update(state, _batch(0))
    _, later = update(state.replace(step=jnp.int32(5)), _batch(0))
    assert first.sums.loss == again.sums.loss
    assert first.sums.loss != later.sums.loss


class _Told(nn.Module):
    """Scores that are the images' mean and, in training, what is drawn from `stream`; statistics likewise."""

    stream: str = ""

    @nn.compact
    def __call__(self, images, *, train):
        mean = self.variable("batch_stats", "mean", jnp.zeros, (), jnp.float32)
        told = images.mean()
        if train and self.stream:
            told += jax.random.uniform(self.make_rng(self.stream))
        if train:
            mean.value = told
        weight = self.param("weight", nn.initializers.ones, (1, 2))
        return jnp.full((len(images), 1), told) * weight


def _step_of_told(stream, devices=1):
    """`(step, images) -> state after it, sums`: what `stream` draws is the loss of each image."""

    def drawn(name, key):
        return jax.random.uniform(key) if name == stream else 0.0

    network = _Told(stream if stream in steps.LAYER_STREAMS else "")
    function = functools.partial(
        steps.train_step, network=network, optimizer=optax.sgd(0.1),
        loss=lambda scores, labels: scores[:, 0], seed=3, axis_name=parallel.AXIS,
        augment=lambda key, images, first_example: images / 256 + drawn("augment", key),
        mix=lambda key, images, partners: (images + drawn("mix", key), jnp.float32(1)),
    )  # fmt: skip
    update = _on_several_devices(function, devices)
    state = create_state(_Told(), optax.sgd(0.1), jax.random.key(0), image_size=4)
    labels = np.zeros(4, np.int32)
    return lambda step, images: update(
        state.replace(step=jnp.int32(step)), {"image": images, "label": labels}
    )


@pytest.mark.parametrize("stream", ["augment", "mix", *steps.LAYER_STREAMS])
def test_every_stream_draws_anew_at_each_step_and_again_at_the_same(stream):
    update, black = _step_of_told(stream), np.zeros((4, 4, 4, 3), np.uint8)
    losses = [float(update(step, black)[1].sums.loss) / 4 for step in (0, 1, 1, 7)]
    assert losses[1] == losses[2]
    assert len(set(losses)) == 3
    if stream == "augment":
        key = keys.step_key(keys.stream_key(3, "augment"), 7)
        assert losses[3] == pytest.approx(float(jax.random.uniform(key)), rel=1e-5)


def test_statistics_that_are_not_synchronised_are_averaged_over_the_devices():
    images = np.repeat(np.array([0, 32, 64, 160], np.uint8), 48).reshape(4, 4, 4, 3)
    after, _ = _step_of_told("", devices=2)(0, images)
    assert after.batch_stats["mean"] == 64 / 256


@pytest.mark.usefixtures("float64")
def test_the_ramp_starts_at_the_plain_network_and_ends_at_the_whole_layer():
    """At step 0 both branches are the plain features; from the end of the ramp on nothing differs."""
    config = tiny_config(**NARROW)
    state, function = _parts(config)
    state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, state)
    network = _in_float64(_network(config, parallel.AXIS))
    function = functools.partial(function, network=network, augment=_flipped)
    ramped = _on_one_device(functools.partial(function, ramp_steps=8))
    whole = _on_one_device(function)
    plain = _on_one_device(functools.partial(function, network=network.clone(branching=None)))

    def loss(update, step):
        return update(state.replace(step=jnp.int32(step)), _batch(0, SIDE))[1].sums.loss

    rounding = BATCH_SIZE * 2**-23  # of a sum of so many float32
    np.testing.assert_allclose(loss(ramped, 0), loss(plain, 0), rtol=rounding)
    assert abs(loss(ramped, 4) - loss(plain, 4)) > 1e-4 * loss(plain, 4)
    assert abs(loss(ramped, 4) - loss(whole, 4)) > 1e-4 * loss(whole, 4)
    for step in (8, 1000):
        np.testing.assert_allclose(loss(ramped, step), loss(whole, step), rtol=rounding)


def test_the_ramp_rises_by_the_step_s_number_and_compiles_once():
    compiled = jax.jit(steps.ramp, static_argnums=1)
    strengths = [float(compiled(jnp.int32(step), 8)) for step in (0, 1, 4, 8, 100)]
    assert strengths == [0, 0.125, 0.5, 1, 1]
    assert compiled._cache_size() == 1


def test_the_ramp_s_epochs_are_counted_in_steps(monkeypatch):
    monkeypatch.setattr(parallel, "parallel_update", lambda function: function)
    config = tiny_config(asae__ramp_epochs=1.5)
    options = {"steps_per_epoch": 10}
    step = build.compiled_train_step(config, NUM_CLASSES, _optimizer(config), **options)
    assert step.keywords["ramp_steps"] == 15
    config.model.branching = "none"
    plain = build.compiled_train_step(config, NUM_CLASSES, _optimizer(config), **options)
    assert plain.keywords["ramp_steps"] == 0


def test_bfloat16_keeps_parameters_and_statistics_in_float32():
    state, function = _parts(tiny_config(model__dtype="bfloat16"))
    state, metrics = _on_one_device(function)(state, _batch(0))
    kept = jax.tree.leaves((state.params, state.batch_stats))
    assert {leaf.dtype for leaf in kept} == {np.dtype("float32")}
    assert metrics.sums.loss.dtype == np.float32
    assert np.isfinite(metrics.sums.loss)
    assert np.isfinite(metrics.gradient_norm)


def _weights(value):
    return {"params": {"kernel": jnp.full(2, value)}, "batch_stats": {"mean": jnp.full(3, value)}}


def test_average_follows_its_formula():
    state = TrainState(step=jnp.int32(1), opt_state=(), average=_weights(1.0), **_weights(3.0))
    share = (1 + 1) / (10 + 1)
    for leaf in jax.tree.leaves(average_weights(state, 0.9).average):
        np.testing.assert_allclose(leaf, share * 1.0 + (1 - share) * 3.0, rtol=1e-6)
    late = average_weights(state.replace(step=jnp.int32(10_000)), 0.9)
    for leaf in jax.tree.leaves(late.average):
        np.testing.assert_allclose(leaf, 0.9 * 1.0 + 0.1 * 3.0, rtol=1e-6)


def test_the_average_is_scored_where_there_is_one():
    state = TrainState(step=jnp.int32(1), opt_state=(), average=_weights(1.0), **_weights(3.0))
    assert state.variables() is state.average
    assert state.replace(average=None).variables()["params"] is state.params


def test_scores_are_log_probabilities_and_ignore_the_layer():
    config = tiny_config()
    state, _ = _parts(config)
    images = {"image": _batch(3)["image"]}
    preprocess = build.create_preprocess(config)
    score = jax.jit(steps.score_step, static_argnames=("network", "preprocess"))
    with_layer = score(state.variables(), images, network=_network(config), preprocess=preprocess)
    config.model.branching = "none"
    plain = score(state.variables(), images, network=_network(config), preprocess=preprocess)
    np.testing.assert_allclose(np.exp(with_layer).sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(with_layer, plain)


@pytest.mark.usefixtures("float64")
def test_statistics_step_measures_the_batch_itself():
    """The first convolution is linear, so its batch mean follows from the mean of the images."""
    config = tiny_config(model__branching="none")
    network, variables = (
        _in_float64(_network(config)),
        jax.tree.map(np.float64, _fresh_state(config.model.width).variables()),
    )
    batch = _batch(4) | {"index": np.arange(BATCH_SIZE, dtype=np.int32)}
    measure = parallel.parallel_statistics(
        functools.partial(
            steps.statistics_step,
            network=_in_float64(_network(config, parallel.AXIS)),
            augment=_flipped,
            seed=0,
            axis_name=parallel.AXIS,
            momentum=0.9,
        )
    )
    measured = measure(variables, parallel.split(batch), jnp.int32(7))
    key = keys.step_key(keys.stream_key(0, "statistics"), 7)
    images = _flipped(key, jnp.asarray(batch["image"]))
    apply = functools.partial(network.apply, train=True, mutable=["batch_stats"])
    _, updated = jax.jit(apply, compiler_options=quick_options())(variables, images)
    for path, new in jax.tree_util.tree_leaves_with_path(updated["batch_stats"]):
        old = 1.0 if path[-1].key == "var" else 0.0
        expected = (np.asarray(new) - 0.9 * old) / 0.1
        found = measured
        for entry in path:
            found = found[entry.key]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
