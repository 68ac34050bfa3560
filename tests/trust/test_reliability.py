import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from asae_jax.metrics import evaluate_scores
from asae_jax.trust.reliability import measure_reliability, reliability_bins
from asae_jax.trust.temperature import log_softmax


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    return log_softmax(2 * rng.normal(size=(400, 5))), rng.integers(5, size=400)


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
