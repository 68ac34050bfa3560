import numpy as np
import pytest
from scipy import optimize

from asae_jax.trust.temperature import LIMITS, fit_temperature, log_softmax, soften


def _drawn(temperature, n=3000, classes=6, seed=0):
    """Logits, and labels drawn as if they had been divided by `temperature`."""
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(n, classes))
    probabilities = np.exp(soften(logits, temperature))
    labels = (probabilities.cumsum(1) < rng.random((n, 1))).sum(1)
    return logits, np.minimum(labels, classes - 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found_within_its_interval(temperature):
    fitted = fit_temperature(*_drawn(temperature))
    assert fitted.low < temperature < fitted.high
    assert fitted.high / fitted.low < 1.3


def test_no_other_temperature_has_a_lower_loss():
    logits, labels = _drawn(1.7, n=200)
    rows = np.arange(len(labels))
    best = optimize.minimize_scalar(
        lambda t: -soften(logits, t)[rows, labels].mean(),
        bounds=LIMITS,
        method="bounded",
        options={"xatol": 1e-8},
    )
    assert fit_temperature(logits, labels).value == pytest.approx(best.x, rel=1e-5)


def test_two_classes_in_closed_form():
    """Scores 0 and 1, right in 3 of 4: 1 / t = log 3."""
    logits, labels = np.tile([0.0, 1.0], (8, 1)), np.array([1, 1, 1, 0] * 2)
    assert fit_temperature(logits, labels).value == pytest.approx(1 / np.log(3), rel=1e-6)


def test_the_interval_is_as_wide_as_repetition_says():
    fits = [fit_temperature(*_drawn(1.5, n=150, seed=seed)) for seed in range(150)]
    spread = np.std(np.log([fit.value for fit in fits]))
    claimed = np.mean([np.log(fit.high / fit.low) / (2 * 1.96) for fit in fits])
    assert claimed == pytest.approx(spread, rel=0.2)  # three standard errors of a spread from 150


@pytest.mark.parametrize(("right", "limit"), [(True, LIMITS[0]), (False, LIMITS[1])])
def test_without_both_errors_and_hits_it_stops_at_a_limit(right, limit):
    logits = np.tile([0.0, 2.0, 1.0], (5, 1))
    fitted = fit_temperature(logits, np.full(5, 1 if right else 0))
    assert fitted.value == pytest.approx(limit, rel=1e-6)
    assert (fitted.low, fitted.high) == LIMITS


def test_logits_and_log_probabilities_give_the_same_and_the_winner_stays():
    logits, labels = _drawn(2.0, n=100)
    assert fit_temperature(log_softmax(logits), labels) == fit_temperature(logits, labels)
    np.testing.assert_allclose(soften(log_softmax(logits), 3.0), soften(logits, 3.0), atol=1e-12)
    np.testing.assert_array_equal(soften(logits, 7.0).argmax(1), logits.argmax(1))
    np.testing.assert_allclose(np.exp(soften(logits.astype(np.float32), 0.05)).sum(1), 1)
