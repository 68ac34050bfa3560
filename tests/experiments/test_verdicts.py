"""When a comparison is decided, and what is said when it is not."""

import pytest

from asae_jax.experiments.compare import Difference, Outcome
from asae_jax.experiments.statistics import Estimate, SignTest
from asae_jax.experiments.verdicts import Verdict, falls_short, paper_verdict, verdict, why_undecided

EITHER = "other seeds or other test images could turn the sign"


def _difference(seeds, images):
    low, high = seeds or (None, None)
    return Difference(Estimate(sum(images) / 2, low, high), None, images)


def _outcome(difference, seeds=(0, 1, 2)):
    return Outcome(seeds, {"accuracy": difference}, SignTest(0, 0, 1.0), {}, [], [])


@pytest.mark.parametrize(
    ("seeds", "images", "expected", "reason"),
    [
        ((0.01, 0.05), (0.02, 0.04), Verdict.BETTER, ""),
        ((-0.05, -0.01), (-0.04, -0.02), Verdict.WORSE, ""),
        ((-0.01, 0.05), (0.02, 0.04), Verdict.UNDECIDED, "other seeds could turn the sign"),
        ((0.01, 0.02), (-0.01, 0.04), Verdict.UNDECIDED, "other test images could turn the sign"),
        ((-0.01, 0.02), (-0.01, 0.04), Verdict.UNDECIDED, EITHER),
        ((0.0, 0.0), (0.0, 0.0), Verdict.UNDECIDED, EITHER),
        (None, (0.02, 0.04), Verdict.UNDECIDED, "fewer than 3 seeds say too little about other runs"),
    ],
)  # fmt: skip
def test_both_intervals_must_lie_on_one_side(seeds, images, expected, reason):
    difference = _difference(seeds, images)
    assert verdict(difference) is expected
    assert why_undecided(_outcome(difference, (0,) if seeds is None else (0, 1, 2))) == reason


def test_a_claim_holds_by_its_sign():
    assert paper_verdict(_difference((0.01, 0.05), (0.02, 0.04)), 1.0) == "holds"
    assert paper_verdict(_difference((-0.05, -0.01), (-0.04, -0.02)), 1.0) == "does not hold"
    assert paper_verdict(_difference((-0.05, 0.01), (-0.04, 0.02)), 1.0) == "cannot be decided"


def test_a_gain_above_both_intervals_is_ruled_out():
    difference = _difference((-0.01, 0.02), (-0.01, 0.015))
    assert falls_short(difference, 2.5)
    assert not falls_short(difference, 1.8)
    assert not falls_short(_difference(None, (-0.01, 0.015)), 2.5)
