"""Sizes of nuclei of sets that were drawn."""

import pytest

from asae_jax.input.nucleus_sizes import LEAST, NucleusSizes, another_scale, measure_nuclei
from tests.input.drawn_nuclei import crop


def _set(diameters):
    return [crop(diameter) for diameter in diameters]


def test_quartiles_are_those_of_what_was_drawn():
    found = measure_nuclei(_set([20] * 15 + [40] * 15 + [60] * 15))
    assert found.count == 45
    assert (found.low, found.median, found.high) == pytest.approx((20, 40, 60), abs=3)


def test_of_few_nothing_is_said():
    blank = crop(0.0, background=(200, 200, 200))
    assert measure_nuclei([]) is None
    assert measure_nuclei(_set([40] * (LEAST - 1))) is None
    assert measure_nuclei(_set([40] * LEAST)).count == LEAST
    assert measure_nuclei([blank] * 5 + _set([40] * LEAST)).count >= LEAST


@pytest.mark.parametrize("quartiles", [(0, 0, 0), (1e-320, 1e-320, 1e-320), (-3, 40, 50), (50, 40, 60),
                                       (float("nan"), 40, 50), (30, 40, float("inf"))])  # fmt: skip
def test_what_is_no_quartiles_is_refused(quartiles):
    with pytest.raises(ValueError, match="no quartiles"):
        NucleusSizes(50, *quartiles)


@pytest.mark.parametrize(
    ("median", "ratio"), [(40, None), (55, None), (28, None), (60, 1.5), (80, 2), (20, 0.5)]
)
def test_only_what_classes_do_not_explain_is_another_scale(median, ratio):
    found = another_scale(NucleusSizes(50, 30, 40, 50), NucleusSizes(50, 0.8 * median, median, 1.2 * median))
    assert found == (None if ratio is None else pytest.approx(ratio))
