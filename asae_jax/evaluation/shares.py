"""How a share is written for a reader: in percent, its 95 % interval in brackets behind it."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any


def share_text(counted: Mapping[str, Any], *, nothing: str = "none") -> str:
    """A share as `metrics.counted_share` gives it: "80.0 % [49.0, 94.3]".

    Args:
      counted: with `share`, 0..1 or None, and `interval`, `[low, high]`.
      nothing: what is said where nothing was counted.
    """
    return nothing if counted["share"] is None else with_interval(counted["share"], counted["interval"])


def with_interval(share: float, interval: Sequence[float | None] | None, *, sign: bool = True) -> str:
    """ "80.0 % [49.0, 94.3]"; "80.0 %" where there is no interval.

    Args:
      share: 0..1.
      interval: `[low, high]`, 0..1; None, or None in both places, without one.
      sign: False leaves out the percent sign: for a table whose head says percent.
    """
    text = percent(share) if sign else fixed(100 * share, 1)
    if interval is None or None in interval:
        return text
    return f"{text} [{', '.join(fixed(100 * end, 1) for end in interval if end is not None)}]"


def score_text(scores: Mapping[str, Any], name: str, *, sign: bool = True) -> str:
    """A score as `metrics.evaluate_scores` gives it, `with_interval` where it has one.

    Args:
      scores: with `name`, 0..1, and `intervals`.
      name: of the score.
      sign: as in `with_interval`.
    """
    return with_interval(scores[name], scores["intervals"].get(name), sign=sign)


def percent(share: float) -> str:
    """ "12.5 %" of 0.125."""
    return f"{fixed(100 * share, 1)} %"


def fixed(value: float, decimals: int) -> str:
    """`value` with so many decimals; what lies in the middle is rounded up, as the pages' scripts do."""
    return str(Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))
