"""How far the scores of an export may be from those of the network."""

import numpy as np
import pytest

from asae_jax.inference.export.verify import TOLERANCE, compare


def _scores(largest):
    logits = np.linspace(-largest, largest, 12).reshape(4, 3)
    return {"logits": logits, "probabilities": np.full((4, 3), 1 / 3)}


@pytest.mark.parametrize(("largest", "allowed"), [(0.01, 1e-4), (1, 1e-4), (50, 5e-3)])
@pytest.mark.parametrize("share", [0.9, 1.1])
def test_the_difference_allowed_grows_with_logits_above_one_alone(largest, allowed, share):
    """Below, float32 sums of numbers near 1 differ as much, whatever the logits come to."""
    expected = _scores(largest)

    def run(rows):
        return {
            name: values[rows] + share * allowed * (name == "logits") for name, values in expected.items()
        }

    found = compare(run, np.arange(4), expected)
    assert TOLERANCE == 1e-4
    assert found.allowed == pytest.approx(allowed)
    assert found.logits == pytest.approx(share * allowed)
    assert ("logits differ by" in found.too_large) == (share > 1)
