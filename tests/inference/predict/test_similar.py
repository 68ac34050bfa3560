"""The training cells most like each cell, against geometry."""

import dataclasses

import numpy as np
import pytest

from asae_jax.evaluation.training_cells import TrainingCells
from asae_jax.inference.predict.similar import find_similar
from tests.inference.predict.made import record


def _at(*degrees):
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


CELLS = TrainingCells(_at(0, 10, 30, 90, 200), np.array([0, 1, 2, 0, 1]), [b"0", b"10", b"30", b"90", b"200"])


def _with_features(degrees):
    return dataclasses.replace(record(0), features=None if degrees is None else 7 * _at(degrees)[0])


def test_the_nearest_by_angle_come_first_with_their_cosine():
    found = find_similar(CELLS, [_with_features(12), record(None), _with_features(100)], 2)
    assert [[found.pictures[number] for number, _ in near] for near in found.of] == [
        [b"10", b"0"],
        [],
        [b"90", b"30"],
    ]
    assert [[found.labels[number] for number, _ in near] for near in found.of] == [[1, 0], [], [0, 2]]
    cosines = [value for near in found.of for _, value in near]
    assert cosines == pytest.approx(np.cos(np.deg2rad([2, 12, 10, 70])).tolist(), abs=1e-6)


def test_only_cells_that_are_shown_travel():
    found = find_similar(CELLS, [_with_features(12), _with_features(8)], 2)
    assert sorted(found.pictures) == [b"0", b"10"]


def test_of_few_all_are_shown_and_without_features_none():
    assert len(find_similar(CELLS, [_with_features(0)], 9).of[0]) == 5
    assert find_similar(CELLS, [record(0)], 5).of == [()]
