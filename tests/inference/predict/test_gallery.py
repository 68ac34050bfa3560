"""Which records are kept for the page, against sorting them all."""

import dataclasses

import numpy as np
import pytest

from asae_jax.inference.predict.gallery import CONTENT_DIGITS, SHOWN_BAD, Gallery
from tests.inference.predict.made import record


@pytest.fixture(scope="module")
def records():
    rng = np.random.default_rng(0)
    confidences = rng.permutation(np.linspace(0.4, 0.99, 50))
    made = [
        record(0, probability=p, path=str(number), abstain=number % 7 == 0)
        for number, p in enumerate(confidences)
    ]
    return [*made, record(None, path="bad")]


@pytest.mark.parametrize("limit", [0, 1, 20, 50, 100])
def test_keeps_what_a_person_should_see_first_in_the_order_of_the_input(records, limit):
    gallery = Gallery(limit)
    for one in records:
        gallery.add(one)
    wanted = {r.path for r in _by_need(records)[:limit]} | {"bad"}
    assert [r.path for r in gallery.records()] == [r.path for r in records if r.path in wanted]


@pytest.mark.parametrize("limit", [0, 20, 100])
def test_every_cell_is_kept_or_known_as_dropped(records, limit):
    gallery = Gallery(limit)
    for number, one in enumerate(records):
        gallery.add(dataclasses.replace(one, content="" if one.error else f"{number:010x}" + "f" * 22))
    kept = [one.content[:CONTENT_DIGITS] for one in gallery.records() if not one.error]
    assert sorted(kept + gallery.dropped) == [f"{number:010x}" for number in range(len(records) - 1)]


def _by_need(records):
    cells = [one for one in records if not one.error]
    return sorted(cells, key=lambda one: (not one.left_to_person, one.probability))


def test_unreadable_images_take_no_place_of_cells(records):
    gallery = Gallery(20)
    for one in [*(record(None, path=f"bad {number}") for number in range(SHOWN_BAD + 9)), *records]:
        gallery.add(one)
    kept = gallery.records()
    assert [one.path for one in kept if one.error] == [f"bad {number}" for number in range(SHOWN_BAD)]
    assert {one.path for one in kept if not one.error} == {one.path for one in _by_need(records)[:20]}


@pytest.mark.parametrize("limit", [1, 20, 100])
@pytest.mark.parametrize("budget", [0, 95, 500, 1e9])
def test_the_most_urgent_keep_their_large_pictures_as_far_as_they_fit(records, limit, budget):
    """Pictures of 10 to 59 bytes; in the order of need each is kept while all before it are, and it fits."""
    gallery = Gallery(limit, budget)
    for number, one in enumerate(records):
        picture = None if one.error else bytes(10 + number)
        gallery.add(dataclasses.replace(one, picture=picture))
    left, wanted = budget, set()
    for one in _by_need(records)[:limit]:
        size = 10 + records.index(one)
        if size > left:
            break
        left -= size
        wanted.add(one.path)
    kept = gallery.records()
    assert len(kept) == min(limit, len(records) - 1) + 1
    assert {r.path for r in kept if r.picture is not None} == wanted
    assert all(len(r.picture) == 10 + int(r.path) for r in kept if r.picture is not None)
