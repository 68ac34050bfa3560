"""Intervals and bounds of a share that was counted."""

import math

_Z = 1.959963984540054  # 97.5 % point of the normal distribution


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share `hits / total`, 0..1 (Wilson 1927); (0, 1) where nothing was counted.

    It never leaves 0..1 and is not empty at 0 or at `total`, as hits +- 2 standard errors would be.
    """
    if not total:
        return 0.0, 1.0
    share, z2 = hits / total, _Z**2 / total
    centre = (share + z2 / 2) / (1 + z2)
    half = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total)) / (1 + z2)
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == total else min(1.0, centre + half)
    return low, high


def upper_bound(hits: int, total: int, *, risk: float) -> float:
    """The largest share under which `hits` or fewer of `total` still have probability `risk`.

    The one-sided bound of Clopper and Pearson (1934), exact at every size: the true share exceeds it
    with probability `risk` at most.

    Args:
      hits: 0..total.
      total: at least 1; with 0 the bound is 1.
      risk: 0 < risk < 1.
    """
    if hits >= total:
        return 1.0
    low, high = hits / total, 1.0
    for _ in range(60):  # halves the bracket down to float64's resolution
        middle = (low + high) / 2
        if _binomial_cdf(hits, total, middle) > risk:
            low = middle
        else:
            high = middle
    return high


def _binomial_cdf(hits: int, total: int, share: float) -> float:
    if share >= 1.0:
        return 0.0
    logs = math.log(share) if share else -math.inf, math.log1p(-share)
    return sum(
        math.exp(_log_choose(total, k) + (k * logs[0] if k else 0.0) + (total - k) * logs[1])
        for k in range(hits + 1)
    )


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
