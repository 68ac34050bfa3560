import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from asae_jax.config import base_config
from asae_jax.training.optimizer import create_optimizer, create_schedule, kernels_only


def _settings(**changes):
    settings = base_config().optimizer
    settings.update(changes)
    return settings


def test_paper_schedule_is_85_percent_every_two_epochs():
    schedule = create_schedule(_settings(), steps_per_epoch=145, epochs=60)
    rates = [float(schedule(step)) for step in (0, 289, 290, 579, 580, 145 * 58)]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 0.85e-3, 0.85e-3, 0.7225e-3, 1e-3 * 0.85**29], rtol=1e-5)


def test_cosine_with_warmup_starts_at_zero_peaks_and_ends_at_zero():
    settings = _settings(schedule="cosine", warmup_epochs=2.0, learning_rate=0.1)
    schedule = create_schedule(settings, steps_per_epoch=10, epochs=12)
    rates = [float(schedule(step)) for step in (0, 10, 20, 70, 120)]
    np.testing.assert_allclose(rates, [0, 0.05, 0.1, 0.05, 0], atol=1e-7)


@pytest.mark.parametrize("epochs", [2.0**31 / 3000, 1e7, 1e300, 1.7e308])
def test_what_lies_beyond_all_steps_does_not_happen(epochs):
    """Decays so far apart never come, and a warm-up so long has hardly begun."""
    late = create_schedule(_settings(decay_epochs=epochs), steps_per_epoch=3000, epochs=60)
    warm = create_schedule(_settings(warmup_epochs=epochs), steps_per_epoch=3000, epochs=60)
    for step in (0, 100, 179_999):
        assert float(jax.jit(late)(jnp.int32(step))) == pytest.approx(1e-3)
        rounding = 1e-3 * 2.0**-23  # of 1 - step / 2^31 in float32
        assert float(warm(step)) == pytest.approx(1e-3 * step / 2**31, rel=1e-3, abs=rounding)


@pytest.mark.parametrize("warmup", [0.0, 1e300])
def test_more_epochs_than_steps_can_be_counted_are_no_error(warmup):
    settings = _settings(schedule="cosine", warmup_epochs=warmup)
    schedule = create_schedule(settings, steps_per_epoch=3000, epochs=2**31 - 1)
    assert float(schedule(100)) == pytest.approx(0 if warmup else 1e-3, abs=1e-9)


def _sgd(weights):
    return torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.05)


def _nesterov(weights):
    return torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.05, nesterov=True)


def _adamw(weights):
    return torch.optim.AdamW(weights, lr=0.1, weight_decay=0.05)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("changes", "reference_of"),
    [({}, _sgd), ({"nesterov": True}, _nesterov), ({"name": "adamw"}, _adamw)],
    ids=["sgd", "nesterov", "adamw"],
)
def test_five_steps_equal_torch(changes, reference_of):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=7), rng.normal(size=(5, 7))
    settings = _settings(learning_rate=0.1, weight_decay=0.05, **changes)
    optimizer = create_optimizer(settings, optax.constant_schedule(0.1))
    params = {"bias": jnp.array(start)}
    state = optimizer.init(params)
    weight = torch.nn.Parameter(torch.tensor(start))
    reference = reference_of([weight])
    for gradient in gradients:
        updates, state = optimizer.update({"bias": jnp.array(gradient)}, state, params)
        params = optax.apply_updates(params, updates)
        weight.grad = torch.tensor(gradient)
        reference.step()
    np.testing.assert_allclose(params["bias"], weight.detach().numpy(), rtol=1e-11)


def _nadam(weight, gradients, *, rate, decay, b1=0.9, b2=0.999, epsilon=1e-8):
    """Dozat 2016, algorithm 8 with a constant mu, and the weight decay of AdamW."""
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        mean = b1 * mean + (1 - b1) * gradient
        square = b2 * square + (1 - b2) * gradient**2
        ahead = b1 * mean / (1 - b1 ** (step + 1)) + (1 - b1) * gradient / (1 - b1**step)
        move = ahead / (np.sqrt(square / (1 - b2**step)) + epsilon)
        weight = weight - rate * (move + decay * weight)
    return weight


@pytest.mark.usefixtures("float64")
def test_adamw_with_nesterov_momentum_is_nadam_with_decoupled_decay():
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=7), rng.normal(size=(5, 7))
    found = {}
    for nesterov in (True, False):
        settings = _settings(name="adamw", nesterov=nesterov, weight_decay=0.05)
        optimizer = create_optimizer(settings, optax.constant_schedule(0.1))
        params = {"bias": jnp.array(start)}
        state = optimizer.init(params)
        for gradient in gradients:
            updates, state = optimizer.update({"bias": jnp.array(gradient)}, state, params)
            params = optax.apply_updates(params, updates)
        found[nesterov] = params["bias"]
    np.testing.assert_allclose(found[True], _nadam(start, gradients, rate=0.1, decay=0.05), rtol=1e-9)
    assert np.abs(found[True] - found[False]).max() > 0.01


def test_decay_can_be_kept_off_biases_and_norms():
    params = {"conv": {"kernel": jnp.ones(2)}, "norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)}}
    assert kernels_only(params) == {"conv": {"kernel": True}, "norm": {"scale": False, "bias": False}}
    settings = _settings(weight_decay=0.5, decay_all=False)
    optimizer = create_optimizer(settings, optax.constant_schedule(1.0))
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    np.testing.assert_allclose(updates["conv"]["kernel"], -0.5 * np.ones(2))
    np.testing.assert_array_equal(updates["norm"]["scale"], np.zeros(2))
    np.testing.assert_array_equal(updates["norm"]["bias"], np.zeros(2))


def test_clipping_limits_the_global_norm():
    settings = _settings(weight_decay=0.0, clip_norm=1.0)
    optimizer = create_optimizer(settings, optax.constant_schedule(1.0))
    params = {"kernel": jnp.zeros(2)}
    updates, _ = optimizer.update({"kernel": jnp.array([30.0, 40.0])}, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], [-0.6, -0.8], rtol=1e-6)


def test_clipping_acts_on_the_gradient_alone_before_decay_and_momentum():
    """Twice a gradient of norm 50, clipped to 1; the weight decay of 0.5 times 2 is added to it whole."""
    settings = _settings(name="sgd", momentum=0.9, nesterov=False, weight_decay=0.5, clip_norm=1.0)
    optimizer = create_optimizer(settings, optax.constant_schedule(1.0))
    params, gradients = {"kernel": jnp.array([2.0, 0.0])}, {"kernel": jnp.array([30.0, 40.0])}
    first, state = optimizer.update(gradients, optimizer.init(params), params)
    np.testing.assert_allclose(first["kernel"], [-1.6, -0.8], rtol=1e-6)
    second, _ = optimizer.update(gradients, state, params)
    np.testing.assert_allclose(second["kernel"], [-1.9 * 1.6, -1.9 * 0.8], rtol=1e-6)
