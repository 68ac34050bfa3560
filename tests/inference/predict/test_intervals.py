"""Intervals against the equations that define them."""

import math

import pytest

from asae_jax.inference.predict.intervals import ratio, share


@pytest.mark.parametrize(("count", "total"), [(1, 7), (50, 100), (499, 500), (3, 100000)])
def test_bounds_of_a_share_are_those_whose_score_test_is_at_its_limit(count, total):
    found = share(count, total)
    assert found.low < found.share < found.high
    for p in (found.low, found.high):
        assert abs(count - total * p) == pytest.approx(1.959963984540054 * math.sqrt(total * p * (1 - p)))


def test_nothing_and_everything():
    assert (share(0, 10).low, share(10, 10).high) == (0, 1)
    assert share(0, 0).share is share(0, 0).low is share(0, 0).high is None


def test_ratio_has_the_odds_of_the_share_and_of_its_bounds():
    found, of_both = ratio(30, 10), share(30, 40)
    assert found.value == 3
    assert found.low == pytest.approx(of_both.low / (1 - of_both.low))
    assert found.high == pytest.approx(of_both.high / (1 - of_both.high))
    swapped = ratio(10, 30)
    assert swapped.low == pytest.approx(1 / found.high)


def test_ratio_without_one_side():
    assert (ratio(0, 0).value, ratio(0, 0).low, ratio(0, 0).high) == (None, None, None)
    assert (ratio(5, 0).value, ratio(5, 0).high) == (None, None)
    assert ratio(5, 0).low > 0
    assert (ratio(0, 5).value, ratio(0, 5).low) == (0, 0)
