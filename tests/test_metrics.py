"""Metrics beside scikit-learn, slow references, and simulations with known answers."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn import metrics as sklearn

from asae_jax.metrics import Sums, confusion_matrix, evaluate_scores, per_class_scores, summarise


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
        "per_class", "confusion_matrix", "class_names", "intervals",
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
    assert [found["intervals"][name] for name in ones] == [[1.0, 1.0]] * 4


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
        evaluate_scores(log_probs, labels, class_names, groups=groups)


def test_bootstrap_equals_a_slow_one():
    """The same draws, example by example, through the metrics of the drawn examples themselves."""
    log_probs, labels = scored(num_examples=60, num_classes=3)
    found = evaluate_scores(log_probs, labels, names(3), bootstrap=40, seed=7)["intervals"]
    rng = np.random.default_rng(7)
    draws = [rng.integers(60, size=60) for _ in range(40)]
    resampled = [evaluate_scores(log_probs[d], labels[d], names(3), bootstrap=0) for d in draws]
    for name, interval in found.items():
        expected = np.percentile([r[name] for r in resampled], [2.5, 97.5])
        np.testing.assert_allclose(interval, expected, rtol=1e-9)
    assert list(found) == ["accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "nll", "ece"]


def test_bootstrap_of_groups_equals_a_slow_one():
    log_probs, labels = scored(num_examples=60, num_classes=3)
    groups = np.array([f"patient {i % 7}" for i in range(60)])
    found = evaluate_scores(log_probs, labels, names(3), groups=groups, bootstrap=30, seed=7)["intervals"]
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    rng = np.random.default_rng(7)
    draws = [np.concatenate([members[g] for g in rng.integers(7, size=7)]) for _ in range(30)]
    resampled = [evaluate_scores(log_probs[d], labels[d], names(3), bootstrap=0) for d in draws]
    for name, interval in found.items():
        expected = np.percentile([r[name] for r in resampled], [2.5, 97.5])
        np.testing.assert_allclose(interval, expected, rtol=1e-9)


def test_bootstrap_repeats_with_its_seed_whatever_the_chunk(monkeypatch):
    log_probs, labels = scored(num_examples=100)

    def intervals(seed):
        return evaluate_scores(log_probs, labels, names(14), bootstrap=50, seed=seed)["intervals"]

    first = intervals(0)
    monkeypatch.setattr("asae_jax.metrics.bootstrap._CHUNK", 700)
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


def batches():
    scores = jnp.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [9.0, 0.0]])
    labels = jnp.array([0, 0, 0, 1])
    losses = jnp.array([1.0, 2.0, 4.0, jnp.nan])
    return losses, scores, labels, jnp.array([1.0, 1.0, 1.0, 0.0])


def test_sums_leave_padding_out():
    means = Sums.of(*batches()).means()
    assert means == pytest.approx({"loss": 7 / 3, "accuracy": 2 / 3})


def test_sums_weigh_examples_not_batches():
    losses, scores, labels, _ = (part[:3] for part in batches())
    parts = [Sums.of(losses[i:j], scores[i:j], labels[i:j]) for i, j in ((0, 1), (1, 3))]
    whole = Sums.of(losses, scores, labels)
    assert (Sums.zero() + parts[0] + parts[1]).means() == pytest.approx(whole.means())


def test_sums_pass_through_jit_and_devices():
    losses, scores, labels, mask = batches()

    def step(*batch):
        return jax.lax.psum(Sums.of(*batch), "devices")

    shards = [part.reshape(2, 2, *part.shape[1:]) for part in (losses, scores, labels, mask)]
    found = jax.pmap(step, axis_name="devices", devices=jax.devices()[:2], out_axes=None)(*shards)
    assert found.means() == pytest.approx(Sums.of(*batches()).means())


def test_sums_over_nothing_are_not_a_score():
    assert all(np.isnan(value) for value in Sums.zero().means().values())


def test_one_group_gives_no_intervals():
    log_probs, labels = np.log(np.full((6, 3), 1 / 3)), np.arange(6) % 3
    found = evaluate_scores(log_probs, labels, names(3), groups=np.full(6, "patient"), bootstrap=10)
    assert found["intervals"] == {}
