"""What is said of another laboratory: nothing where its images are like the run's, a warning where not."""

import numpy as np
import pytest

from asae_jax.evaluation.calibration import soften
from asae_jax.evaluation.other_laboratory import looks_different, measure, sentences, warnings_of
from asae_jax.evaluation.uncertainty import Part, fit_uncertainty
from asae_jax.evaluation.uncertainty_report import caveats
from tests.training.tiny import tiny_config

NAMES = ("BLA", "LYT", "MON")


def _part(count, seed, *, shift=0.0, wrong=0.0):
    """Calibrated logits of three classes, features that tell them, and a share of labels drawn anew."""
    rng = np.random.default_rng(seed)
    logits = 4 * rng.normal(size=(count, 3))
    labels = np.minimum((np.exp(soften(logits, 1.0)).cumsum(1) < rng.random((count, 1))).sum(1), 2)
    labels = np.where(rng.random(count) < wrong, rng.integers(3, size=count), labels)
    features = 4 * np.eye(6)[labels] + rng.normal(size=(count, 6)) + shift * np.array([1, -1] * 3)
    return Part(logits.astype(np.float32), features.astype(np.float32), labels)


@pytest.fixture(scope="module")
def estimates():
    parts = {"train": _part(300, 0), "validation": _part(400, 1)}
    return fit_uncertainty(tiny_config().uncertainty, NAMES, parts, {})


def test_images_like_the_runs_are_not_warned_of(estimates):
    found = measure(estimates, _part(300, 2))
    assert found["outliers_at_home"] == pytest.approx(0.05)
    assert found["target_error"] == 0.05
    assert not looks_different(found)
    assert warnings_of({"uncertainty": found}) == []


@pytest.mark.parametrize(("count", "flagged"), [(10, 0), (20, 0), (21, 1), (40, 1), (60, 2), (400, 19)])
def test_no_more_validation_images_look_unlike_than_is_said_and_none_is_said(count, flagged):
    """Of N images floor(0.05 (N - 1)) lie above the 0.95 quantile that is one of them."""
    validation = _part(count, 7)
    fitted = fit_uncertainty(
        tiny_config().uncertainty, NAMES, {"train": _part(300, 0), "validation": validation}, {}
    )
    found = measure(fitted, validation)
    assert found["outliers"]["count"] == flagged <= found["outliers_at_home"] * count
    assert (
        "the limit was set so that at most 5.0 % of the run's own validation images do" in sentences(found)[0]
    )
    said = " ".join(caveats(fitted, validation, chosen_on_it=False, grouped=False))
    assert ("is the highest score of the validation images itself" in said) == (not flagged)


@pytest.mark.parametrize(("low", "told"), [(0.04, False), (0.11, True)])
def test_a_share_whose_interval_reaches_the_usual_one_is_not_warned_of(estimates, low, told):
    """Of few images: 12 % of them look unlike, or are wrong, where 5 % were promised."""
    found = measure(estimates, _part(300, 2)) | {"outliers_at_home": 0.05, "target_error": 0.05}
    found["outliers"] = found["error_of_labelled"] = {
        "count": 3, "of": 25, "share": 0.12, "interval": [low, 0.30],
    }  # fmt: skip
    assert looks_different(found) == told
    assert len(warnings_of({"uncertainty": found})) == 2 * told


def test_images_that_look_different_and_a_threshold_that_does_not_hold(estimates):
    found = measure(estimates, _part(300, 3, shift=20.0, wrong=0.6))
    assert found["outliers"]["share"] == 1.0
    assert looks_different(found)
    look, promise = warnings_of({"uncertainty": found})
    assert (
        "100.0 % of them do, and the limit was set for at most 5.0 % of the run's own validation images"
        in look
    )
    wrong = 100 * found["error_of_labelled"]["share"]
    assert f"{wrong:.1f} % of the cells that it alone would label are wrong" in promise
    # All are outliers, which are left to a person however sure the network is.
    _, itself, alone = sentences(found)
    assert itself == "it would label none of the images by itself, and leave all to a person"
    assert alone.startswith(f"its threshold alone would label {100 * found['labelled']['share']:.1f} % [")


def test_outliers_are_not_labelled_by_itself(estimates):
    near, far = _part(200, 5), _part(100, 6, shift=20.0)
    part = Part(*(np.concatenate(pair) for pair in zip(near, far, strict=True)))
    found = measure(estimates, part)
    judged = estimates.apply(near.logits, near.features)
    kept = ~judged.for_a_person
    wrong = (judged.probabilities.argmax(1) != near.labels)[kept].sum()
    _, itself, alone = sentences(found)
    assert itself.startswith(f"it would label {100 * kept.sum() / 300:.1f} % [")
    assert f"by itself, {100 * wrong / kept.sum():.1f} % [" in itself
    assert f"would label {100 * found['labelled']['share']:.1f} % [" in alone
    assert found["labelled"]["count"] > kept.sum()
    for name in ("labelled_without_a_person", "error_without_a_person"):  # as of an earlier version
        del found[name]
    assert sentences(found)[1:] == [alone]


def test_of_a_run_that_was_adapted_with_labels_nothing_is_said_of_its_training(estimates):
    """Its estimates are of labelled cells of this or another laboratory; no threshold was set at home."""
    for part in (_part(300, 2), _part(300, 3, shift=20.0, wrong=0.6)):
        found = measure(estimates, part, adapted=True)
        told = " ".join([*sentences(found), *warnings_of({"uncertainty": found, "intervals_over": "groups"})])
        assert (
            "unlike the labelled cells that the model was adapted with (the limit was set so that at most "
            "5.0 % of these themselves do)"
        ) in told
        assert "promised when it was adapted: at most 5.0 %" in told
        for false in ("validation", "at home", "training", "train with", "this laboratory"):
            assert false not in told
    assert "100.0 % of them do, and the limit was set for at most 5.0 % of these themselves." in told
    assert "by the labels it was adapted with it was set for 5.0 %" in told


def test_classes_and_repeated_images_are_warned_of():
    scores = {"unknown_classes": {"ERB": 1200, "x": 1}, "absent_classes": ["MON"], "num_trained_on": 7}
    told = warnings_of(scores)
    assert "does not know ERB (1,200), x (1)" in told[0]
    assert told[1].startswith("No image of MON here")
    assert told[2].startswith("7 of the images were trained on")
    assert "is not known: the run has no estimates" in told[3]


def test_a_run_that_labels_nothing_itself(estimates):
    found = measure(estimates, _part(50, 4))
    found["labelled"] = found["error_of_labelled"] = {"count": 0, "of": 0, "share": None, "interval": [0, 1]}
    assert "leave all to a person" in sentences(found)[-1]
    assert warnings_of({"uncertainty": found}) == []
