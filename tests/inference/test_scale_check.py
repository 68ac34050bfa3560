"""Crops of another scale than the network's own are pointed out."""

import pytest

from asae_jax.inference import scale_check
from asae_jax.input.nucleus_sizes import MEASURED, measure_nuclei
from tests.input.drawn_nuclei import crop

OWN = measure_nuclei([crop(40)] * 30)


def _notes(images, own=OWN):
    looking = scale_check.ScaleCheck(own, len(images))
    for image in images:
        looking.see(image)
    return looking.notes()


@pytest.mark.parametrize("diameter", [32, 40, 52])
def test_cells_of_the_usual_size_are_not_worth_a_word(diameter):
    assert _notes([crop(diameter)] * 30) == []


def test_larger_and_smaller_ones_are_told_with_both_medians():
    (larger,) = _notes([crop(80)] * 30)
    assert larger.startswith("Nuclei are 2.0 times as large")
    assert "median is 8" in larger
    assert "of 4" in larger
    assert "--scale=0.5" in larger
    (smaller,) = _notes([crop(20)] * 30)
    assert smaller.startswith("Nuclei are 2.0 times smaller")
    assert "--scale=1.9" in smaller


def test_nothing_is_said_where_nothing_is_known():
    assert _notes([crop(80)] * 30, own=None) == []
    assert _notes([crop(80)] * 3) == []
    assert _notes([]) == []


@pytest.mark.parametrize("count", [MEASURED, 2 * MEASURED - 1, 2 * MEASURED, 3 * MEASURED])
def test_of_many_images_some_are_measured_evenly_from_first_to_last(count, monkeypatch):
    """Images are numbers here, and so are their measures."""
    measured = []
    monkeypatch.setattr(scale_check, "appearance", measured.append)
    looking = scale_check.ScaleCheck(OWN, count)
    for number in range(count):
        looking.see(number)
    every = -(-count // MEASURED)
    assert measured == list(range(0, count, every))
    assert len(measured) <= MEASURED
