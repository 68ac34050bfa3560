"""Metrics beside scikit-learn, SciPy and slow references."""

import json
import warnings

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax
from sklearn import metrics as sklearn

from asae_jax.evaluation.metrics import (
    Scored,
    clopper_pearson_bound,
    confusion_matrix,
    evaluate_scores,
    per_class_scores,
    summarise,
    weighted_confusion,
    wilson_interval,
)


def scored(num_examples=500, num_classes=14, seed=0, used=None):
    """Log-probabilities that are right about half the time; labels from the first `used` classes only."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(used or num_classes, size=num_examples)
    scores = rng.normal(size=(num_examples, num_classes)) + 2.0 * np.eye(num_classes)[labels]
    return log_softmax(scores, axis=1), labels


def names(num_classes):
    return [f"class {i}" for i in range(num_classes)]


def test_confusion_matrix_by_hand():
    found = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 4)
    np.testing.assert_array_equal(found, [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "predictions"), [([0, 1], [0]), ([0, 3], [0, 0]), ([0, 0], [0, -1]), ([[0]], [[0]])], ids=str
)
def test_confusion_matrix_refuses_what_does_not_fit(labels, predictions):
    with pytest.raises(ValueError, match="must"):
        confusion_matrix(np.array(labels), np.array(predictions), 3)


@pytest.mark.parametrize("used", [14, 9], ids=["all classes occur", "five classes without support"])
def test_equals_scikit_learn(used):
    log_probs, labels = scored(used=used)
    predictions = log_probs.argmax(1)
    found = evaluate_scores(log_probs, labels, names(14), bootstrap=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        balanced = sklearn.balanced_accuracy_score(labels, predictions)
    expected = {
        "accuracy": sklearn.accuracy_score(labels, predictions),
        "balanced_accuracy": balanced,
        "macro_f1": sklearn.f1_score(labels, predictions, average="macro"),
        "weighted_f1": sklearn.f1_score(labels, predictions, average="weighted"),
        "nll": sklearn.log_loss(labels, np.exp(log_probs), labels=range(14)),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(
        found["confusion_matrix"], sklearn.confusion_matrix(labels, predictions, labels=range(14))
    )
    columns = sklearn.precision_recall_fscore_support(labels, predictions, labels=range(14), zero_division=0)
    rows = np.array([list(row.values()) for row in found["per_class"].values()])
    np.testing.assert_allclose(rows, np.transpose(columns), rtol=1e-12)
    assert list(found["per_class"]["class 0"]) == ["precision", "recall", "f1", "support"]


def test_means_over_labels_take_the_same_classes_for_f1_and_recall():
    """As scikit-learn's with `labels=` those that occur; nothing else changes."""
    log_probs, labels = scored(used=9)
    predictions, present = log_probs.argmax(1), np.unique(labels)
    usual = evaluate_scores(log_probs, labels, names(14), bootstrap=20)
    found = evaluate_scores(log_probs, labels, names(14), bootstrap=20, means_over_labels=True)
    expected = sklearn.f1_score(labels, predictions, labels=present, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected, rel=1e-12)
    assert found["macro_f1"] == pytest.approx(usual["macro_f1"] * 14 / 9, rel=1e-9)
    low, high = found["intervals"]["macro_f1"]
    assert low < found["macro_f1"] < high
    assert {name for name in usual if found[name] != usual[name]} == {"macro_f1", "intervals"}


def test_where_all_classes_occur_both_means_are_the_same():
    log_probs, labels = scored()
    found = evaluate_scores(log_probs, labels, names(14), bootstrap=5, means_over_labels=True)
    assert found == evaluate_scores(log_probs, labels, names(14), bootstrap=5)


def test_a_class_that_is_neither_true_nor_predicted_changes_nothing():
    confusion = confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    padded = np.pad(confusion, (0, 1))
    expected = {name: float(value) for name, value in summarise(confusion).items()}
    assert summarise(padded) == pytest.approx(expected)
    assert [float(column[2]) for column in per_class_scores(padded)] == [0.0, 0.0, 0.0, 0.0]


def test_stacks_of_confusion_matrices():
    stack = np.random.default_rng(0).integers(5, size=(3, 2, 4, 4))
    found = summarise(stack)
    for i, j in np.ndindex(3, 2):
        one = {name: float(value) for name, value in summarise(stack[i, j]).items()}
        assert {name: value[i, j] for name, value in found.items()} == pytest.approx(one)


def slow_ece(log_probs, labels, bins=15):
    """Guo et al., eq. (3), bin by bin."""
    confidence, right = np.exp(log_probs).max(1), log_probs.argmax(1) == labels
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("num_classes", [2, 14])
def test_ece_equals_a_slow_reference(num_classes):
    log_probs, labels = scored(num_classes=num_classes)
    found = evaluate_scores(log_probs, labels, names(num_classes), bootstrap=0)
    assert found["ece"] == pytest.approx(slow_ece(log_probs, labels), rel=1e-9)


def test_ece_by_hand():
    # Confidence 0.8 four times, right three times: |0.75 - 0.8|; certain once and wrong: 1.
    log_probs = np.log([[0.8, 0.2]] * 4 + [[1.0, 1e-30]])
    found = evaluate_scores(log_probs, np.array([0, 0, 0, 1, 1]), ["a", "b"], bootstrap=0)
    assert found["ece"] == pytest.approx(0.8 * 0.05 + 0.2 * 1.0)


def test_the_report_is_plain_python_with_the_fields_of_the_contract():
    log_probs, labels = scored()
    found = evaluate_scores(log_probs, labels, np.array(names(14)), bootstrap=20)
    assert list(found) == [
        "num_examples", "accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "nll", "ece",
        "per_class", "confusion_matrix", "class_names", "intervals", "resamples",
    ]  # fmt: skip
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["num_examples"] == 500
    assert isinstance(found["per_class"]["class 3"]["support"], int)
    assert found["class_names"] == names(14)


def test_a_perfect_and_certain_model():
    log_probs = np.where(np.eye(3, dtype=bool), 0.0, -1e4)
    found = evaluate_scores(log_probs, np.arange(3), names(3), bootstrap=50)
    ones = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
    assert [found[name] for name in ones] == [1.0] * 4
    assert [found["nll"], found["ece"]] == [0.0, 0.0]
    # All resamples agree, which does not make it certain: Wilson's interval of 3 of 3 right.
    assert found["intervals"] == {"accuracy": [pytest.approx(0.4385, abs=1e-4), 1.0]}


BAD = {
    "no examples": (np.zeros((0, 3)), np.zeros(0, int), names(3), None),
    "lengths differ": (np.zeros((4, 3)), np.zeros(3, int), names(3), None),
    "a NaN": (np.full((1, 3), np.nan), np.zeros(1, int), names(3), None),
    "an infinity": (np.array([[0.0, -np.inf]]), np.zeros(1, int), names(2), None),
    "a label beyond the classes": (np.zeros((1, 3)), np.array([3]), names(3), None),
    "too few names": (np.zeros((1, 3)), np.zeros(1, int), names(2), None),
    "a name twice": (np.zeros((1, 3)), np.zeros(1, int), ["a", "b", "a"], None),
    "too few groups": (np.zeros((2, 3)), np.zeros(2, int), names(3), ["p1"]),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses(case):
    log_probs, labels, class_names, groups = BAD[case]
    with pytest.raises(ValueError, match=r"need|must"):
        evaluate_scores(log_probs, labels, class_names, groups=groups, bootstrap=10)


def test_weights_count_examples_several_times():
    labels, predictions = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])
    weights = np.array([[2, 0, 1, 3], [0, 0, 0, 0]])
    found = weighted_confusion(labels, predictions, weights.astype(float), 4)
    expected = confusion_matrix(np.repeat(labels, weights[0]), np.repeat(predictions, weights[0]), 4)
    np.testing.assert_array_equal(found, [expected, np.zeros((4, 4))])


def test_the_interval_of_the_accuracy_falls_with_each_mistake():
    """A bootstrap of few mistakes may have a higher lower end than Wilson's interval of none."""
    lows, highs = [], []
    for wrong in range(0, 240, 3):
        labels = np.arange(240) % 2
        predicted = np.where(np.arange(240) < wrong, 1 - labels, labels)
        log_probs = np.log(np.where(np.arange(2) == predicted[:, None], 0.9, 0.1))
        scores = evaluate_scores(log_probs, labels, ["a", "b"], bootstrap=1000, seed=0)
        low, high = scores["intervals"]["accuracy"]
        assert low < scores["accuracy"] <= high or not wrong
        lows.append(low)
        highs.append(high)
    assert (np.diff(lows) < 0).all()
    assert (np.diff(highs[1:]) < 0).all()
    assert highs[0] == 1 > highs[1]


@pytest.mark.parametrize(
    ("hits", "total"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (431, 439), (5, 10000)]
)
def test_wilson_is_scipys(hits, total):
    expected = stats.binomtest(hits, total).proportion_ci(method="wilson")
    assert wilson_interval(hits, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_counted_says_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert clopper_pearson_bound(0, 0, risk=0.1) == 1.0


@pytest.mark.parametrize(
    ("hits", "total", "risk"), [(0, 59, 0.05), (3, 40, 0.1), (1, 2, 0.01), (250, 2000, 0.001)]
)
def test_the_upper_bound_is_the_beta_quantile_of_clopper_and_pearson(hits, total, risk):
    expected = stats.beta.ppf(1 - risk, hits + 1, total - hits)
    assert clopper_pearson_bound(hits, total, risk=risk) == pytest.approx(expected, abs=1e-9)


def test_fifty_nine_without_an_error_bound_it_by_five_percent():
    assert clopper_pearson_bound(0, 59, risk=0.05) < 0.05 < clopper_pearson_bound(0, 58, risk=0.05)


def test_all_wrong_is_bounded_by_one():
    assert clopper_pearson_bound(4, 4, risk=0.1) == 1.0


def test_resamples_of_many_classes_are_scored_as_their_confusion_matrices():
    """Which are never made: those of 1,000 classes have a million entries each."""
    rng = np.random.default_rng(3)
    labels, log_probs = rng.integers(0, 30, 50), np.log(rng.dirichlet(np.ones(40), 50))
    weights = rng.integers(0, 4, (6, 50)).astype(float)
    scored = Scored.of(log_probs, labels)
    found = scored.overall(weights)
    for row, counts in enumerate(weights.astype(int)):
        chosen = np.repeat(np.arange(50), counts)
        expected = summarise(confusion_matrix(labels[chosen], scored.predictions[chosen], 40))
        for name, value in expected.items():
            assert found[name][row] == pytest.approx(float(value), rel=1e-12)
