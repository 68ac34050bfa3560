import dataclasses
import json

import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.evaluation import uncertainty, uncertainty_files
from asae_jax.evaluation.abstention import NEVER, Abstention
from asae_jax.evaluation.calibration import Temperature, soften
from asae_jax.evaluation.conformal import Conformal
from asae_jax.evaluation.outliers import METHODS, Outliers, fit_reference
from asae_jax.json_files import CHECKSUM
from tests.edited import edited

FEATURES = np.random.default_rng(0).normal(size=(60, 4)) + 3 * np.eye(4)[np.arange(60) % 3]
LABELS = np.arange(60) % 3


def _estimates(method="distance"):
    reference = fit_reference(FEATURES, LABELS, 3, method=method)
    return uncertainty.Uncertainty(
        class_names=("BLA", "LYT", "MON"),
        num_examples=60,
        conditions={"step": 7, "test_mode": "skip"},
        temperature=Temperature(2.0, 1.5, 2.6),
        abstention=Abstention(0.6, 0.05, 0.0, 0.8, 0.04, (0.01, 0.1)),
        conformal=Conformal("aps", 0.1, 0.7),
        outliers=Outliers(
            method, 0.98, {"distance": 4.0, "neighbours": 1.0, "energy": -3.0}[method], reference
        ),
    )


LOGITS = np.array([[8.0, 0, 0], [2.0, 1.6, 0], [0.0, 0.0, 0.1]], np.float32)


def test_images_are_judged_by_calibrated_probabilities_and_distance():
    near = np.concatenate([FEATURES[:2], [[50.0] * 4]])
    judged = _estimates().apply(LOGITS, near)
    expected = np.exp(LOGITS / 2) / np.exp(LOGITS / 2).sum(1, keepdims=True)
    np.testing.assert_allclose(judged.probabilities, expected, rtol=1e-6)
    np.testing.assert_array_equal(judged.abstain, [False, True, True])
    np.testing.assert_array_equal(judged.is_outlier, [False, False, True])
    np.testing.assert_array_equal(judged.for_a_person, [False, True, True])
    assert judged.sets.tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_why_nothing_is_labelled_is_the_number_of_images_where_that_is_so():
    never = Abstention(NEVER, 0.05, 0.8, 0.0, 0.0, (0.0, 1.0))
    few, many = (dataclasses.replace(_estimates(), abstention=never, num_examples=n) for n in (31, 32))
    assert few.nothing_labelled() == (
        "to promise at most 5 % errors takes at least 32 images with labels, all of them right, and there "
        "were 31"
    )
    assert many.nothing_labelled() == "no certainty kept the errors among the images with labels to 5 %"


def test_an_image_exactly_at_the_threshold_is_labelled():
    judged = _estimates().judge(np.array([[0.6, 0.4, 0.0], [0.59, 0.41, 0.0]]))
    assert judged.abstain.tolist() == [False, True]


def test_log_probabilities_serve_as_well_as_logits():
    log_probs = soften(LOGITS, 1.0)
    from_logits, from_log_probs = _estimates().apply(LOGITS), _estimates().apply(log_probs)
    np.testing.assert_allclose(from_logits.probabilities, from_log_probs.probabilities, rtol=1e-6)


@pytest.mark.parametrize("nuclei", [5, "x", [], {}, {"count": 9, "low": 0, "median": 0, "high": 0}])
def test_damaged_sizes_of_nuclei_are_refused_in_one_line(nuclei, tmp_path):
    """An older run has none, which is no fault; a hand-edited file has no checksum."""
    uncertainty_files.write_uncertainty(_estimates("energy"), tmp_path, {})
    assert uncertainty_files.read_uncertainty(tmp_path).nuclei is None
    with edited(tmp_path / uncertainty_files.FILE) as content:
        content.pop("nuclei")
    assert uncertainty_files.read_uncertainty(tmp_path).nuclei is None
    with edited(tmp_path / uncertainty_files.FILE) as content:
        content["nuclei"] = nuclei
    with pytest.raises(UserError, match=r"cannot be used .*writes it anew"):
        uncertainty_files.read_uncertainty(tmp_path)


def test_without_features_there_is_no_outlier_score():
    judged = _estimates().apply(LOGITS)
    assert judged.outlier_score is None
    assert judged.is_outlier is None
    np.testing.assert_array_equal(judged.for_a_person, judged.abstain)


def test_energy_needs_no_features():
    np.testing.assert_array_equal(_estimates("energy").apply(LOGITS).is_outlier, [False, True, True])


def test_energy_of_log_probabilities_is_not_known_rather_than_a_constant():
    assert _estimates("energy").apply(soften(LOGITS, 1.0).astype(np.float32)).is_outlier is None


def test_no_images_are_no_mistake():
    judged = _estimates().apply(np.zeros((0, 3)), np.zeros((0, 4)))
    assert judged.probabilities.shape == judged.sets.shape == (0, 3)


def test_scores_of_other_classes_are_refused():
    with pytest.raises(ValueError, match=r"\[N, 3\]"):
        _estimates().apply(np.zeros((2, 4)))


@pytest.mark.parametrize("method", METHODS)
def test_the_files_give_back_what_was_written(tmp_path, method):
    uncertainty_files.write_uncertainty(
        _estimates(), tmp_path, {}
    )  # what another method kept is not taken for this one's
    estimates = _estimates(method)
    uncertainty_files.write_uncertainty(estimates, tmp_path, {"caveats": ["one"]})
    content = json.loads((tmp_path / uncertainty_files.FILE).read_text())
    assert content["caveats"] == ["one"]
    assert content["temperature"]["value"] == 2.0
    again = uncertainty_files.read_uncertainty(tmp_path)
    assert again.to_json() == estimates.to_json()
    assert type(again.outliers.reference) is type(estimates.outliers.reference)
    before, after = estimates.apply(LOGITS, FEATURES[:3]), again.apply(LOGITS, FEATURES[:3])
    np.testing.assert_array_equal(before.outlier_score, after.outlier_score)


def test_a_folder_without_the_file_knows_nothing(tmp_path):
    assert uncertainty_files.read_uncertainty(tmp_path) is None


@pytest.mark.parametrize("content", ["{", "{}", '{"class_names": 3}'])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, content):
    (tmp_path / uncertainty_files.FILE).write_text(content)
    with pytest.raises(UserError, match=r"uncertainty\.json.*evaluate --workdir"):
        uncertainty_files.read_uncertainty(tmp_path)


@pytest.mark.parametrize("part", ["conformal", "outliers"])
def test_a_method_of_another_version_is_named(tmp_path, part):
    uncertainty_files.write_uncertainty(_estimates(), tmp_path, {})
    path = tmp_path / uncertainty_files.FILE
    content = json.loads(path.read_text())
    content[part]["method"] = "later"
    del content[CHECKSUM]
    path.write_text(json.dumps(content))
    with pytest.raises(
        UserError, match=r"uncertainty\.json cannot be used \(unknown .*'later'.*evaluate --w"
    ):
        uncertainty_files.read_uncertainty(tmp_path)


def test_damaged_arrays_are_named_with_the_remedy(tmp_path):
    uncertainty_files.write_uncertainty(_estimates(), tmp_path, {})
    arrays = tmp_path / uncertainty_files.FOLDER / "features.npz"
    whole = arrays.read_bytes()
    for broken in (b"", whole[:10], whole[: len(whole) // 2], b"text"):
        arrays.write_bytes(broken)
        with pytest.raises(UserError, match=r"uncertainty\.json cannot be used.*evaluate --workdir"):
            uncertainty_files.read_uncertainty(tmp_path)


def test_one_changed_number_is_noticed(tmp_path):
    uncertainty_files.write_uncertainty(_estimates(), tmp_path, {})
    estimates, arrays = (
        tmp_path / uncertainty_files.FILE,
        tmp_path / uncertainty_files.FOLDER / "features.npz",
    )
    text = estimates.read_text()
    assert '"value": 2.0' in text
    estimates.write_text(text.replace('"value": 2.0', '"value": 3.0'))
    with pytest.raises(UserError, match=r"uncertainty\.json has changed.*evaluate --workdir"):
        uncertainty_files.read_uncertainty(tmp_path)
    estimates.write_text(text)
    with np.load(arrays) as whole:
        np.savez(arrays, **{name: -array for name, array in whole.items()})
    with pytest.raises(
        UserError, match=r"features\.npz has changed since it was written.*evaluate --workdir"
    ):
        uncertainty_files.read_uncertainty(tmp_path)


def test_a_run_folder_of_the_version_before_opens(tmp_path):
    """Its file and folder have the names trust.json and trust/; once measured anew, the new ones count."""
    uncertainty_files.write_uncertainty(_estimates(), tmp_path, {})
    (tmp_path / uncertainty_files.FILE).rename(tmp_path / "trust.json")
    (tmp_path / uncertainty_files.FOLDER).rename(tmp_path / "trust")
    assert uncertainty_files.uncertainty_file(tmp_path) == tmp_path / "trust.json"
    again = uncertainty_files.read_uncertainty(tmp_path)
    assert again.to_json() == _estimates().to_json()
    before, after = (estimates.apply(LOGITS, FEATURES[:3]) for estimates in (_estimates(), again))
    np.testing.assert_array_equal(before.outlier_score, after.outlier_score)
    uncertainty_files.write_uncertainty(_estimates("energy"), tmp_path, {})
    assert uncertainty_files.uncertainty_file(tmp_path) == tmp_path / uncertainty_files.FILE
    assert uncertainty_files.read_uncertainty(tmp_path).outliers.method == "energy"
