import pytest

from asae_jax.evaluation.metrics import counted_share
from asae_jax.evaluation.shares import fixed, percent, share_text, with_interval


def test_a_share_is_written_with_its_interval_in_brackets():
    """8 of 10, Wilson's interval as statsmodels gives it: 0.4902, 0.9433."""
    assert share_text(counted_share(8, 10)) == "80.0 % [49.0, 94.3]"
    assert with_interval(0.8, (0.4902, 0.9433), sign=False) == "80.0 [49.0, 94.3]"


def test_of_nothing_there_is_no_share():
    assert share_text(counted_share(0, 0)) == "none"
    assert share_text(counted_share(0, 0), nothing="not known") == "not known"


@pytest.mark.parametrize("interval", [None, (None, None)])
def test_without_an_interval_there_are_no_brackets(interval):
    assert with_interval(0.8, interval) == "80.0 %"
    assert with_interval(0.8, interval, sign=False) == "80.0"


def test_the_middle_is_rounded_up():
    """1 of 16 is 6.25 %, which Python's own format makes 6.2, and JavaScript's toFixed 6.3."""
    assert percent(1 / 16) == "6.3 %"
    assert fixed(0.125, 2) == "0.13"
