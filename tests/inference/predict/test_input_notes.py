"""What `predict` says of images that make its counts misleading."""

import pytest

from asae_jax.inference.predict.input_notes import InputNotes
from asae_jax.inference.records import Record
from asae_jax.input.implausible_images import GREY


def _notes(*records):
    notes = InputNotes()
    for record in records:
        notes.add(record)
    return notes.notes()


def test_nothing_is_said_of_different_cells():
    assert _notes(*(Record(str(n), str(n), content=str(n)) for n in range(5))) == []
    assert _notes(*(Record(str(n), str(n), f"patient{n}", content=str(n)) for n in range(5))) == []


def test_copies_are_counted():
    (said,) = _notes(*(Record(str(n), str(n), content=str(n // 3)) for n in range(12)))
    assert said.startswith("8 of the images are copies of others, pixel for pixel.")


def test_unreadable_images_are_no_copies_of_each_other():
    assert _notes(*(Record(str(n), str(n), error="not an image") for n in range(3))) == []


def test_images_that_are_no_cells_are_named():
    (said,) = _notes(
        *(Record(f"{n}.png", "", content=str(n), implausible="blank" * (n < 4)) for n in range(9))
    )
    assert said.startswith("4 of the images seem to be no crops of stained cells")
    assert said.endswith(": 0.png (blank), 1.png (blank), 2.png (blank) and 1 more.")


def test_images_of_several_cells_are_counted():
    (said,) = _notes(*(Record(f"{n}.png", "", content=str(n), several=n < 4) for n in range(9)))
    assert said.startswith("4 of the images may show several cells")


@pytest.mark.parametrize(("grey", "told"), [(4, True), (9, False)])
def test_grey_images_are_no_news_where_most_are_grey(grey, told):
    records = (Record(f"{n}.png", "", content=str(n), implausible=GREY * (n < grey)) for n in range(9))
    assert bool(_notes(*records)) == told


@pytest.mark.parametrize("alone", [1, 3])
def test_images_of_no_group_are_counted_where_others_have_one(alone):
    (said,) = _notes(*(Record(str(n), "", "p1" * (n >= alone), content=str(n)) for n in range(9)))
    assert said.startswith(f"{alone} of the images belong to no group")
