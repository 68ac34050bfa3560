"""The galleries' cells, and the file of suspected labels."""

import csv

import numpy as np

from asae_jax.evaluation.label_errors import suspected_labels
from asae_jax.evaluation.page.gallery import mistakes, suspected, write_suspected
from asae_jax.evaluation.predictions import Predictions

CLASSES = ("A", "B", "C")


def _predictions():
    """Class C is seldom sure: the third image reaches its threshold alone, and B is more probable."""
    probabilities = np.array([
        [0.90, 0.05, 0.05],
        [0.05, 0.90, 0.05],
        [0.10, 0.50, 0.40],  # labelled A; B's threshold of 0.9 is not reached, that of C is
        [0.33, 0.32, 0.35],
        [0.05, 0.91, 0.04],  # labelled A, surely B
    ])  # fmt: skip
    names = np.array([f"{number}.png" for number in range(5)])
    return Predictions(names, np.array([0, 1, 0, 2, 0]), probabilities)


def test_suspicions_are_written_in_the_order_of_the_margin(tmp_path):
    given = _predictions()
    found = suspected({"test": given})
    margins = suspected_labels(given.probabilities, given.labels).margin
    np.testing.assert_allclose([one.margin for one in found], margins)
    write_suspected(tmp_path / "suspected.csv", found, CLASSES)
    with (tmp_path / "suspected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["suggested"]) for row in rows] == [("4.png", "B"), ("2.png", "C")]
    assert [row["margin"] for row in rows] == ["-0.860000", "-0.400000"]  # of B, though C is suggested
    assert rows[1]["p_suggested"] == "0.400000"


def test_mistakes_are_what_the_network_says_instead():
    found = mistakes("test", _predictions())
    assert [(one.name, one.other) for one in found] == [("4.png", 1), ("2.png", 1)]
    np.testing.assert_allclose([one.margin for one in found], [-0.86, -0.4])
