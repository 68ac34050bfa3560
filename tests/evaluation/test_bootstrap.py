"""Intervals beside a slow bootstrap, and simulations with known answers."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax

from asae_jax.evaluation.bootstrap import (
    MIN_GROUPS,
    bootstrap_interval,
    bootstrap_intervals,
    few_groups,
    few_resamples,
    interval_unit,
    numbers_of_groups,
    percentiles,
    resampled_weights,
)
from asae_jax.evaluation.metrics import evaluate_scores, wilson_interval
from asae_jax.input.groups import one_by_one


def scored(num_examples=500, num_classes=14, seed=0, used=None):
    """Log-probabilities that are right about half the time; labels from the first `used` classes only."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(used or num_classes, size=num_examples)
    scores = rng.normal(size=(num_examples, num_classes)) + 2.0 * np.eye(num_classes)[labels]
    return log_softmax(scores, axis=1), labels


def names(num_classes):
    return [f"class {i}" for i in range(num_classes)]


def test_bootstrap_equals_a_slow_one():
    """The same draws, example by example, through the metrics of the drawn examples themselves."""
    log_probs, labels = scored(num_examples=60, num_classes=3)
    found = evaluate_scores(log_probs, labels, names(3), bootstrap=40, seed=7)["intervals"]
    rng = np.random.default_rng(7)
    draws = [rng.integers(60, size=60) for _ in range(40)]
    resampled = [evaluate_scores(log_probs[d], labels[d], names(3), bootstrap=0) for d in draws]
    whole = evaluate_scores(log_probs, labels, names(3), bootstrap=0)
    assert found.pop("accuracy") == list(wilson_interval(round(60 * whole["accuracy"]), 60))
    for name, interval in found.items():
        values = np.array([r[name] for r in resampled])
        if name == "ece":  # biased: moved back by its bias
            values = np.maximum(values - values.mean() + whole[name], 0)
        np.testing.assert_allclose(interval, np.percentile(values, [2.5, 97.5]), rtol=1e-9)
    assert list(found) == ["balanced_accuracy", "macro_f1", "weighted_f1", "nll", "ece"]


def test_bootstrap_of_groups_equals_a_slow_one():
    log_probs, labels = scored(num_examples=60, num_classes=3)
    groups = np.array([f"patient {i % 7}" for i in range(60)])
    found = evaluate_scores(log_probs, labels, names(3), groups=groups, bootstrap=30, seed=7)["intervals"]
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    rng = np.random.default_rng(7)
    draws = [np.concatenate([members[g] for g in rng.integers(7, size=7)]) for _ in range(30)]
    resampled = [evaluate_scores(log_probs[d], labels[d], names(3), bootstrap=0) for d in draws]
    whole = evaluate_scores(log_probs, labels, names(3), bootstrap=0)
    for name, interval in found.items():
        values = np.array([r[name] for r in resampled])
        if name == "ece":  # biased: moved back by its bias
            values = np.maximum(values - values.mean() + whole[name], 0)
        count = 60**2 / (4 * 9**2 + 3 * 8**2)  # nearly 7
        low = 100 * stats.norm.cdf(np.sqrt(count / (count - 1)) * stats.t.ppf(0.025, count - 1))
        np.testing.assert_allclose(interval, np.percentile(values, [low, 100 - low]), rtol=1e-9)


def test_resamples_that_agree_give_no_interval():
    """Also where they differ by rounding, or in fewer than the percentiles look at."""
    assert bootstrap_interval(np.full(1000, 0.8)) is None
    assert bootstrap_interval(0.8 + 1e-16 * np.arange(1000)) is None
    assert bootstrap_interval(np.r_[np.ones(990), np.zeros(10)]) is None
    assert bootstrap_interval(np.linspace(0, 1, 1001)) == pytest.approx([0.025, 0.975])


def test_few_groups_have_percentiles_further_out_and_many_the_usual_ones():
    assert percentiles() == (2.5, 97.5)
    assert percentiles(np.arange(100_000)) == pytest.approx((2.5, 97.5), abs=1e-3)
    assert percentiles(np.arange(5)) == pytest.approx((0.0954, 99.9046), abs=1e-3)


def test_groups_of_unequal_size_count_as_their_effective_number():
    """(10 + 10 + 5 + 5)^2 / (100 + 100 + 25 + 25) = 3.6; of one that outweighs all others two are taken."""
    assert percentiles(np.repeat(np.arange(4), [10, 10, 5, 5])) == pytest.approx(
        [100 * stats.norm.cdf(side * np.sqrt(3.6 / 2.6) * stats.t.ppf(0.975, 2.6)) for side in (-1, 1)]
    )
    assert percentiles(np.repeat(np.arange(3), [1000, 1, 1])) == percentiles(np.arange(2))


@pytest.mark.parametrize(
    "sizes",
    [
        [300] * 3 + [5] * 6,  # by the number of groups: 0.91
        [100] * 5 + [1] * 50,  # five patients, and images of nobody known: 0.90
    ],
)
def test_intervals_over_unequal_patients_hold_the_true_share_as_often_as_they_say(sizes):
    rng = np.random.default_rng(0)
    groups, held = np.repeat(np.arange(len(sizes)), sizes), 0
    for _ in range(400):
        shares = 0.8 + 0.05 * rng.normal(size=len(sizes))
        right = rng.random(len(groups)) < shares[groups]
        (low, high), = bootstrap_intervals(
            lambda weights, right=right: {"share": weights @ right / weights.sum(1)},
            len(groups), groups=groups, resamples=500, seed=0,
        ).values()  # fmt: skip
        held += low <= 0.8 <= high
    assert held / 400 > 0.94


def test_intervals_over_six_patients_hold_the_true_mean_nearly_as_often_as_they_say():
    rng = np.random.default_rng(0)
    groups, held = np.repeat(np.arange(6), 4), 0
    for _ in range(600):
        values = np.repeat(rng.normal(size=6), 4)
        (low, high), = bootstrap_intervals(
            lambda weights, values=values: {"mean": weights @ values / weights.sum(1)},
            24, groups=groups, resamples=1000, seed=0,
        ).values()  # fmt: skip
        held += low <= 0 <= high
    assert 0.9 < held / 600 < 0.96  # the plain percentiles: 0.85


def test_what_is_the_same_in_all_resamples_has_no_interval_but_wilsons():
    labels = np.arange(20) % 2
    log_probs = np.log(np.where(np.eye(2)[labels] > 0, 0.9, 0.1))
    found = evaluate_scores(log_probs, labels, names(2), bootstrap=50)["intervals"]
    assert found["accuracy"] == pytest.approx([0.8389, 1], abs=1e-4)
    assert not {"balanced_accuracy", "macro_f1", "weighted_f1"} & set(found)
    groups = np.arange(20) % MIN_GROUPS
    assert "accuracy" not in evaluate_scores(
        log_probs, labels, names(2), groups=groups, bootstrap=50
    )["intervals"]  # fmt: skip
    wrong = evaluate_scores(log_probs, 1 - labels, names(2), bootstrap=50)["intervals"]
    assert wrong["accuracy"] == pytest.approx([0, 0.1611], abs=1e-4)


def test_bootstrap_repeats_with_its_seed_whatever_the_chunk(monkeypatch):
    log_probs, labels = scored(num_examples=100)

    def intervals(seed):
        return evaluate_scores(log_probs, labels, names(14), bootstrap=50, seed=seed)["intervals"]

    first = intervals(0)
    monkeypatch.setattr("asae_jax.evaluation.bootstrap.MAX_WEIGHTS", 700)
    assert intervals(0) == first
    assert intervals(1) != first


def coverage(make, runs=300):
    """How often the interval of the accuracy holds the true accuracy, 0.8."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(runs):
        right, groups = make(rng)
        log_probs = np.log(np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]))
        labels = np.zeros(len(right), int)
        found = evaluate_scores(log_probs, labels, ["a", "b"], groups=groups, bootstrap=200)
        low, high = found["intervals"]["accuracy"]
        hits += low <= 0.8 <= high
    return hits / runs


def test_intervals_cover_the_truth():
    # 95 % is meant; 300 runs scatter by 1.3 points, and 200 resamples make each interval a little rough.
    assert 0.90 <= coverage(lambda rng: (rng.random(200) < 0.8, None)) <= 0.99


def test_intervals_of_groups_cover_the_truth_where_those_of_images_do_not():
    def patients(rng):  # 40 patients of 10 images, each patient wholly right or wholly wrong
        return np.repeat(rng.random(40) < 0.8, 10), np.repeat(np.arange(40), 10)

    assert coverage(patients, runs=150) >= 0.88
    assert coverage(lambda rng: (patients(rng)[0], None), runs=150) < 0.6


@pytest.mark.parametrize(("groups", "given"), [(1, False), (MIN_GROUPS - 1, False), (MIN_GROUPS, True)])
def test_few_groups_give_no_intervals(groups, given):
    log_probs, labels = scored(num_examples=60, num_classes=3)
    found = evaluate_scores(log_probs, labels, names(3), groups=np.arange(60) % groups, bootstrap=10)
    assert bool(found["intervals"]) is given


def calibrated(rng, num_examples, overconfident):
    """Two classes; a prediction of probability p is right in p - `overconfident` of the cases."""
    p = 0.5 + 0.5 * rng.beta(4, 1.5, size=num_examples)
    right = rng.random(num_examples) < p - overconfident
    return np.log(np.stack([p, 1 - p], 1)), np.where(right, 0, 1)


@pytest.mark.parametrize("overconfident", [0.0, 0.05, 0.15])
def test_the_interval_of_the_calibration_error_holds_it_and_covers_its_mean(overconfident):
    """The percentiles themselves may lie above the value: 0.025 with 0.029 to 0.078 was reported once."""
    rng = np.random.default_rng(0)
    makes = [calibrated(rng, 300, overconfident) for _ in range(400)]
    mean = np.mean([evaluate_scores(*make, ["a", "b"], bootstrap=0)["ece"] for make in makes])
    covered = 0
    for make in makes[:100]:
        found = evaluate_scores(*make, ["a", "b"], bootstrap=200)
        low, high = found["intervals"]["ece"]
        assert 0 <= low <= found["ece"] <= high
        covered += low <= mean <= high
    assert covered >= 88  # of 100; 95 are meant, and it is on the safe side where the network is calibrated


@pytest.mark.parametrize("groups", [None, np.arange(30) // 4])
def test_every_resample_draws_as_many_groups_as_there_are(groups):
    (weights,) = resampled_weights(30, groups=groups, resamples=200, seed=0)
    groups = np.arange(30) if groups is None else groups
    _, first = np.unique(groups, return_index=True)
    np.testing.assert_array_equal(weights[:, first].sum(1), len(first))
    np.testing.assert_array_equal(weights, weights[:, first][:, groups])  # whole groups
    assert 0.9 < weights.mean() < 1.1


def test_the_interval_of_a_mean_is_that_of_the_central_limit():
    values = np.random.default_rng(0).normal(size=400)
    intervals = bootstrap_intervals(
        lambda weights: {"mean": weights @ values / weights.sum(1)}, 400, groups=None, resamples=4000, seed=0
    )
    expected = values.mean() + np.array([-1.96, 1.96]) * values.std() / 20
    np.testing.assert_allclose(intervals["mean"], expected, atol=0.01)


@pytest.mark.parametrize("patients", [MIN_GROUPS - 1, MIN_GROUPS])
def test_images_of_no_group_do_not_count_towards_the_patients_that_an_interval_takes(patients):
    log_probs, labels = scored(num_examples=200, num_classes=3)
    listed = np.array([f"p{number % patients}" if number < 180 else "no group" for number in range(200)])
    groups = one_by_one(listed, np.arange(200).astype(str))
    found = evaluate_scores(log_probs, labels, names(3), groups=groups, bootstrap=50)["intervals"]
    assert bool(found) == (patients >= MIN_GROUPS) == (interval_unit(groups, 50) == "groups")


def test_what_is_said_of_groups_is_by_the_number_that_intervals_go_by():
    """Nine patients, six of whom hardly count: (900 + 30)^2 / (3 * 300^2 + 6 * 5^2) = 3.2."""
    groups = np.repeat(np.arange(9), [300] * 3 + [5] * 6)
    assert numbers_of_groups(groups) == {"num_groups": 9, "effective_groups": 3}
    assert few_groups(9, 3) == "only 9 groups, worth 3 of equal size: no interval is sure"
    assert few_groups(4, 4) == "only 4 groups: no intervals, which take 5 or more"
    assert few_groups(1, 1).startswith("only 1 group:")
    assert few_groups(9, 9) == "only 9 groups: no interval is sure"
    assert few_groups(*numbers_of_groups(np.repeat(np.arange(10), [20] * 5 + [16] * 5)).values()) == ""


def test_images_of_no_group_are_worth_no_groups():
    """Seven patients of five images beside 300 images of nobody are seven."""
    listed = np.array(["no group"] * 300 + [f"p{number}" for number in np.repeat(np.arange(7), 5)])
    groups = one_by_one(listed, np.arange(len(listed)).astype(str))
    assert numbers_of_groups(groups) == {"num_groups": 7, "effective_groups": 7}
    assert numbers_of_groups(groups[:300]) == {"num_groups": 0, "effective_groups": 0}


@pytest.mark.parametrize(
    ("groups", "unit"), [(None, "images"), (5, "groups"), (4, "none: fewer than 5 groups")]
)
def test_no_unit_is_named_of_intervals_that_are_not_there(groups, unit):
    groups = None if groups is None else np.arange(20) % groups
    assert interval_unit(groups, 50) == unit
    assert interval_unit(groups, 0) == "none: eval.bootstrap=0"


@pytest.mark.parametrize(("resamples", "held"), [(20, 0.87), (99, 0.93)])
def test_so_few_resamples_hold_the_truth_less_often_which_is_said(resamples, held):
    rng = np.random.default_rng(0)
    ends = np.percentile(rng.normal(size=(4000, resamples)), percentiles(), axis=1)
    truth = rng.normal(size=4000)
    assert np.mean((ends[0] <= truth) & (truth <= ends[1])) == pytest.approx(held, abs=0.015)
    assert f"only {resamples} resamples" in few_resamples(resamples)
    assert few_resamples(0) == few_resamples(100) == ""
