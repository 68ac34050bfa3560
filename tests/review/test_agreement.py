"""Agreement against published examples, scikit-learn and closed forms."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from asae_jax.evaluation.bootstrap import MIN_GROUPS, percentile_interval, resampled_weights
from asae_jax.evaluation.metrics import wilson_interval
from asae_jax.review.agreement import NOBODY, alpha, compare, numbered


def _pair(table, **changes):
    """The two people of a table of counts."""
    table = np.array(table)
    first, second = np.indices(table.shape)
    options = {"groups": None, "resamples": 0} | changes
    repeats = table.ravel()
    return compare(first.ravel().repeat(repeats), second.ravel().repeat(repeats), len(table), **options)


def test_cohen_s_own_example():
    """Cohen (1960), table 1, of 200: kappa 0.492."""
    pair = _pair([[88, 14, 18], [10, 40, 10], [2, 6, 12]])
    assert pair.agreement.value == pytest.approx(0.70)
    assert pair.kappa.value == pytest.approx(0.492, abs=0.0005)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_and_table_as_scikit_learn_has_them(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 5, (2, 60))
    second = np.where(rng.random(60) < 0.6, first, second)
    pair = compare(first, second, 5, groups=None, resamples=0)
    assert pair.kappa.value == pytest.approx(cohen_kappa_score(first, second))
    assert np.array_equal(pair.table, confusion_matrix(first, second, labels=range(5)))
    assert pair.same == (first == second).sum()


def test_the_share_has_wilson_s_interval_over_images():
    pair = _pair([[40, 5], [3, 52]])
    assert (pair.agreement.low, pair.agreement.high) == wilson_interval(92, 100)


def _standard_error(table):
    """Of kappa, asymptotic: Fleiss, Cohen and Everitt (1969), eq. 13."""
    p = np.array(table) / np.sum(table)
    rows, columns = p.sum(1), p.sum(0)
    po, pe = np.trace(p), rows @ columns
    diagonal = sum(p[i, i] * ((1 - pe) - (columns[i] + rows[i]) * (1 - po)) ** 2 for i in range(len(p)))
    off = sum(
        p[i, j] * (columns[i] + rows[j]) ** 2 for i in range(len(p)) for j in range(len(p)) if i != j
    ) * (1 - po) ** 2  # fmt: skip
    variance = (diagonal + off - (po * pe - 2 * pe + po) ** 2) / (1 - pe) ** 4
    return math.sqrt(variance / np.sum(table))


@pytest.mark.parametrize("table", [[[150, 20, 5], [12, 90, 23], [3, 17, 80]], [[300, 40], [25, 35]]])
def test_the_interval_of_kappa_is_as_wide_as_its_standard_error_says(table):
    pair = _pair(table, resamples=4000)
    width = 2 * 1.96 * _standard_error(table)
    assert pair.kappa.high - pair.kappa.low == pytest.approx(width, rel=0.06)
    assert (pair.kappa.high + pair.kappa.low) / 2 == pytest.approx(pair.kappa.value, abs=0.1 * width)


def test_images_of_one_patient_widen_the_interval():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(20), 30)
    differs = np.repeat(rng.random(20) < 0.3, 30)  # a patient's images all, or none
    first = rng.integers(0, 4, 600)
    second = np.where(differs, (first + 1) % 4, first)
    by_image = compare(first, second, 4, groups=None, resamples=1000)
    by_patient = compare(first, second, 4, groups=patients, resamples=1000)
    assert by_patient.kappa.value == by_image.kappa.value
    for name in ("agreement", "kappa"):
        narrow, wide = getattr(by_image, name), getattr(by_patient, name)
        assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_the_interval_over_few_patients_is_as_wide_as_student_s_t_makes_it():
    patients = np.repeat(np.arange(MIN_GROUPS), 6)
    second = np.arange(30) % 6 < np.repeat([1, 2, 3, 4, 6], 6)  # the first says 1 of all
    pair = compare(np.ones(30, int), second.astype(int), 2, groups=patients, resamples=400)
    weights = np.concatenate([*resampled_weights(30, groups=patients, resamples=400, seed=0)])
    shares = weights @ second / weights.sum(1)
    assert [pair.agreement.low, pair.agreement.high] == pytest.approx(percentile_interval(shares, patients))
    low, high = percentile_interval(shares)
    assert pair.agreement.low < low
    assert pair.agreement.high > high


def test_two_patients_give_no_interval():
    pair = _pair([[5, 1], [1, 5]], groups=np.repeat([0, 1], 6), resamples=100)
    assert pair.agreement.low is None
    assert pair.kappa.low is None


def test_who_always_agrees_has_kappa_one_without_an_interval():
    pair = _pair([[5, 0], [0, 7]], resamples=100)
    assert pair.kappa.value == 1
    assert pair.kappa.low is None
    assert pair.agreement.low < 1


@pytest.mark.parametrize(("wrong", "share"), [(0, 1.0), (1, 0.8), (5, 0.0)])
def test_patients_who_are_all_alike_give_the_share_no_interval(wrong, share):
    """Every resample of whole patients then has the same share, which does not make it certain."""
    first = np.arange(30) % 3
    second = np.where(np.arange(30) % 5 < wrong, (first + 1) % 3, first)
    pair = compare(first, second, 3, groups=np.repeat(np.arange(6), 5), resamples=200)
    assert pair.agreement.value == pytest.approx(share)
    assert (pair.agreement.low, pair.agreement.high) == (None, None)
    assert pair.agreement.said(percent=True) == f"{100 * share:.1f} %"


def test_kappa_of_one_class_only_is_not_defined():
    pair = _pair([[9, 0], [0, 0]], resamples=100)
    assert pair.agreement.value == 1
    assert pair.kappa.value is None


def test_chance_agreement_is_kappa_zero():
    assert _pair([[16, 24], [24, 36]]).kappa.value == pytest.approx(0, abs=1e-12)


_ = NOBODY
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
).T


def test_krippendorff_s_own_example_with_missing_labels():
    """Krippendorff (2011), example C, nominal: alpha 0.743."""
    votes = np.where(KRIPPENDORFF == NOBODY, NOBODY, KRIPPENDORFF - 1)
    votes = votes[(votes != NOBODY).sum(1) > 1]
    assert alpha(votes, 5, groups=None, resamples=0).value == pytest.approx(0.743, abs=0.0005)


def test_krippendorff_s_example_of_two_people():
    """Krippendorff (2011), example A: two observers, ten units, binary: alpha 0.095."""
    votes = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]).T
    assert alpha(votes, 2, groups=None, resamples=0).value == pytest.approx(0.095, abs=0.0005)


def test_alpha_has_an_interval_that_holds_it():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 200)
    votes = np.stack([np.where(rng.random(200) < 0.8, truth, rng.integers(0, 3, 200)) for _ in range(3)], 1)
    measured = alpha(votes, 3, groups=None, resamples=500)
    assert measured.low < measured.value < measured.high


def test_numbers_of_classes():
    assert numbered(["b", "", "a"], ("a", "b")).tolist() == [1, NOBODY, 0]
