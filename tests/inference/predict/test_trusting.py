"""Probabilities and warnings from scores, against the arithmetic by hand."""

import numpy as np
import pytest
from scipy.special import softmax

from asae_jax import trust
from asae_jax.inference.predict.reading import ReadBatch
from asae_jax.inference.predict.scoring import ScoredBatch
from asae_jax.inference.predict.trusting import Judge


def _trust(temperature, *, threshold=0.6, method="energy"):
    gaussians = trust.ClassGaussians(
        np.eye(3, 2, dtype=np.float32), np.eye(2, dtype=np.float32), np.float32(0)
    )
    return trust.Trust(
        class_names=("a", "b", "c"),
        num_examples=100,
        conditions={},
        temperature=trust.Temperature(temperature, temperature, temperature),
        abstention=trust.Abstention(threshold, 0.05, 0.0, 0.8, 0.04, (0.0, 0.1)),
        conformal=trust.Conformal("lac", 0.1, 0.7),
        outliers=trust.Outliers(method, 0.95, -2.0 if method == "energy" else 1.0, gaussians),
    )


def _scored(*logits):
    """Runs' logits `[views, n, classes]`."""
    n = logits[0].shape[1]
    features = np.linspace(0, 3, 2 * n, dtype=np.float32).reshape(n, 2)
    return ScoredBatch(ReadBatch([None] * n, [""] * n, [], [None] * n), logits, features, np.zeros((n, 2, 2)))


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 2, (2, 1, 9, 3)).astype(np.float32)


@pytest.mark.parametrize("method", trust.ood.METHODS)
def test_one_run_and_one_view_are_judged_as_the_run_says(logits, method):
    known, scored = _trust(1.7, method=method), _scored(logits[0])
    judge = Judge([known], num_views=1)
    expected = known.apply(logits[0, 0], scored.features)
    probabilities = judge.probabilities(scored)
    np.testing.assert_allclose(probabilities, expected.probabilities, rtol=1e-12)
    found = judge.trusted(scored, probabilities)
    assert [t.abstain for t in found] == expected.abstain.tolist()
    assert [t.ood for t in found] == expected.is_ood.tolist()
    assert 0 < sum(t.ood for t in found) < 9
    np.testing.assert_allclose([t.ood_score for t in found], expected.ood_score)
    for t, chosen, p in zip(found, expected.sets, probabilities, strict=True):
        assert sorted(t.conformal_set) == np.flatnonzero(chosen).tolist()
        assert p[list(t.conformal_set)].tolist() == sorted(p[list(t.conformal_set)], reverse=True)
    assert judge.notes() == []


def test_every_run_is_calibrated_before_the_average(logits):
    judge = Judge([_trust(2.0), None], num_views=1)
    expected = (softmax(logits[0, 0].astype(float) / 2, -1) + softmax(logits[1, 0].astype(float), -1)) / 2
    probabilities = judge.probabilities(_scored(*logits))
    np.testing.assert_allclose(probabilities, expected, rtol=1e-12)
    found = judge.trusted(_scored(*logits), probabilities)
    assert [t.abstain for t in found] == (expected.max(1) < 0.6).tolist(), "temperature applies once"
    assert "not promised" in judge.notes()[0]


def test_views_are_averaged_as_probabilities(logits):
    views = logits[:, 0]  # two views of one run
    found = Judge([None], num_views=2).probabilities(_scored(views))
    np.testing.assert_allclose(found, softmax(views.astype(float), -1).mean(0), rtol=1e-12)


def test_without_measures_nothing_is_flagged(logits):
    judge = Judge([None], num_views=1)
    assert not judge.has_measures
    assert judge.trusted(_scored(logits[0]), judge.probabilities(_scored(logits[0]))) == [None] * 9
    assert "no measures of trust" in judge.notes()[0]


def test_a_target_that_cannot_be_reached_is_said(logits):
    judge = Judge([_trust(1.0, threshold=2.0)], num_views=1)
    assert "5 %" in judge.notes()[0]
    assert all(t.abstain for t in judge.trusted(_scored(logits[0]), judge.probabilities(_scored(logits[0]))))


def test_scores_that_are_not_finite_pass_without_a_word(logits):
    logits[0, 0, 3] = np.nan, np.inf, 0
    judge = Judge([_trust(1.5)], num_views=1)
    probabilities = judge.probabilities(_scored(logits[0]))
    assert np.isnan(probabilities[3]).any()
    assert len(judge.trusted(_scored(logits[0]), probabilities)) == 9
