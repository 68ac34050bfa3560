import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax import keys
from asae_jax.training import build, optimizer, parallel, step
from asae_jax.training.state import average_weights, create_state
from tests.training.tiny import BATCH_SIZE, NUM_CLASSES, tiny_config


def _batch(seed, batch_size=BATCH_SIZE):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (batch_size, 36, 36, 3), np.uint8),
        "label": np.arange(batch_size, dtype=np.int32) % NUM_CLASSES,
    }


def _parts(config):
    schedule = optimizer.create_schedule(config.optimizer, steps_per_epoch=2, epochs=2)
    transform = optimizer.create_optimizer(config.optimizer, schedule)
    state = create_state(
        build.create_network(config, NUM_CLASSES),
        transform,
        keys.stream_key(0, "init"),
        image_size=config.augment.size,
        with_average=config.optimizer.ema_decay > 0,
    )
    function = functools.partial(
        step.train_step,
        network=build.create_network(config, NUM_CLASSES, axis_name=parallel.AXIS),
        optimizer=transform,
        loss=build.create_loss(config, NUM_CLASSES),
        augment=build.create_augment(config),
        seed=0,
        axis_name=parallel.AXIS,
        ema_decay=config.optimizer.ema_decay,
    )
    return state, function


def _on_devices(function, state, batches, devices):
    update = jax.pmap(
        function, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=(None, None), devices=devices
    )
    for batch in batches:
        shares = {name: x.reshape(len(devices), -1, *x.shape[1:]) for name, x in batch.items()}
        state, metrics = update(state, shares)
    return jax.tree.map(np.asarray, (state, metrics))


@pytest.mark.parametrize("branching", ["asae", "none"])
def test_one_and_eight_devices_train_alike(branching):
    state, function = _parts(tiny_config(model__branching=branching))
    batches = [_batch(0), _batch(1)]
    one, metrics_one = _on_devices(function, state, batches, jax.devices()[:1])
    eight, metrics_eight = _on_devices(function, state, batches, jax.devices()[:8])
    np.testing.assert_allclose(metrics_one.sums.loss, metrics_eight.sums.loss, rtol=1e-5)
    np.testing.assert_allclose(metrics_one.gradient_norm, metrics_eight.gradient_norm, rtol=1e-4)
    assert metrics_one.sums.count == metrics_eight.sums.count == BATCH_SIZE
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(eight.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
    for a, b in zip(jax.tree.leaves(one.batch_stats), jax.tree.leaves(eight.batch_stats), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_the_step_compiles_once():
    state, function = _parts(tiny_config())
    traces = []

    def counted(state, batch):
        traces.append(1)
        return function(state, batch)

    update = parallel.parallel_update(counted)
    state = parallel.place(state)
    compiled = []
    for seed in range(3):
        state, _ = update(state, parallel.split(_batch(seed)))
        compiled.append(update._cache_size())
    assert len(traces) == 1
    assert compiled == [1, 1, 1]
    assert int(state.step) == 3


def test_steps_differ_by_their_number_only_through_the_keys():
    """Same state, same batch: the same result; another step number: other crops, another loss."""
    state, function = _parts(tiny_config(optimizer__learning_rate=0.0))
    devices = jax.devices()[:1]
    _, first = _on_devices(function, state, [_batch(0)], devices)
    _, again = _on_devices(function, state, [_batch(0)], devices)
    _, later = _on_devices(function, state.replace(step=jnp.int32(5)), [_batch(0)], devices)
    assert first.sums.loss == again.sums.loss
    assert first.sums.loss != later.sums.loss


def test_bfloat16_keeps_parameters_and_statistics_in_float32():
    state, function = _parts(tiny_config(model__dtype="bfloat16"))
    state, metrics = _on_devices(function, state, [_batch(0)], jax.devices()[:1])
    kept = jax.tree.leaves((state.params, state.batch_stats))
    assert {leaf.dtype for leaf in kept} == {np.dtype("float32")}
    assert metrics.sums.loss.dtype == np.float32
    assert np.isfinite(metrics.sums.loss)
    assert np.isfinite(metrics.gradient_norm)


def test_average_follows_its_formula():
    state, _ = _parts(tiny_config(optimizer__ema_decay=0.9))
    state = state.replace(step=jnp.int32(1), params=jax.tree.map(lambda x: x + 1, state.params))
    before = state.average["params"]["backbone"]
    after = average_weights(state, 0.9).average["params"]["backbone"]
    decay = (1 + 1) / (10 + 1)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_allclose(new, decay * old + (1 - decay) * (old + 1), rtol=1e-5, atol=1e-6)


def test_average_is_what_gets_scored_when_it_is_on():
    state, function = _parts(tiny_config(optimizer__ema_decay=0.9))
    state, _ = _on_devices(function, state, [_batch(0)], jax.devices()[:1])
    assert state.variables() is state.average
    plain, _ = _parts(tiny_config())
    assert plain.variables()["params"] is plain.params


def test_scores_are_log_probabilities_and_ignore_the_layer():
    config = tiny_config()
    state, _ = _parts(config)
    images = {"image": _batch(3)["image"]}
    preprocess = build.create_preprocess(config)
    with_layer = step.score_step(
        state.variables(), images, network=build.create_network(config, NUM_CLASSES), preprocess=preprocess
    )
    config.model.branching = "none"
    plain = step.score_step(
        state.variables(), images, network=build.create_network(config, NUM_CLASSES), preprocess=preprocess
    )
    np.testing.assert_allclose(np.exp(with_layer).sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(with_layer, plain)


def test_statistics_step_measures_the_batch_itself():
    """The first convolution is linear, so its batch mean follows from the mean of the images."""
    config = tiny_config(model__branching="none")
    state, _ = _parts(config)
    batch = _batch(4) | {"index": np.arange(BATCH_SIZE, dtype=np.int32)}
    augment = build.create_augment(config)
    measure = parallel.parallel_statistics(
        functools.partial(
            step.statistics_step,
            network=build.create_test_network(config, NUM_CLASSES, axis_name=parallel.AXIS),
            augment=augment,
            seed=0,
            axis_name=parallel.AXIS,
            momentum=0.9,
        )
    )
    measured = measure(state.variables(), parallel.split(batch), jnp.int32(7))
    key = keys.step_key(keys.stream_key(0, "statistics"), 7)
    images = augment(key, jnp.asarray(batch["image"]))
    network = build.create_network(config, NUM_CLASSES)
    _, updated = network.apply(state.variables(), images, train=True, mutable=["batch_stats"])
    for path, new in jax.tree_util.tree_leaves_with_path(updated["batch_stats"]):
        old = 1.0 if path[-1].key == "var" else 0.0
        expected = (np.asarray(new) - 0.9 * old) / 0.1
        found = measured
        for entry in path:
            found = found[entry.key]
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
