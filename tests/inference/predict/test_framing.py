"""Crops of another scale than the network's own are pointed out."""

import pytest

from asae_jax.inference.predict.framing import Framing
from asae_jax.input.nucleus_sizes import MEASURED, measure_nuclei
from tests.input.drawn_nuclei import crop

OWN = measure_nuclei([crop(40)] * 30)


def _notes(images, own=OWN):
    framing = Framing(own, len(images))
    for image in images:
        framing.see(image)
    return framing.notes()


@pytest.mark.parametrize("diameter", [32, 40, 52])
def test_cells_of_the_usual_size_are_not_worth_a_word(diameter):
    assert _notes([crop(diameter)] * 30) == []


def test_larger_and_smaller_ones_are_told_with_both_medians():
    (larger,) = _notes([crop(80)] * 30)
    assert larger.startswith("Nuclei are 2.0 times as large")
    assert "median is 8" in larger
    assert "of 4" in larger
    (smaller,) = _notes([crop(20)] * 30)
    assert smaller.startswith("Nuclei are 0.5 times as large")


def test_nothing_is_said_where_nothing_is_known():
    assert _notes([crop(80)] * 30, own=None) == []
    assert _notes([crop(80)] * 3) == []
    assert _notes([]) == []


def test_of_many_images_some_are_looked_at_from_the_first_to_the_last():
    """The first and the last of three parts are larger; half of the whole is needed for the median."""
    count = 3 * MEASURED
    framing = Framing(OWN, count)
    small, large = crop(40), crop(80)
    for number in range(count):
        framing.see(large if number % 3 == 0 else small)
    assert len(framing._chosen) == MEASURED
    assert framing.notes()[0].startswith("Nuclei are 2.0"), "every third is looked at"
