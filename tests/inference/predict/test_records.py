"""Which records are kept for the page, against sorting them all."""

import dataclasses

import numpy as np
import pytest

from asae_jax.inference.predict.records import Gallery
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


@pytest.mark.parametrize("limit", [0, 1, 20, 51, 100])
def test_keeps_what_a_person_should_see_first_in_the_order_of_the_input(records, limit):
    gallery = Gallery(limit)
    for one in records:
        gallery.add(one)
    by_need = sorted(records, key=lambda r: (not r.error, not r.left_to_person, r.probability or 0))
    wanted = {r.path for r in by_need[:limit]}
    assert [r.path for r in gallery.records()] == [r.path for r in records if r.path in wanted]


@pytest.mark.parametrize("limit", [1, 20, 100])
@pytest.mark.parametrize("budget", [0, 95, 500, 1e9])
def test_the_most_urgent_keep_their_large_pictures_as_far_as_they_fit(records, limit, budget):
    """Pictures of 10 to 59 bytes; in the order of need each is kept while all before it are, and it fits."""
    gallery = Gallery(limit, budget)
    for number, one in enumerate(records):
        picture = None if one.error else bytes(10 + number)
        gallery.add(dataclasses.replace(one, picture=picture))
    by_need = sorted(records, key=lambda r: (not r.error, not r.left_to_person, r.probability or 0))[:limit]
    left, wanted = budget, set()
    for one in by_need:
        size = 0 if one.error else 10 + records.index(one)
        if size > left:
            break
        left -= size
        wanted.add(one.path)
    kept = gallery.records()
    assert len(kept) == min(limit, len(records))
    assert {r.path for r in kept if r.picture is not None} == wanted - {"bad"}
    assert all(len(r.picture) == 10 + int(r.path) for r in kept if r.picture is not None)
