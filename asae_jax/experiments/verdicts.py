"""What a comparison says, in words: better, worse, or not to be decided by these runs."""

import enum

from asae_jax.experiments.compare import MIN_SEEDS, Difference, Outcome


class Verdict(enum.Enum):
    """Whether the one row is better than the other on these data."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "cannot be decided"


def verdict(difference: Difference) -> Verdict:
    """Better or worse where both intervals, over seeds and over images, lie on that side of zero.

    One of them alone is not enough: other runs on the same images, and the same runs on other images, would
    both have to give that sign. Fewer than `MIN_SEEDS` seeds have no interval and decide nothing.
    """
    estimate, (low, high) = difference.over_seeds, difference.over_images
    if estimate.low is None or estimate.high is None:
        return Verdict.UNDECIDED
    if min(estimate.low, low) > 0:
        return Verdict.BETTER
    if max(estimate.high, high) < 0:
        return Verdict.WORSE
    return Verdict.UNDECIDED


def paper_verdict(difference: Difference, gain: float) -> str:
    """Whether the paper's claim of a `gain` in accuracy, in points, holds: "holds", "does not hold" or
    "cannot be decided".

    Only the sign is asked for: the paper's data are others.
    """
    found = verdict(difference)
    if found is Verdict.UNDECIDED:
        return found.value
    return "holds" if (found is Verdict.BETTER) == (gain > 0) else "does not hold"


def falls_short(difference: Difference, gain: float) -> bool:
    """Whether a `gain` as large as the paper's, in points, lies above both intervals."""
    high = difference.over_seeds.high
    return high is not None and max(high, difference.over_images[1]) < gain / 100


def why_undecided(outcome: Outcome) -> str:
    """What stands in the way of a decision on accuracy, in a few words; empty where nothing does."""
    difference = outcome.differences["accuracy"]
    if verdict(difference) is not Verdict.UNDECIDED:
        return ""
    if len(outcome.seeds) < MIN_SEEDS:
        return f"fewer than {MIN_SEEDS} seeds say too little about other runs"
    estimate, (low, high) = difference.over_seeds, difference.over_images
    assert estimate.low is not None
    assert estimate.high is not None
    seeds_open = estimate.low <= 0 <= estimate.high
    images_open = low <= 0 <= high
    if seeds_open and images_open:
        return "other seeds or other test images could turn the sign"
    if seeds_open:
        return "other seeds could turn the sign"
    return "other test images could turn the sign" if images_open else "seeds and images disagree"
