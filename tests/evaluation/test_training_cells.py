"""Training images kept with a run, in small: they come back, and what cannot be read is left out."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from asae_jax.errors import UserError
from asae_jax.evaluation.training_cells import (
    CELLS_SHA256,
    SIZE,
    cells_file,
    read_training_cells,
    training_cells,
    write_training_cells,
)
from asae_jax.input.decode import BadImage
from asae_jax.input.index import DataIndex
from asae_jax.json_files import write_sealed_json

COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [120, 120, 120]], np.uint8)


def _read(row):
    if row == 2:
        raise BadImage("2.png", "removed since")
    return np.broadcast_to(COLOURS[row], (90, 120, 3)).copy()


@pytest.fixture
def cells():
    names = np.array([f"{row}.png" for row in range(4)])
    index = DataIndex("folder", ("A", "B"), names, np.array([0, 1, 1, 0], np.int32), _read)
    features = np.array([[1.0, 0], [0, 1], [1, 1]], np.float32)
    return training_cells(index, np.array([3, 1, 2]), features, workers=2)


def test_images_that_are_gone_are_left_out(cells):
    assert cells.labels.tolist() == [0, 1]
    assert cells.features.tolist() == [[1, 0], [0, 1]]
    for picture, colour in zip(cells.pictures, COLOURS[[3, 1]], strict=True):
        with Image.open(io.BytesIO(picture)) as image:
            assert (image.format, image.size) == ("JPEG", (SIZE, SIZE))
            np.testing.assert_allclose(np.asarray(image).mean((0, 1)), colour, atol=3)


def test_they_come_back_as_they_were(cells, tmp_path):
    estimates = tmp_path / "uncertainty-enhance.json"
    write_training_cells(cells, estimates)
    assert [path.name for path in tmp_path.iterdir()] == ["uncertainty-enhance-cells.npz"]
    again = read_training_cells(estimates)
    assert again.labels.tolist() == cells.labels.tolist()
    assert list(again.pictures) == list(cells.pictures)
    np.testing.assert_array_equal(again.features, cells.features)  # 0 and 1 are exact in half precision


def test_those_of_before_are_taken_away(cells, tmp_path):
    estimates = tmp_path / "uncertainty.json"
    write_training_cells(cells, estimates)
    write_training_cells(None, estimates)
    assert read_training_cells(estimates) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_a_damaged_file_is_named(cells, tmp_path, keep):
    estimates = tmp_path / "uncertainty.json"
    write_training_cells(cells, estimates)
    path = cells_file(estimates)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"uncertainty-cells\.npz cannot be used"):
        read_training_cells(estimates)


def test_cells_of_other_estimates_are_refused(cells, tmp_path):
    estimates = tmp_path / "uncertainty.json"
    digest = write_training_cells(cells, estimates)
    write_sealed_json(estimates, {CELLS_SHA256: digest})
    assert read_training_cells(estimates).labels.tolist() == cells.labels.tolist()
    write_training_cells(dataclasses.replace(cells, labels=cells.labels + 1), estimates)
    with pytest.raises(UserError, match=r"uncertainty-cells\.npz has changed since it was written.*evaluate"):
        read_training_cells(estimates)
