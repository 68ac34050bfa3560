"""Confident learning: by hand, against the authors' program where it is installed, and planted errors."""

import numpy as np
import pytest

from asae_jax.evaluation.label_errors import (
    confident_classes,
    confident_thresholds,
    suspected_labels,
)

A, B, C = 0, 1, 2
LABELS = np.array([A, A, A, B, B, B])
PROBABILITIES = np.array(
    [
        [0.90, 0.05, 0.05],
        [0.60, 0.30, 0.10],  # exactly at the threshold 0.6 of A
        [0.30, 0.60, 0.10],  # reaches B's threshold alone: suspected
        [0.10, 0.80, 0.10],
        [0.70, 0.20, 0.10],  # reaches A's alone: suspected, and the surer one
        [0.25, 0.50, 0.25],  # reaches B's threshold 0.5
    ]
)


def confident_joint(probabilities, labels):
    """Images by label (rows) and by the class they are counted under."""
    joint = np.zeros((probabilities.shape[1],) * 2, int)
    counted = confident_classes(probabilities, labels)
    np.add.at(joint, (labels[counted >= 0], counted[counted >= 0]), 1)
    return joint


def test_the_rule_by_hand():
    np.testing.assert_allclose(confident_thresholds(PROBABILITIES, LABELS), [1.8 / 3, 1.5 / 3, np.inf])
    assert confident_classes(PROBABILITIES, LABELS).tolist() == [A, A, B, B, A, B]
    assert confident_joint(PROBABILITIES, LABELS).tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 0]]
    found = suspected_labels(PROBABILITIES, LABELS)
    assert found.rows.tolist() == [4, 2]
    assert found.suggested.tolist() == [A, B]
    np.testing.assert_allclose(found.margin, [0.2 - 0.7, 0.3 - 0.6])


def test_an_image_that_reaches_no_threshold_is_not_counted():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.55, 0.45], [0.2, 0.8], [0.2, 0.8]])
    labels = np.array([0, 0, 1, 1, 1])  # thresholds 0.9 and 0.683: the third image reaches neither
    assert confident_classes(probabilities, labels).tolist() == [0, 0, -1, 1, 1]
    assert confident_joint(probabilities, labels).tolist() == [[2, 0], [0, 2]]
    assert not len(suspected_labels(probabilities, labels).rows)


@pytest.mark.parametrize("own", [[0.8] * 3, [0.333333, 0.333334, 0.333334]])
def test_an_image_at_its_class_s_mean_but_for_rounding_is_counted(own):
    """The mean of three times 0.8 is 0.8000000000000002; six decimals are what a file keeps."""
    probabilities = np.array([[p, 0.0, 1 - p] for p in own])
    labels = np.zeros(3, int)
    assert np.any(probabilities[:, 0] < confident_thresholds(probabilities, labels)[0])
    assert confident_classes(probabilities, labels).tolist() == [0, 0, 0]


def test_an_image_that_the_network_would_label_alike_is_not_suspected():
    """It is off the diagonal, as its label's threshold is high and the other's low."""
    probabilities = np.array([[0.95, 0.05], [0.55, 0.45], [0.6, 0.4], [0.7, 0.3]])
    labels = np.array([0, 0, 1, 1])
    assert confident_classes(probabilities, labels)[1] == 1
    assert 1 not in suspected_labels(probabilities, labels).rows


def test_without_images_nothing_is_suspected():
    found = suspected_labels(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert [len(column) for column in found] == [0, 0, 0]


def _drawn(seed, classes=5, count=600, wrong=0.1):
    """Probabilities of a network that knows the true classes fairly well, true labels, and noisy ones."""
    rng = np.random.default_rng(seed)
    true = rng.integers(classes, size=count)
    logits = rng.normal(size=(count, classes)) + 3.0 * np.eye(classes)[true] * rng.uniform(
        0.5, 1.5, (count, 1)
    )
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    noisy = np.where(rng.random(count) < wrong, (true + rng.integers(1, classes, count)) % classes, true)
    return probabilities, true, noisy


@pytest.mark.parametrize("seed", range(5))
def test_a_network_that_is_always_right_finds_every_wrong_label_and_no_other(seed):
    """It gives the true class 0.96: more than any threshold, a mean of such with some 0.01 among them."""
    _, true, noisy = _drawn(seed)
    probabilities = np.where(np.eye(5)[true] > 0, 0.96, 0.01)
    found = suspected_labels(probabilities, noisy)
    assert sorted(found.rows) == np.flatnonzero(noisy != true).tolist()
    np.testing.assert_array_equal(found.suggested, true[found.rows])
    np.testing.assert_allclose(found.margin, 0.01 - 0.96)


def test_what_is_suspected_does_not_depend_on_the_order_of_images_or_classes():
    probabilities, _, labels = _drawn(0)
    rng = np.random.default_rng(1)
    images, classes = rng.permutation(len(labels)), rng.permutation(5)
    moved = suspected_labels(probabilities[images][:, classes], np.argsort(classes)[labels[images]])
    found = suspected_labels(probabilities, labels)
    assert images[moved.rows].tolist() == found.rows.tolist()
    assert classes[moved.suggested].tolist() == found.suggested.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_as_the_authors_program(seed):
    """cleanlab, by the authors of the method, is under the AGPL: an oracle where it is, no requirement."""
    count = pytest.importorskip("cleanlab.count")
    rank = pytest.importorskip("cleanlab.filter")
    probabilities, _, labels = _drawn(seed, classes=3 + seed, wrong=0.15)
    joint = count.compute_confident_joint(labels, probabilities, calibrate=False)
    # The program raises its diagonal to at least 1, which these data do not need.
    np.testing.assert_array_equal(confident_joint(probabilities, labels), joint)
    issues = rank.find_label_issues(
        labels, probabilities, filter_by="confident_learning", return_indices_ranked_by="normalized_margin"
    )
    assert suspected_labels(probabilities, labels).rows.tolist() == issues.tolist()
