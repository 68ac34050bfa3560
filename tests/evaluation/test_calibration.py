import numpy as np
import pytest
from scipy import optimize
from scipy.special import log_softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from asae_jax.evaluation.calibration import (
    LIMITS,
    Temperature,
    fit_temperature,
    measure_reliability,
    reliability_bins,
    soften,
)
from asae_jax.evaluation.metrics import evaluate_scores


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


def test_the_interval_ends_at_the_limits_where_few_images_leave_it_open():
    """Two of three right at probability 0.73 each: any temperature might be."""
    fitted = fit_temperature(np.array([[0.0, 1.0]] * 3), np.array([1, 1, 0]))
    assert fitted.value == pytest.approx(1 / np.log(2))
    assert (fitted.low, fitted.high) == LIMITS == (0.05, 20)


def test_logits_and_log_probabilities_give_the_same_and_the_winner_stays():
    logits, labels = _drawn(2.0, n=100)
    assert fit_temperature(log_softmax(logits, axis=1), labels) == fit_temperature(logits, labels)
    np.testing.assert_allclose(soften(log_softmax(logits, axis=1), 3.0), soften(logits, 3.0), atol=1e-12)
    np.testing.assert_array_equal(soften(logits, 7.0).argmax(1), logits.argmax(1))
    np.testing.assert_allclose(np.exp(soften(logits.astype(np.float32), 0.05)).sum(1), 1)


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    return log_softmax(2 * rng.normal(size=(400, 5)), axis=1), rng.integers(5, size=400)


def test_the_scores_are_those_of_scikit_learn_and_of_the_evaluation(scored):
    log_probs, labels = scored
    measured = measure_reliability(log_probs, labels)
    assert measured.nll == pytest.approx(log_loss(labels, np.exp(log_probs)))
    probabilities = np.exp(log_probs)
    brier = sum(brier_score_loss(labels == c, probabilities[:, c]) for c in range(5))
    assert measured.brier == pytest.approx(brier)
    assert measured.ece == pytest.approx(evaluate_scores(log_probs, labels, "abcde", bootstrap=0)["ece"])


def test_a_certain_network_that_is_always_right_and_one_that_is_always_wrong():
    log_probs = np.log(np.array([[1 - 2e-12, 1e-12, 1e-12]] * 4))
    right = measure_reliability(log_probs, np.zeros(4, int))
    wrong = measure_reliability(log_probs, np.ones(4, int))
    assert (right.nll, right.brier, right.ece) == pytest.approx((0, 0, 0), abs=1e-9)
    assert (wrong.nll, wrong.brier, wrong.ece) == pytest.approx((12 * np.log(10), 2, 1), abs=1e-6)


def test_the_diagram_is_scikit_learns():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(size=500)
    correct = rng.random(500) < confidence
    bins = reliability_bins(confidence, correct, num_bins=8)
    accuracy, mean = calibration_curve(correct, confidence, n_bins=8)
    np.testing.assert_allclose(bins.accuracy, accuracy)
    np.testing.assert_allclose(bins.confidence, mean)
    assert bins.examples.sum() == 500


def test_bins_include_their_upper_edge_and_empty_ones_are_zero():
    bins = reliability_bins(np.array([0.0, 0.5, 1.0]), np.array([True, False, True]), num_bins=4)
    np.testing.assert_array_equal(bins.examples, [1, 1, 0, 1])
    np.testing.assert_array_equal(bins.accuracy, [1, 0, 0, 1])
    np.testing.assert_array_equal(bins.confidence, [0, 0.5, 0, 1])


@pytest.mark.parametrize(
    ("low", "high", "value"),
    [(0.9, 1.3, 1.0), (1.0, 1.3, 1.0), (0.8, 1.0, 1.0), (1.01, 1.3, 1.2), (0.7, 0.99, 1.2), (*LIMITS, 1.0)],
)
def test_a_temperature_is_applied_only_where_its_interval_excludes_1(low, high, value):
    given = Temperature(1.2, low, high).if_needed()
    assert given.value == value
    assert given.fitted == (1.2 if value == 1 else None)


def test_records_of_earlier_runs_keep_their_temperature():
    assert Temperature(value=1.1, low=0.9, high=1.3).value == 1.1
