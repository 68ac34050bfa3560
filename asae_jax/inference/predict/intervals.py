"""95 % intervals of shares and of ratios of counts."""

from asae_jax.inference.predict.records import Ratio, Share
from asae_jax.trust import wilson_interval


def share(count: int, total: int) -> Share:
    """`count` of `total` with Wilson's score interval, which stays within 0..1."""
    if not total:
        return Share(count, total, None, None, None)
    return Share(count, total, count / total, *wilson_interval(count, total))


def ratio(above: int, below: int) -> Ratio:
    """`above` / `below` with the interval that Wilson's for `above` of both gives: p -> p / (1 - p)."""
    if not above + below:
        return Ratio(above, below, None, None, None)
    low, high = wilson_interval(above, above + below)
    return Ratio(
        above,
        below,
        above / below if below else None,
        low / (1 - low),
        high / (1 - high) if high < 1 else None,
    )
