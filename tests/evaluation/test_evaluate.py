"""What an evaluation prints."""

from types import SimpleNamespace

import numpy as np
import pytest

from asae_jax.evaluation.evaluate import _groups_trained_on, _trained_on, frequent_mistakes, summary
from asae_jax.evaluation.metrics import evaluate_scores
from asae_jax.run.data import Data

NAMES = ("MY", "MMY", "SNE")
CONFUSION = [[6, 3, 0], [2, 7, 1], [0, 0, 5]]


def scores(*, bootstrap):
    pairs = [(true, predicted) for true in range(3) for predicted in range(3)]
    rows = [pair for pair in pairs for _ in range(CONFUSION[pair[0]][pair[1]])]
    labels = np.array([true for true, _ in rows])
    predicted = np.array([predicted for _, predicted in rows])
    log_probs = np.log(np.where(np.eye(3)[predicted] == 1, 0.8, 0.1))
    return evaluate_scores(log_probs, labels, NAMES, bootstrap=bootstrap) | {"split": "test"}


def test_mistakes_by_frequency():
    assert frequent_mistakes(CONFUSION, NAMES) == ["MMY for MY 3 times", "MY for MMY 2 times"]
    assert frequent_mistakes(CONFUSION, NAMES, most=1) == ["MMY for MY 3 times"]
    assert frequent_mistakes(np.diag([3, 2, 1]), NAMES) == []


def test_summary():
    text = summary(scores(bootstrap=0))
    accuracy, balanced = 18 / 24, (6 / 9 + 7 / 10 + 1) / 3
    assert text.startswith(
        f"test: 18 of 24 images right, {100 * accuracy:.1f} %; mean over the classes {100 * balanced:.1f} %"
    )
    assert "most frequent mistakes: MMY for MY 3 times, MY for MMY 2 times" in text


def test_summary_with_intervals():
    measured = scores(bootstrap=50)
    low, high = measured["intervals"]["accuracy"]
    assert f"75.0 % [{100 * low:.1f}, {100 * high:.1f}]; mean over the classes" in summary(measured)
    assert "(95 % intervals in brackets)" in summary(measured)
    assert "brackets" not in summary(measured | {"intervals": {}})


def test_few_groups_are_said():
    measured = scores(bootstrap=0) | {"num_groups": 3}
    assert "only 3 groups" in summary(measured)
    assert "only" not in summary(measured | {"num_groups": 30})
    assert "no interval is sure" not in summary(measured | {"num_groups": 7})  # as there is none
    assert "only 7 groups: no interval is sure" in summary(scores(bootstrap=50) | {"num_groups": 7})
    unequal = scores(bootstrap=50) | {"num_groups": 30, "effective_groups": 4}
    assert "only 30 groups, worth 4 of equal size: no interval is sure" in summary(unequal)


def test_few_resamples_are_said():
    assert "; only 50 resamples (eval.bootstrap): intervals by bootstrap" in summary(scores(bootstrap=50))
    assert "resamples" not in summary(scores(bootstrap=0))
    assert "resamples" not in summary(scores(bootstrap=100))


@pytest.mark.parametrize("count", [1, 24])
def test_every_image_right(count):
    measured = evaluate_scores(
        np.log(np.full((count, 2), [0.9, 0.1])), np.zeros(count, int), ("a", "b"), bootstrap=0
    )
    assert f"{count} of {count} images right, 100.0 %" in summary(measured | {"split": "test"})
    assert "mistakes" not in summary(measured | {"split": "test"})


def test_what_cannot_be_read_is_counted_in_its_part():
    splits = np.array(["train", "test", "test", "validation", "train"])
    bad = ((0, "empty file"), (2, "empty file"), (4, "empty file"))
    data = Data(SimpleNamespace(), SimpleNamespace(bad=bad), splits)
    found = [data.num_unreadable(part) for part in ("train", "validation", "test", "all")]
    assert found == [2, 0, 1, 3]


@pytest.mark.parametrize(("contents", "count"), [([b"", b"", b"", b""], 2), ([b"x", b"y", b"x", b"z"], 3)])
def test_images_that_were_trained_on_are_counted_whatever_is_known_of_their_files(contents, count):
    """Two are of the training part; where files are known, a copy of one is counted too."""
    index = SimpleNamespace(contents=np.array(contents, "S1"))
    splits = np.array(["train", "train", "test", "test"])
    data = Data(index, SimpleNamespace(good=np.arange(4)), splits)
    assert _trained_on(None, data, np.arange(4), is_own=True) == count


def test_groups_on_both_sides_are_counted_and_said():
    """Patients: of five test images, those of a and b are trained on too, c's one is new."""
    groups = np.array(["a", "b", "b", "c", "a", "b", "d", "a"])
    splits = np.array(["test", "test", "test", "test", "test", "train", "validation", "train"])
    data = Data(SimpleNamespace(groups=groups), SimpleNamespace(good=np.arange(8)), splits)
    assert _groups_trained_on(data, np.flatnonzero(splits == "test")) == 2
    assert _groups_trained_on(data, np.flatnonzero(splits == "validation")) == 0
    assert _groups_trained_on(data, np.flatnonzero(splits == "train")) == 0  # which is no news
    data = Data(data.index, SimpleNamespace(good=np.array([0, 1, 2, 3, 4, 5, 6])), splits)
    assert _groups_trained_on(data, np.arange(5)) == 1  # a's training image cannot be read
    measured = scores(bootstrap=0) | {"num_groups": 30, "num_groups_trained_on": 2}
    assert "; 2 of the groups have training images too" in summary(measured)
    assert "training images too" not in summary(measured | {"num_groups_trained_on": 0})
