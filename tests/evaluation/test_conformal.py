import numpy as np
import pytest

from asae_jax.evaluation.conformal import METHODS, class_scores, fit_conformal

ROW = np.array([[0.1, 0.6, 0.0, 0.3]])


def test_the_scores_of_the_classes_by_hand():
    np.testing.assert_allclose(class_scores(ROW, "lac"), [[0.9, 0.4, 1.0, 0.7]])
    np.testing.assert_allclose(class_scores(ROW, "aps"), [[0.9, 0.0, 1.0, 0.6]])


@pytest.mark.parametrize(("error", "rank"), [(0.1, 9), (0.2, 8), (0.5, 5), (0.7, 3)])
def test_the_threshold_is_the_right_order_statistic(error, rank):
    """Nine examples: of (9 + 1)(1 - error) the next whole number, also where float64 lies above it (0.7)."""
    scores = np.arange(1, 10) / 20
    probabilities = np.stack([1 - scores, scores], 1)
    fitted = fit_conformal(probabilities, np.zeros(9, int), error=error, method="lac")
    assert fitted.threshold == pytest.approx(scores[rank - 1])


@pytest.mark.parametrize("method", METHODS)
def test_too_few_examples_promise_nothing_and_exclude_nothing(method):
    fitted = fit_conformal(np.repeat(ROW, 8, 0), np.ones(8, int), error=0.1, method=method)
    assert fitted.threshold == 1
    assert fitted.sets(ROW).all()


def test_no_class_is_excluded_by_rounding():
    """Cumulative sums of probabilities end at 1 and a little more in one of seven rows."""
    logits = 8 * np.random.default_rng(0).normal(size=(2000, 11))
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    assert (np.cumsum(-np.sort(-probabilities, 1), 1)[:, :-1] > 1).any()
    assert class_scores(probabilities, "aps").max() <= 1
    fitted = fit_conformal(probabilities[:3], np.arange(3), error=0.1, method="aps")
    assert fitted.threshold == 1
    assert fitted.sets(probabilities).all()


def _drawn(rng, n, classes=5):
    logits = 2 * rng.normal(size=(n, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.minimum((probabilities.cumsum(1) < rng.random((n, 1))).sum(1), classes - 1)
    return probabilities**2 / (probabilities**2).sum(1, keepdims=True), labels  # too sure of itself


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [0.05, 0.2])
def test_sets_hold_the_true_class_at_the_promised_rate(method, error):
    """Over fresh draws of examples and images the rate is between 1 - error and 1 / (n + 1) above it."""
    rng, held, sizes = np.random.default_rng(0), [], []
    for _ in range(200):
        probabilities, labels = _drawn(rng, 300)
        fitted = fit_conformal(probabilities[:100], labels[:100], error=error, method=method)
        sets = fitted.sets(probabilities[100:])
        held.append(sets[np.arange(200), labels[100:]].mean())
        sizes.append(sets.sum(1).mean())
    noise = 3 * np.std(held) / np.sqrt(200)
    assert 1 - error - noise <= np.mean(held) <= 1 - error + 1 / 101 + noise
    assert 1 < np.mean(sizes) < 4


def test_aps_sets_are_the_most_probable_classes_and_grow_with_doubt():
    rng = np.random.default_rng(1)
    probabilities, labels = _drawn(rng, 400)
    fitted = fit_conformal(probabilities, labels, error=0.1, method="aps")
    sets = fitted.sets(probabilities)
    assert (np.where(sets, probabilities, 1).min(1) >= np.where(sets, 0, probabilities).max(1)).all()
    sure, unsure = np.array_split(np.argsort(-probabilities.max(1)), 2)
    assert sets[sure].sum(1).mean() < sets[unsure].sum(1).mean()


@pytest.mark.parametrize("method", METHODS)
def test_no_set_is_empty(method):
    probabilities = np.repeat([[0.98, 0.01, 0.01]], 50, 0)
    fitted = fit_conformal(probabilities, np.zeros(50, int), error=0.1, method=method)
    np.testing.assert_array_equal(fitted.sets(np.array([[0.4, 0.3, 0.3]])), [[True, False, False]])
