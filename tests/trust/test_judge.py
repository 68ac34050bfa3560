import json

import numpy as np
import pytest

from asae_jax import trust as t
from asae_jax.errors import UserError

FEATURES = np.random.default_rng(0).normal(size=(60, 4)) + 3 * np.eye(4)[np.arange(60) % 3]
LABELS = np.arange(60) % 3


def _trust(method="distance"):
    reference = t.fit_reference(FEATURES, LABELS, 3, method=method)
    return t.Trust(
        class_names=("BLA", "LYT", "MON"),
        num_examples=60,
        conditions={"step": 7, "test_mode": "skip"},
        temperature=t.Temperature(2.0, 1.5, 2.6),
        abstention=t.Abstention(0.6, 0.05, 0.0, 0.8, 0.04, (0.01, 0.1)),
        conformal=t.Conformal("aps", 0.1, 0.7),
        outliers=t.Outliers(
            method, 0.98, {"distance": 4.0, "neighbours": 1.0, "energy": -3.0}[method], reference
        ),
    )


LOGITS = np.array([[8.0, 0, 0], [2.0, 1.6, 0], [0.0, 0.0, 0.1]], np.float32)


def test_images_are_judged_by_calibrated_probabilities_and_distance():
    near = np.concatenate([FEATURES[:2], [[50.0] * 4]])
    judged = _trust().apply(LOGITS, near)
    expected = np.exp(LOGITS / 2) / np.exp(LOGITS / 2).sum(1, keepdims=True)
    np.testing.assert_allclose(judged.probabilities, expected, rtol=1e-6)
    np.testing.assert_array_equal(judged.abstain, [False, True, True])
    np.testing.assert_array_equal(judged.is_ood, [False, False, True])
    np.testing.assert_array_equal(judged.for_a_person, [False, True, True])
    assert judged.sets.tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_log_probabilities_serve_as_well_as_logits():
    log_probs = t.soften(LOGITS, 1.0)
    from_logits, from_log_probs = _trust().apply(LOGITS), _trust().apply(log_probs)
    np.testing.assert_allclose(from_logits.probabilities, from_log_probs.probabilities, rtol=1e-6)


def test_without_features_nothing_is_said_about_strangeness():
    judged = _trust().apply(LOGITS)
    assert judged.ood_score is None
    assert judged.is_ood is None
    np.testing.assert_array_equal(judged.for_a_person, judged.abstain)


def test_energy_needs_no_features():
    np.testing.assert_array_equal(_trust("energy").apply(LOGITS).is_ood, [False, True, True])


def test_energy_of_log_probabilities_is_not_known_rather_than_a_constant():
    assert _trust("energy").apply(t.soften(LOGITS, 1.0).astype(np.float32)).is_ood is None


def test_no_images_are_no_mistake():
    judged = _trust().apply(np.zeros((0, 3)), np.zeros((0, 4)))
    assert judged.probabilities.shape == judged.sets.shape == (0, 3)


def test_scores_of_other_classes_are_refused():
    with pytest.raises(ValueError, match=r"\[N, 3\]"):
        _trust().apply(np.zeros((2, 4)))


@pytest.mark.parametrize("method", t.OUTLIER_METHODS)
def test_the_files_give_back_what_was_written(tmp_path, method):
    t.write_trust(_trust(), tmp_path, {})  # what another method kept is not taken for this one's
    trust = _trust(method)
    t.write_trust(trust, tmp_path, {"caveats": ["one"]})
    content = json.loads((tmp_path / t.FILE).read_text())
    assert content["caveats"] == ["one"]
    assert content["temperature"]["value"] == 2.0
    again = t.read_trust(tmp_path)
    assert again.to_json() == trust.to_json()
    assert type(again.outliers.reference) is type(trust.outliers.reference)
    before, after = trust.apply(LOGITS, FEATURES[:3]), again.apply(LOGITS, FEATURES[:3])
    np.testing.assert_array_equal(before.ood_score, after.ood_score)


def test_a_folder_without_the_file_knows_nothing(tmp_path):
    assert t.read_trust(tmp_path) is None


@pytest.mark.parametrize("content", ["{", "{}", '{"class_names": 3}'])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, content):
    (tmp_path / t.FILE).write_text(content)
    with pytest.raises(UserError, match=r"trust\.json.*evaluate --workdir"):
        t.read_trust(tmp_path)
