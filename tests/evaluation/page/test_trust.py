"""What the page says of a threshold."""

import pytest

from asae_jax.evaluation.abstention import NEVER
from asae_jax.evaluation.metrics import counted_share
from asae_jax.evaluation.page.trust import charts


def measured(labelled, wrong):
    """Of forty images, all of them with a probability of 0.9 and right."""
    bins = [{"confidence": 0.9, "accuracy": 1.0, "interval": [0.9, 1.0]}]
    scores = {"ece": 0.1, "nll": 0.1, "brier": 0.02}
    return {
        "num_images": 40,
        "reliability_diagram": {"uncalibrated": bins, "calibrated": bins},
        "reliability": {"uncalibrated": scores, "calibrated": scores},
        "risk_coverage": {"coverage": [0.5, 1.0], "risk": [0.0, 0.0]},
        "labelled": counted_share(labelled, 40),
        "error_of_labelled": counted_share(wrong, labelled),
    }


@pytest.mark.parametrize(
    ("labelled", "threshold", "said"),
    [
        (10, 0.85, "The spots are at the chosen threshold, a probability of 0.850."),
        (0, 0.97, "None of these images reaches the threshold of 0.970: all are left to a person."),
        (0, NEVER, "No threshold keeps the promise: every image is left to a person."),
    ],
)
def test_a_threshold_that_no_image_reaches_is_one_all_the_same(labelled, threshold, said):
    shown = charts({"theirs": measured(labelled, 0)}, temperature=1.0, target=0.05, threshold=threshold)
    assert shown[-1].note.startswith(said)
