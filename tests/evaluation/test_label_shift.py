"""Mixtures that are known: posteriors by the exact likelihood of simulated classes."""

import numpy as np
import pytest

from asae_jax.evaluation.bootstrap import percentiles, resampled_weights
from asae_jax.evaluation.label_shift import (
    bbse_shares,
    em_shares,
    estimate_mixture,
    learnt_mixture,
    misfit,
    total_variation,
)

PRIOR = np.array([0.4, 0.4, 0.2])
MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


def _cells(mixture, count, seed, *, moved=0.0):
    """Probabilities `[count, 3]`, exact under `PRIOR`, of Gaussian classes, and the true classes."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, count, p=mixture)
    places = MEANS[labels] + rng.normal(size=(count, 2)) + moved
    likelihood = np.exp(-0.5 * ((places[:, None] - MEANS) ** 2).sum(-1))
    posterior = PRIOR * likelihood
    return posterior / posterior.sum(1, keepdims=True), labels


def _confusion(seed=1000, count=20_000):
    probabilities, labels = _cells(PRIOR, count, seed)
    return np.histogram2d(labels, probabilities.argmax(1), bins=(range(4), range(4)))[0]


def test_em_is_the_closed_form_for_two_classes_that_are_told_apart():
    sure = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]])
    np.testing.assert_allclose(em_shares(sure, np.array([0.9, 0.1])), [0.75, 0.25], atol=1e-9)


def test_em_is_the_root_of_the_likelihoods_slope_for_two_classes():
    """The slope of sum log(q r_1 + (1 - q) r_2) by q is 0, found by bisection."""
    rng = np.random.default_rng(0)
    first = rng.beta(0.6, 0.9, 300)
    prior = np.array([0.3, 0.7])
    ratios = np.stack([first, 1 - first], 1) / prior
    low, high = 1e-9, 1 - 1e-9
    for _ in range(100):
        middle = (low + high) / 2
        slope = ((ratios[:, 0] - ratios[:, 1]) / (ratios @ [middle, 1 - middle])).sum()
        low, high = (middle, high) if slope > 0 else (low, middle)
    np.testing.assert_allclose(em_shares(np.stack([first, 1 - first], 1), prior)[0], middle, atol=1e-5)


def test_labels_of_another_mixture_tell_what_the_probabilities_are_of():
    probabilities, labels = _cells((0.7, 0.1, 0.2), 20_000, seed=2)
    found = learnt_mixture(probabilities, labels, np.ones(3))
    np.testing.assert_allclose(found, PRIOR, atol=0.02)
    own = np.bincount(labels, minlength=3) / len(labels)
    np.testing.assert_allclose(em_shares(probabilities, found), own, atol=1e-4)


def test_a_class_without_a_label_has_its_share_from_before():
    probabilities, labels = _cells((0.6, 0.4, 0.0), 20_000, seed=3)
    found = learnt_mixture(probabilities, labels, np.array([0.1, 0.7, 0.2]))
    np.testing.assert_allclose(found, PRIOR, atol=0.02)


@pytest.mark.parametrize("mixture", [(0.8, 0.1, 0.1), (0.05, 0.15, 0.8), (0.5, 0.5, 0.0)])
def test_em_and_bbse_recover_a_known_mixture_where_counting_does_not(mixture):
    probabilities, labels = _cells(mixture, 20_000, seed=1)
    true = np.bincount(labels, minlength=3) / len(labels)
    predicted = np.bincount(probabilities.argmax(1), minlength=3)
    assert np.abs(em_shares(probabilities, PRIOR) - true).max() < 0.015
    assert np.abs(bbse_shares(predicted, _confusion()) - true).max() < 0.025
    assert np.abs(predicted / len(labels) - true).max() > 0.04


def test_intervals_hold_the_mixture_as_often_as_they_say():
    """80 smears of 200 cells, three shares each: 95 % of 240, within four standard errors."""
    mixture = np.array([0.6, 0.1, 0.3])
    held = 0
    for seed in range(80):
        found = estimate_mixture(_cells(mixture, 200, seed)[0], PRIOR, resamples=100, seed=seed)
        held += ((found.low <= mixture) & (mixture <= found.high)).sum()
    assert 0.95 - 4 * np.sqrt(0.95 * 0.05 / 80) < held / 240 <= 1


def test_a_class_that_no_cell_looks_like_has_no_interval():
    """Its share is 0 in every resample; [0, 0] would say that it cannot be in the smear."""
    probabilities = np.full((60, 3), 0.01)
    probabilities[np.arange(60), np.arange(60) % 2] = 0.98
    found = estimate_mixture(probabilities, PRIOR, resamples=50)
    assert found.shares == pytest.approx([0.5, 0.5, 0], abs=1e-6)
    assert np.isnan([found.low, found.high]).tolist() == [[False, False, True]] * 2
    assert (found.high - found.low)[:2] == pytest.approx([0.25, 0.25], abs=0.07)  # 4 sqrt(0.25 / 60)


def test_resamples_of_whole_groups_and_weights_are_copies_of_cells():
    probabilities, _ = _cells(PRIOR, 40, seed=3)
    twice = np.ones((1, 40))
    twice[0, :10] = 2
    copied = np.concatenate([probabilities, probabilities[:10]])
    np.testing.assert_allclose(em_shares(probabilities, PRIOR, twice)[0], em_shares(copied, PRIOR), atol=1e-6)
    one = estimate_mixture(probabilities, PRIOR, groups=np.array(["a", "b"] * 20), resamples=10)
    assert one.low is None  # two groups tell nothing of others


def test_classes_that_are_never_given_need_no_confusions_and_have_no_share():
    confusion = _confusion(count=3000)
    probabilities, _ = _cells((0.6, 0.1, 0.3), 500, 1)
    of_three = estimate_mixture(probabilities, PRIOR, confusion=confusion, resamples=20)
    places, possible = [0, 1, 3], np.array([True, True, False, True])
    wide, prior, four = np.zeros((500, 4)), np.full(4, 0.1), np.zeros((4, 4))
    wide[:, places], prior[places], four[np.ix_(places, places)] = probabilities, 0.9 * PRIOR, confusion
    assert estimate_mixture(wide, prior, confusion=four).misfit is None
    found = estimate_mixture(wide, prior, confusion=four, possible=possible, resamples=20)
    assert found.misfit == pytest.approx(of_three.misfit, rel=1e-6)
    for name, elsewhere in (("shares", 0), ("by_confusion", 0), ("low", np.nan), ("high", np.nan)):
        value = getattr(found, name)
        np.testing.assert_allclose(value[places], getattr(of_three, name), atol=1e-6)
        np.testing.assert_equal(value[2], elsewhere)


def test_the_misfit_is_uniform_under_label_shift_and_small_where_cells_look_different():
    confusion = _confusion(count=3000)
    mixture = (0.6, 0.1, 0.3)
    found = [
        estimate_mixture(_cells(mixture, 500, seed)[0], PRIOR, confusion=confusion) for seed in range(100)
    ]
    assert sum(one.misfit < 0.05 for one in found) <= 12  # 5 of 100 expected, 12 in a million draws
    assert max(one.disagreement for one in found) < 0.15
    moved = estimate_mixture(_cells(mixture, 500, 7, moved=-1.5)[0], PRIOR, confusion=confusion)
    assert moved.misfit < 1e-4


def test_a_confusion_that_few_images_do_not_show_is_not_taken_for_impossible():
    """Ten labelled images of each class; only the mixture has changed."""
    found = []
    for seed in range(200):
        confusion = np.zeros((3, 3))
        for label in range(3):
            probabilities, _ = _cells(np.eye(3)[label], 10, 1000 + 3 * seed + label)
            confusion[label] = np.bincount(probabilities.argmax(1), minlength=3)
        probabilities, _ = _cells((0.6, 0.1, 0.3), 2000, seed)
        found.append(estimate_mixture(probabilities, PRIOR, confusion=confusion).misfit)
    assert sum(p < 0.01 for p in found) <= 7  # 2 expected; 7 in ten thousand such draws


def test_without_images_of_a_class_the_confusion_matrix_says_nothing():
    predicted = np.array([3, 1])
    assert bbse_shares(predicted, np.array([[5, 0], [0, 0]])) is None
    assert misfit(predicted, np.array([[5, 0], [0, 0]]), np.array([0.5, 0.5])) is None


def test_bbse_inverts_the_matrix():
    confusion = np.array([[90, 10], [20, 80]])
    predicted = 1000 * np.array([0.25, 0.75]) @ (confusion / 100)
    np.testing.assert_allclose(bbse_shares(predicted, confusion), [0.25, 0.75], atol=1e-9)


def test_total_variation_is_the_share_of_cells_in_another_class():
    assert total_variation(np.array([0.5, 0.5, 0]), np.array([0.25, 0.5, 0.25])) == 0.25


def test_intervals_are_those_of_few_patients_where_classes_are_never_given_too():
    """Cells that are told apart for certain: the shares of a resample are those of its cells."""
    patients = np.repeat(np.arange(8), 5)
    cells = np.eye(2)[(np.arange(40) * 7 % 40 < 3 * patients).astype(int)]
    drawn = np.concatenate(list(resampled_weights(40, groups=patients, resamples=300, seed=0)))
    expected = np.percentile(drawn @ cells / 40, percentiles(patients), axis=0)
    by_cell = np.percentile(drawn @ cells / 40, percentiles(), axis=0)
    assert (np.diff(expected, axis=0) > 1.05 * np.diff(by_cell, axis=0)).all()
    options = {"groups": patients, "resamples": 300}
    found = estimate_mixture(cells, np.array([0.5, 0.5]), **options)
    np.testing.assert_allclose([found.low, found.high], expected, atol=1e-6)
    wide, possible = np.insert(cells, 1, 0, axis=1), np.array([True, False, True])
    found = estimate_mixture(wide, np.full(3, 1 / 3), possible=possible, **options)
    np.testing.assert_allclose([found.low[possible], found.high[possible]], expected, atol=1e-6)
