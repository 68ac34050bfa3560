"""The tables' numbers against independent ones."""

import numpy as np
import pytest

from asae_jax.evaluation.metrics import evaluate_scores
from asae_jax.evaluation.page.numbers import class_scores, counts_by_part, matrix

COUNTS = [[8, 2, 0], [1, 4, 0], [0, 0, 0]]
NAMES = ["A", "B", "C"]


def _scores():
    """Content of an evaluation file whose confusion matrix is `COUNTS`."""
    pairs = [(r, c) for r in range(3) for c in range(3) for _ in range(COUNTS[r][c])]
    probabilities = np.eye(3)[[c for _, c in pairs]] * 0.94 + 0.02
    return evaluate_scores(np.log(probabilities), np.array([r for r, _ in pairs]), NAMES, bootstrap=0)


def test_the_scores_are_those_of_the_file_and_stand_within_their_intervals():
    scores = _scores()
    for one in class_scores(scores, [1, 0]):
        of_class = scores["per_class"][one.name]
        assert one.images == of_class["support"]
        for share, field in ((one.recall, "recall"), (one.precision, "precision"), (one.f1, "f1")):
            assert share.value == of_class[field]
            assert share.low < share.value < share.high
    assert [one.name for one in class_scores(scores, [1, 0])] == ["B", "A"]


def test_intervals_by_hand():
    """Wilson 1927 for 8 of 10: (8 + z2/2 +- z sqrt(8 * 2 / 10 + z2/4)) / (10 + z2)."""
    z = 1.959963984540054
    half, centre = z * np.sqrt(1.6 + z**2 / 4), 8 + z**2 / 2
    a = class_scores(_scores(), [0])[0]
    assert (a.recall.low, a.recall.high) == pytest.approx(
        ((centre - half) / (10 + z**2), (centre + half) / (10 + z**2))
    )
    # F* is 8 of the 11 labelled or called A; F1 = 2 F* / (1 + F*).
    half, centre = z * np.sqrt(8 * 3 / 11 + z**2 / 4), 8 + z**2 / 2
    ends = np.array([centre - half, centre + half]) / (11 + z**2)
    assert (a.f1.low, a.f1.high) == pytest.approx(tuple(2 * ends / (1 + ends)))
    assert a.f1.value == pytest.approx(2 * (8 / 11) / (1 + 8 / 11))


def test_the_interval_of_f1_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    names, covered = ["A", "B"], 0
    for _ in range(400):
        labels = (rng.random(120) < 0.4).astype(int)
        wrong = rng.random(120) < np.where(labels, 0.25, 0.1)
        predicted = np.where(wrong, 1 - labels, labels)
        counts = np.bincount(2 * labels + predicted, minlength=4).reshape(2, 2)
        hits, support, called = counts[1, 1], counts[1].sum(), counts[:, 1].sum()
        scores = {"confusion_matrix": counts.tolist(), "class_names": names}
        one = class_scores(scores, [1])[0]
        assert one.f1.value == pytest.approx(2 * hits / (support + called))
        # Of 1,000: 300 found, 100 missed, 60 called so by mistake.
        covered += one.f1.low <= 2 * 0.3 / (0.4 + 0.36) <= one.f1.high
    assert 0.91 <= covered / 400 <= 0.99


def test_a_class_without_images_has_no_recall_and_no_f1():
    c = class_scores(_scores(), [2])[0]
    assert (c.images, c.recall.value, c.precision.value, c.f1.value) == (0, None, None, None)
    scores = {"confusion_matrix": [[1, 0, 2], [0, 1, 0], [0, 0, 0]], "class_names": NAMES}
    c = class_scores(scores, [2])[0]
    assert c.precision.value == 0
    assert c.f1.value is None


def test_the_matrix_moves_rows_and_columns_together():
    made = matrix(_scores(), [1, 2, 0])
    assert made.names == ["B", "C", "A"]
    assert [[cell.images for cell in row] for row in made.rows] == [[4, 0, 1], [0, 0, 0], [2, 0, 8]]
    assert made.rows[2][0].share == 0.2
    assert [cell.right for cell in made.rows[1]] == [False, True, False]
    assert (made.labelled, made.predicted, made.total) == ([5, 0, 10], [6, 0, 9], 15)
    shades = {cell.share: cell.shade for row in made.rows for cell in row}
    assert shades == {0: 0, 0.2: 10, 0.8: 40}


def test_images_are_counted_by_class_and_part():
    labels, parts = np.array([0, 0, 2, 2, 2]), np.array(["train", "test", "train", "train", "test"])
    assert counts_by_part(labels, parts, ["train", "test"], 3) == [[1, 1], [0, 0], [2, 1]]
