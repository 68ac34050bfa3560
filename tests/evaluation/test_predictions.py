"""Predictions come back as they were written, but for rounding; what is no such file is named."""

import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.evaluation.predictions import read_predictions, write_predictions

NAMES = ["a/1.png", 'b, "2".png', "c\udce9.png"]  # the last has a byte that is not UTF-8
PROBABILITIES = np.array([[0.5, 0.25, 0.25], [1e-9, 1.0, 0.0], [0.1, 0.2, 0.7]])
CLASSES = ("A", "B", "C")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x_predictions.csv"
    with np.errstate(divide="ignore"):
        write_predictions(path, NAMES, np.array([0, 2, 2]), np.log(PROBABILITIES), CLASSES)
    return path


def test_they_come_back(path):
    found = read_predictions(path, CLASSES)
    assert found.names.tolist() == NAMES
    assert found.labels.tolist() == [0, 2, 2]
    np.testing.assert_allclose(found.probabilities, PROBABILITIES, atol=5e-7)
    assert found.predicted.tolist() == [0, 1, 2]


def test_the_predicted_class_is_the_one_that_was_scored(tmp_path):
    """Two classes differ in the eighth decimal: as written they are equal, and the first is not the one."""
    path = tmp_path / "x.csv"
    probabilities = np.array([[0.3, 0.35 - 1e-8, 0.35 + 1e-8], [0.4, 0.2, 0.4]])
    write_predictions(path, ["a", "b"], np.array([1, 0]), np.log(probabilities), CLASSES)
    found = read_predictions(path, CLASSES)
    assert found.predicted.tolist() == [2, 0]
    assert np.log(found.probabilities).argmax(1).tolist() == [2, 0]
    np.testing.assert_allclose(found.probabilities, probabilities, atol=5e-7)
    again = tmp_path / "again.csv"
    write_predictions(again, ["a", "b"], np.array([1, 0]), np.log(found.probabilities), CLASSES)
    assert again.read_bytes() == path.read_bytes()
    path.write_text(path.read_text().replace("a,B,C,", "a,B,A,"))
    with pytest.raises(UserError, match="damaged"):
        read_predictions(path, CLASSES)


def test_none_are_none(tmp_path):
    path = tmp_path / "none.csv"
    write_predictions(path, [], np.zeros(0, int), np.zeros((0, 3)), CLASSES)
    assert read_predictions(path, CLASSES).probabilities.shape == (0, 3)


@pytest.mark.parametrize("classes", [("A", "B"), ("A", "C", "B"), ("A", "B", "D")])
def test_those_of_other_classes_are_refused(path, classes):
    with pytest.raises(
        UserError, match=r"x_predictions.csv is damaged or of other classes: evaluate the run"
    ):
        read_predictions(path, classes)


@pytest.mark.parametrize(
    "content", ["", "path,true\n", "path,true,label,probability,p_A,p_B,p_C\na,A,A,x,1,,\n"]
)
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "damaged.csv"
    path.write_text(content)
    with pytest.raises(UserError, match="damaged"):
        read_predictions(path, CLASSES)
    path.unlink()
    with pytest.raises(UserError, match="cannot read"):
        read_predictions(path, CLASSES)
