"""Shares and ratios of counts with their 95 % intervals, and how they are written.

All intervals are Wilson's score intervals. Given how many cells of two kinds there are together, the number
of the one kind is binomial, and the ratio of the two is the odds p / (1 - p) of its share: so the bounds of a
ratio are the odds of the bounds of that share.
"""

import dataclasses

from asae_jax.evaluation.metrics import wilson_interval
from asae_jax.evaluation.shares import fixed, with_interval


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of a whole with its 95 % interval (Wilson).

    Attributes:
      count: of the part.
      total: of the whole.
      share: count / total, 0..1; None, like the bounds, where the whole is empty or the part is none of it.
      low: lower bound, 0..1.
      high: upper bound, 0..1.
    """

    count: int
    total: int
    share: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A ratio of two counts with its 95 % interval.

    Attributes:
      above: the numerator.
      below: the denominator.
      value: per * above / below; None where `below` is 0.
      low: lower bound; None where both are 0.
      high: upper bound; None where it is infinite.
      per: what the ratio is given per: 1, or 100.
    """

    above: int
    below: int
    value: float | None
    low: float | None
    high: float | None
    per: int = 1


def share(count: int, total: int) -> Share:
    """`count` of `total` with Wilson's score interval, which stays within 0..1."""
    if not total:
        return Share(count, total, None, None, None)
    return Share(count, total, count / total, *wilson_interval(count, total))


def no_share(count: int, total: int) -> Share:
    """`count` cells that are no part of the whole."""
    return Share(count, total, None, None, None)


def ratio(above: int, below: int, *, per: int = 1) -> Ratio:
    """`above` per `per` of `below`, with the odds of the bounds of Wilson's interval for `above` of both."""
    if not above + below:
        return Ratio(above, below, None, None, None, per)
    low, high = wilson_interval(above, above + below)
    return Ratio(
        above,
        below,
        per * above / below if below else None,
        per * low / (1 - low),
        per * high / (1 - high) if high < 1 else None,
        per,
    )


def percent(share: Share) -> str:
    """ "12.3 % [10.0, 14.9]"; empty where there is no share."""
    return "" if share.share is None else with_interval(share.share, (share.low, share.high))


def ratio_text(ratio: Ratio, *, none_below: str = "no erythroid cell") -> str:
    """ "3.10 [2.20, 4.40] (93:30)", with words for what is infinite or unknown; per 100 with one decimal.

    Args:
      ratio: of two counts.
      none_below: what is said where there is none of the second kind.
    """
    if ratio.low is None:
        return "no cell of either kind"
    decimals = 2 if ratio.per == 1 else 1
    value = none_below if ratio.value is None else fixed(ratio.value, decimals)
    high = "no upper bound" if ratio.high is None else fixed(ratio.high, decimals)
    return f"{value} [{fixed(ratio.low, decimals)}, {high}] ({ratio.above:,}:{ratio.below:,})"
