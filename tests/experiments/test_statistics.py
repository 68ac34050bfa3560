"""The statistics against SciPy's own tests, closed forms and properties; the verdicts they lead to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asae_jax.evaluation.bootstrap import MIN_GROUPS, percentile_interval
from asae_jax.evaluation.metrics import confusion_matrix
from asae_jax.experiments.results import METRICS, FinishedRun, Results
from asae_jax.experiments.statistics import (
    Difference,
    Estimate,
    Outcome,
    SignTest,
    Verdict,
    bootstrap_confusions,
    compare,
    falls_short,
    holm,
    paper_verdict,
    sign_test,
    t_estimate,
    t_test,
    verdict,
    why_undecided,
)

VALUES = np.array([0.71, 0.74, 0.69, 0.77, 0.72])
OTHERS = np.array([0.70, 0.70, 0.70, 0.71, 0.73])


def test_the_interval_of_a_mean_is_scipys():
    mean, low, high = t_estimate(VALUES)
    expected = stats.ttest_1samp(VALUES, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((VALUES.mean(), expected.low, expected.high))


def test_three_values_by_hand():
    # mean 2, standard error 1/sqrt(3), t(0.975, 2) = 4.302653
    mean, low, high = t_estimate(np.array([1.0, 2.0, 3.0]))
    assert (mean, low, high) == pytest.approx((2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


@pytest.mark.parametrize("values", [[0.5], [0.166, 0.296]])
def test_one_or_two_values_have_no_interval_and_no_p(values):
    """Of two seeds 23.1 +- 82.4 was reported once."""
    assert t_estimate(np.array(values)) == (pytest.approx(np.mean(values)), None, None)
    assert t_test(np.array(values)) is None


def test_the_paired_test_is_scipys():
    assert t_test(VALUES - OTHERS) == pytest.approx(stats.ttest_rel(VALUES, OTHERS).pvalue)


def test_equal_differences():
    assert t_test(np.zeros(3)) == 1.0
    assert t_test(np.full(3, 0.25)) == 0.0
    assert t_estimate(np.full(3, 0.25)) == (0.25, 0.25, 0.25)


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=8, unique=True))
def test_the_interval_holds_zero_exactly_when_p_is_above_a_twentieth(numbers):
    values = np.array(numbers, np.float64)
    _, low, high = t_estimate(values)
    p = t_test(values)
    if abs(p - 0.05) > 1e-9:
        assert (low <= 0 <= high) == (p > 0.05)


def test_with_one_seed_the_sign_test_is_mcnemars_exact_test():
    right = np.array([[True] * 10 + [False] * 3 + [True] * 50])
    other = np.array([[False] * 10 + [True] * 3 + [True] * 50])
    found = sign_test(right, other)
    assert found[:2] == (10, 3)
    # 2 * P(at most 3 of 13 fair coins) = 2 * (1 + 13 + 78 + 286) / 2**13
    assert found.p == pytest.approx(2 * 378 / 8192)


def test_an_image_counts_once_however_many_seeds_there_are():
    right = np.array([[True, True, False, True], [True, False, False, True]])
    other = np.array([[False, True, True, True], [False, True, False, True]])
    assert sign_test(right, other)[:2] == (1, 2)
    repeated = sign_test(np.repeat(right, 5, axis=0), np.repeat(other, 5, axis=0))
    assert repeated == sign_test(right, other)


def test_rows_that_are_right_about_the_same_images():
    right = np.array([[True, False, True]])
    assert sign_test(right, right) == (0, 0, 1.0)


@pytest.fixture(scope="module")
def predicted():
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=150)
    predictions = np.where(rng.uniform(size=(3, 150)) < 0.7, labels, rng.integers(4, size=(3, 150)))
    return labels, predictions


def test_resampled_confusions_have_the_mean_of_the_confusions(predicted):
    labels, predictions = predicted
    matrices = bootstrap_confusions(labels, predictions, 4, resamples=4000)
    np.testing.assert_array_equal(matrices.sum((-1, -2)), 150)
    for run, matrix in zip(predictions, matrices.mean(1), strict=True):
        # The standard error of a mean count n is at most sqrt(n / 4000).
        np.testing.assert_allclose(matrix, confusion_matrix(labels, run, 4), atol=5 * (60 / 4000) ** 0.5)


def test_all_runs_see_the_same_resamples(predicted):
    labels, predictions = predicted
    same = np.stack([predictions[0], predictions[1], predictions[0]])
    matrices = bootstrap_confusions(labels, same, 4, resamples=50)
    np.testing.assert_array_equal(matrices[0], matrices[2])
    np.testing.assert_array_equal(matrices[0].sum(-1), matrices[1].sum(-1))


def test_resamples_do_not_depend_on_the_chunks(predicted, monkeypatch):
    labels, predictions = predicted
    whole = bootstrap_confusions(labels, predictions, 4, resamples=30)
    monkeypatch.setattr("asae_jax.evaluation.bootstrap.MAX_WEIGHTS", 7 * labels.size)
    np.testing.assert_array_equal(bootstrap_confusions(labels, predictions, 4, resamples=30), whole)


def test_the_width_of_the_bootstrap_is_that_of_the_binomial(predicted):
    labels, predictions = predicted
    matrices = bootstrap_confusions(labels, predictions[:1], 4, resamples=4000)[0]
    accuracy = np.trace(matrices, axis1=-2, axis2=-1) / 150
    low, high = percentile_interval(accuracy)
    share = (predictions[0] == labels).mean()
    assert high - low == pytest.approx(2 * 1.96 * (share * (1 - share) / 150) ** 0.5, rel=0.08)


def test_groups_are_drawn_whole(predicted):
    labels, predictions = predicted
    matrices = bootstrap_confusions(labels, predictions, 4, groups=np.arange(150) // 50, resamples=40)
    parts = [confusion_matrix(labels[i : i + 50], predictions[0, i : i + 50], 4) for i in (0, 50, 100)]
    possible = {tuple(np.add(a * parts[0] + b * parts[1], (3 - a - b) * parts[2]).ravel())
                for a in range(4) for b in range(4 - a)}  # fmt: skip
    assert {tuple(matrix.ravel()) for matrix in matrices[0]} <= possible


def test_the_interval_over_few_patients_is_as_wide_as_student_s_t_makes_it():
    patients = np.repeat(np.arange(MIN_GROUPS), 8)
    none = dict.fromkeys(METRICS, 0.0)
    one = FinishedRun(0, none, {}, np.zeros(40, np.int64), None, None)
    results = Results(("a", "b"), (), np.zeros(40, np.int64), patients, {"x": (one,), "y": (one,)}, {})
    gaps = np.random.default_rng(0).normal(size=500)
    resampled = {"x": {0: dict.fromkeys(METRICS, gaps)}, "y": {0: dict.fromkeys(METRICS, np.zeros(500))}}
    found = compare(results, "x", "y", resampled=resampled).differences["accuracy"].over_images
    assert found == pytest.approx(tuple(percentile_interval(gaps, patients)))
    low, high = percentile_interval(gaps)
    assert found[0] < low
    assert found[1] > high


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1, never falling
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_plain_and_bonferronis(p_values):
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, p * len(p_values))


_EITHER = "other seeds or other test images could turn the sign"


def _difference(seeds, images):
    low, high = seeds or (None, None)
    return Difference(Estimate(sum(images) / 2, low, high), None, images)


def _outcome(difference, seeds):
    return Outcome(seeds, {"accuracy": difference}, SignTest(0, 0, 1.0), {}, [], [])


@pytest.mark.parametrize(
    ("seeds", "images", "expected", "reason"),
    [
        ((0.01, 0.05), (0.02, 0.04), Verdict.BETTER, ""),
        ((-0.05, -0.01), (-0.04, -0.02), Verdict.WORSE, ""),
        ((-0.01, 0.05), (0.02, 0.04), Verdict.UNDECIDED, "other seeds could turn the sign"),
        ((0.01, 0.02), (-0.01, 0.04), Verdict.UNDECIDED, "other test images could turn the sign"),
        ((-0.01, 0.02), (-0.01, 0.04), Verdict.UNDECIDED, _EITHER),
        ((0.0, 0.0), (0.0, 0.0), Verdict.UNDECIDED, _EITHER),
        (None, (0.02, 0.04), Verdict.UNDECIDED, "fewer than 3 seeds say too little about other runs"),
    ],
)  # fmt: skip
def test_both_intervals_must_lie_on_one_side(seeds, images, expected, reason):
    difference = _difference(seeds, images)
    assert verdict(difference) is expected
    assert why_undecided(_outcome(difference, (0,) if seeds is None else (0, 1, 2))) == reason


def test_a_claim_holds_by_its_sign():
    assert paper_verdict(_difference((0.01, 0.05), (0.02, 0.04)), 1.0) == "holds"
    assert paper_verdict(_difference((-0.05, -0.01), (-0.04, -0.02)), 1.0) == "does not hold"
    assert paper_verdict(_difference((-0.05, 0.01), (-0.04, 0.02)), 1.0) == "cannot be decided"


def test_a_gain_above_both_intervals_is_ruled_out():
    difference = _difference((-0.01, 0.02), (-0.01, 0.015))
    assert falls_short(difference, 2.5)
    assert not falls_short(difference, 1.8)
    assert not falls_short(_difference(None, (-0.01, 0.015)), 2.5)


@pytest.mark.parametrize(("seeds", "spread", "decided"), [(5, 0, 0.05), (5, 1, 0.083), (10, 1, 0.115)])
def test_rows_without_a_difference_are_decided_as_often_as_the_report_says(seeds, spread, decided):
    """Another mean for each sample of images, `spread` times as far as the mean over seeds varies."""
    rng, runs = np.random.default_rng(0), 3000
    found = []
    for _ in range(runs):
        shift = spread * rng.normal()
        over_seeds = t_estimate(shift + np.sqrt(seeds) * rng.normal(size=seeds))
        ends = (over_seeds.mean - 1.96 * spread, over_seeds.mean + 1.96 * spread)
        found.append(verdict(Difference(over_seeds, None, ends)) is not Verdict.UNDECIDED)
    assert np.mean(found) == pytest.approx(decided, abs=0.016)
