import pytest
from scipy import stats

from asae_jax.trust.intervals import upper_bound, wilson_interval


@pytest.mark.parametrize(
    ("hits", "total"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (431, 439), (5, 10000)]
)
def test_wilson_is_scipys(hits, total):
    expected = stats.binomtest(hits, total).proportion_ci(method="wilson")
    assert wilson_interval(hits, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_counted_says_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert upper_bound(0, 0, risk=0.1) == 1.0


@pytest.mark.parametrize(
    ("hits", "total", "risk"), [(0, 59, 0.05), (3, 40, 0.1), (1, 2, 0.01), (250, 2000, 0.001)]
)
def test_the_upper_bound_is_the_beta_quantile_of_clopper_and_pearson(hits, total, risk):
    expected = stats.beta.ppf(1 - risk, hits + 1, total - hits)
    assert upper_bound(hits, total, risk=risk) == pytest.approx(expected, abs=1e-9)


def test_fifty_nine_without_an_error_bound_it_by_five_percent():
    assert upper_bound(0, 59, risk=0.05) < 0.05 < upper_bound(0, 58, risk=0.05)


def test_all_wrong_is_bounded_by_one():
    assert upper_bound(4, 4, risk=0.1) == 1.0
