"""Which records are kept for the page, against sorting them all."""

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
