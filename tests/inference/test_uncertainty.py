"""Probabilities and warnings from scores, against the arithmetic by hand."""

import numpy as np
import pytest
from scipy.special import softmax

from asae_jax.evaluation.abstention import Abstention
from asae_jax.evaluation.calibration import Temperature
from asae_jax.evaluation.conformal import Conformal
from asae_jax.evaluation.outliers import METHODS, ClassGaussians, Neighbours, Outliers
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.inference.uncertainty import UncertaintyEstimator


def _estimates(temperature, *, threshold=0.6, method="energy"):
    gaussians = ClassGaussians(np.eye(3, 2, dtype=np.float32), np.eye(2, dtype=np.float32), np.float32(0))
    diagonal = Neighbours(np.full((1, 2), np.sqrt(0.5), np.float32))
    reference = {"neighbours": diagonal, "distance": gaussians}.get(method)
    return Uncertainty(
        class_names=("a", "b", "c"),
        num_examples=100,
        conditions={},
        temperature=Temperature(temperature, temperature, temperature),
        abstention=Abstention(threshold, 0.05, 0.0, 0.8, 0.04, (0.0, 0.1)),
        conformal=Conformal("lac", 0.1, 0.7),
        outliers=Outliers(method, 0.95, {"energy": -2.0, "neighbours": 0.5}.get(method, 1.0), reference),
    )


def _features(n):
    return np.linspace(0, 3, 2 * n, dtype=np.float32).reshape(n, 2)


def _estimate(estimator, logits):
    """(probabilities, estimates) of runs' logits `[runs, n, classes]`."""
    probabilities = estimator.probabilities(logits)
    return probabilities, estimator.estimate(probabilities, logits[0], _features(len(probabilities)))


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 2, (2, 9, 3)).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_one_run_and_one_view_are_judged_as_the_run_says(logits, method):
    known = _estimates(1.7, method=method)
    estimator = UncertaintyEstimator([known])
    expected = known.apply(logits[0], _features(9))
    probabilities, found = _estimate(estimator, logits[:1])
    np.testing.assert_allclose(probabilities, expected.probabilities, rtol=1e-12)
    assert [t.abstain for t in found] == expected.abstain.tolist()
    assert [t.is_outlier for t in found] == expected.is_outlier.tolist()
    assert 0 < sum(t.is_outlier for t in found) < 9
    np.testing.assert_allclose([t.outlier_score for t in found], expected.outlier_score)
    for t, chosen, p in zip(found, expected.sets, probabilities, strict=True):
        assert sorted(t.conformal_set) == np.flatnonzero(chosen).tolist()
        assert p[list(t.conformal_set)].tolist() == sorted(p[list(t.conformal_set)], reverse=True)
    assert estimator.notes() == []


def test_every_run_is_calibrated_before_the_average(logits):
    estimator = UncertaintyEstimator([_estimates(2.0), None])
    expected = (softmax(logits[0].astype(float) / 2, -1) + softmax(logits[1].astype(float), -1)) / 2
    probabilities, found = _estimate(estimator, logits)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-12)
    assert [t.abstain for t in found] == (expected.max(1) < 0.6).tolist(), "temperature applies once"
    assert "not promised" in estimator.notes()[0]


def test_what_was_averaged_without_a_promise_is_said():
    known = _estimates(1.7)
    note, remedy = UncertaintyEstimator([known, None], of_one_view=True).notes()
    assert "Several runs and views were averaged" in note
    assert "chosen for one run and one view" in note
    assert "evaluate --tta" in remedy
    assert "nor how often a set of possible classes has the true one" in note
    note, _ = UncertaintyEstimator([known], of_one_view=True).notes()
    assert "Several views were averaged, while the threshold of certainty was chosen for one view" in note


@pytest.mark.parametrize(
    ("others", "of_one_view", "confidence"), [([], False, 0.9), ([None], False, None), ([], True, None)]
)
def test_how_often_sets_are_right_is_known_only_of_what_they_were_chosen_for(others, of_one_view, confidence):
    thresholds = UncertaintyEstimator([_estimates(1.7), *others], of_one_view=of_one_view).thresholds
    assert thresholds.confidence == confidence


def test_without_estimates_nothing_is_flagged(logits):
    estimator = UncertaintyEstimator([None])
    assert not estimator.available
    assert _estimate(estimator, logits[:1])[1] == [None] * 9
    assert "no uncertainty estimates" in estimator.notes()[0]


def test_a_target_that_cannot_be_reached_is_said(logits):
    estimator = UncertaintyEstimator([_estimates(1.0, threshold=2.0)])
    assert "5 %" in estimator.notes()[0]
    assert all(t.abstain for t in _estimate(estimator, logits[:1])[1])


def test_scores_that_are_not_finite_pass_without_a_word(logits):
    logits[0, 3] = np.nan, np.inf, 0
    probabilities, found = _estimate(UncertaintyEstimator([_estimates(1.5)]), logits[:1])
    assert np.isnan(probabilities[3]).any()
    assert len(found) == 9


def test_as_many_are_unlike_usually_as_lie_beyond_the_limit():
    assert UncertaintyEstimator([_estimates(1.0)]).usually_unlike == pytest.approx(0.05)
    assert UncertaintyEstimator([None]).usually_unlike is None
