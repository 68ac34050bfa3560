"""What training and `evaluate` leave for those who use the run."""

import dataclasses
import json
import types

import jax
import numpy as np
import pytest

from asae_jax.config import check
from asae_jax.errors import UserError
from asae_jax.evaluation import uncertainty, uncertainty_files, uncertainty_report
from asae_jax.evaluation.calibration import LIMITS, Temperature, soften
from asae_jax.evaluation.shares import percent
from asae_jax.evaluation.uncertainty import Part
from asae_jax.evaluation.uncertainty_report import caveats, measured
from asae_jax.input.nucleus_sizes import NucleusSizes
from asae_jax.run import build, folder, steps
from asae_jax.run.run import Run
from tests.training.tiny import tiny_config

NAMES = ("BLA", "LYT", "MON")


def _part(n, seed, shift=0.0):
    """Images of three classes whose logits are twice too sure, and whose features tell the classes."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, 3))
    probabilities = np.exp(soften(logits, 1.0))
    labels = np.minimum((probabilities.cumsum(1) < rng.random((n, 1))).sum(1), 2)
    features = 4 * np.eye(6)[labels] + rng.normal(size=(n, 6)) + shift
    return Part((2 * logits).astype(np.float32), features.astype(np.float32), labels)


NUCLEI = NucleusSizes(200, 31.0, 40.5, 52.0)
PARTS = {"train": _part(400, 0), "validation": _part(300, 1), "test": _part(500, 2)}


def _run(workdir, config, step=12):
    run = Run(workdir, config, NAMES)
    run.step = step
    return run


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """`measure_uncertainty` on the parts above instead of a network's; returns what it wrote."""

    def measured_run(config, parts=PARTS, groups=None):
        monkeypatch.setattr(uncertainty_report, "score_parts", lambda *_: parts)
        monkeypatch.setattr(uncertainty_report, "training_nuclei", lambda _: NUCLEI)
        config.uncertainty.keep_cells = False  # of which there are none
        run = _run(tmp_path, config)
        run.data = types.SimpleNamespace(
            indices=lambda split: np.arange(len(parts[split].labels)) if split in parts else np.arange(0),
            index=types.SimpleNamespace(class_names=NAMES, groups=groups, contents=np.full(500, b"")),
            splits=np.full(500, "validation"),
        )
        uncertainty_report.measure_uncertainty(run)
        path = tmp_path / uncertainty_files.FILE
        return json.loads(path.read_text()) if path.exists() else None

    return measured_run


def test_the_file_holds_the_fit_and_its_score_on_images_it_has_not_seen(measure, tmp_path):
    written = measure(tiny_config())
    assert written["temperature"]["low"] < 2 < written["temperature"]["high"]
    assert written["num_validation_images"] == 300
    assert written["notice"] == "For research, not a diagnosis."
    test = written["measured"]["test"]
    assert test["reliability"]["calibrated"]["nll"] < test["reliability"]["uncalibrated"]["nll"]
    probabilities = np.exp(soften(PARTS["test"].logits, written["temperature"]["value"]))
    labelled = probabilities.max(1) >= written["abstention"]["threshold"]
    wrong = probabilities.argmax(1) != PARTS["test"].labels
    assert test["labelled"]["count"] == labelled.sum()
    assert test["error_of_labelled"]["share"] == pytest.approx(wrong[labelled].mean())
    assert test["error_of_all"]["count"] == wrong.sum()
    held = test["sets_with_the_true_class"]
    assert held["interval"][0] < 0.9 < held["interval"][1]
    assert sum(share["of"] for share in test["sets_with_the_true_class_of"].values()) == 500
    assert 0.01 < test["outliers"]["share"] < 0.1
    for name in ("reliability.png", "risk_coverage.png", "features.npz"):
        assert (tmp_path / uncertainty_files.FOLDER / name).stat().st_size > 500


def test_what_is_read_again_flags_other_images(measure, tmp_path):
    config = tiny_config()
    measure(config)
    found = uncertainty_files.read_matching_uncertainty(_run(tmp_path, config))
    assert found.nuclei == NUCLEI
    other = _part(100, 3, shift=5.0)
    assert found.apply(other.logits, other.features).is_outlier.mean() > 0.8
    assert measured(found, other)["outliers"]["count"] > 80


def test_what_is_labelled_by_itself_is_neither_uncertain_nor_an_outlier(measure, tmp_path, capsys):
    """Half of the images lie far from the training images: `predict` leaves these to a person."""
    parts = PARTS | {"test": Part(*map(np.concatenate, zip(_part(200, 5), _part(200, 6, 5.0), strict=True)))}
    written = measure(tiny_config(), parts)
    test = written["measured"]["test"]
    judged = uncertainty_files.read_uncertainty(tmp_path).apply(parts["test"].logits, parts["test"].features)
    wrong = judged.probabilities.argmax(1) != parts["test"].labels
    kept = ~judged.abstain & ~judged.is_outlier
    assert 0 < kept.sum() < (~judged.abstain).sum() == test["labelled"]["count"]
    assert test["labelled_without_a_person"]["count"] == kept.sum()
    assert test["labelled_without_a_person"]["of"] == 400
    assert test["error_without_a_person"]["count"] == (wrong & kept).sum()
    assert test["error_without_a_person"]["of"] == kept.sum()
    said = capsys.readouterr().out
    assert f"it labels {percent(kept.mean())} [" in said
    alone = "its threshold alone, set for at most 5.0 % mistakes, would label"
    assert f"{alone} {percent((~judged.abstain).mean())} [" in said
    for name in ("labelled_without_a_person", "error_without_a_person"):  # as of an earlier version
        del test[name]
    old = uncertainty_report.summary(uncertainty_files.read_uncertainty(tmp_path), written)
    assert alone in old
    assert "by itself" not in old


def test_where_nothing_is_labelled_no_share_of_it_is_wrong(measure, tmp_path):
    """Nor does an interval of none come with it."""
    written = measure(tiny_config(uncertainty__target_error=0.001))
    said = uncertainty_report.summary(uncertainty_files.read_uncertainty(tmp_path), written).splitlines()
    itself, alone = said[1:3]
    assert itself == "  it labels none of the images by itself, and leaves all to a person"
    assert "its threshold alone, set for at most 0.1 % mistakes, would label none of them (labelling" in alone


def test_no_estimate_comes_from_what_was_learnt():
    """Of validation images two are copies of training images, two of each other, two of unknown content."""
    data = types.SimpleNamespace(
        indices=lambda split: np.array([2, 3, 4, 5, 6, 7]),
        index=types.SimpleNamespace(contents=np.array([b"a", b"b", b"a", b"c", b"c", b"b", b"", b""])),
        splits=np.array(["train"] * 2 + ["validation"] * 6),
    )
    assert uncertainty_report.judging_rows(data).tolist() == [3, 6, 7]


def test_without_validation_images_nothing_is_written_and_it_is_said(measure, capsys):
    assert measure(tiny_config(), {"train": PARTS["train"], "test": PARTS["test"]}) is None
    assert "no validation images" in capsys.readouterr().out


def test_without_test_images_the_validation_part_is_shown(measure, capsys):
    written = measure(tiny_config(), {name: PARTS[name] for name in ("train", "validation")})
    assert list(written["measured"]) == ["validation"]
    assert "on 300 validation images" in capsys.readouterr().out


def test_measures_of_another_checkpoint_or_test_mode_are_not_used(measure, tmp_path):
    config = tiny_config()
    with pytest.warns(UserWarning, match=r"uncertainty\.json is missing; .evaluate --workdir"):
        assert uncertainty_files.read_matching_uncertainty(_run(tmp_path, config)) is None
    measure(config)
    with pytest.warns(UserWarning, match="step 12.* not of step 13"):
        assert uncertainty_files.read_matching_uncertainty(_run(tmp_path, config, 13)) is None
    config.eval.batch_statistics = "reestimate"
    with pytest.warns(UserWarning, match="batch_statistics running.* not of .*batch_statistics reestimate"):
        assert uncertainty_files.read_matching_uncertainty(_run(tmp_path, config)) is None
    config.eval.batch_statistics = "running"
    config.eval.test_mode = "enhance"
    with pytest.warns(UserWarning, match="test_mode skip.* not of .*test_mode enhance"):
        assert uncertainty_files.read_matching_uncertainty(_run(tmp_path, config)) is None
    config.model.branching = "none"  # the mode has no meaning without the layer
    assert uncertainty_files.read_matching_uncertainty(_run(tmp_path, config)) is not None


def test_a_reader_is_told_what_the_numbers_cannot_carry(measure):
    few = {"train": PARTS["train"], "validation": Part(*(a[:8] for a in PARTS["validation"]))}
    few["validation"] = few["validation"]._replace(labels=np.zeros(8, int))
    config = tiny_config(uncertainty__target_error=0.001)
    said = " ".join(measure(config, few, groups=np.arange(9))["caveats"])
    for sentence in (
        "Only 8 validation images",
        "No validation image of LYT, MON",
        "takes at least 1609 validation images, all right: every image is left to a person",
        "miss 10.0 % need at least 9 images",
        "the highest score of the validation images",
        "one slide or patient",
        "chosen on the same validation images",
        "same laboratory, stain and camera only",
    ):
        assert sentence in said


def test_with_enough_images_only_what_always_holds_is_said(measure, tmp_path):
    measure(tiny_config())
    fitted = uncertainty_files.read_uncertainty(tmp_path)
    said = caveats(fitted, PARTS["validation"], chosen_on_it=False, grouped=False)
    grouped = caveats(fitted, PARTS["validation"], chosen_on_it=False, grouped=True)
    assert [text for text in grouped if text not in said] == [
        "Intervals and promises take images as independent; those of one slide or patient are not, and new "
        "patients may have more errors than promised."
    ]
    assert said == ["Everything holds for images of the same laboratory, stain and camera only."]
    none = dataclasses.replace(fitted, abstention=dataclasses.replace(fitted.abstention, coverage=0.0))
    assert "Intervals take images as independent; those of one slide or patient are not." in caveats(
        none, PARTS["validation"], chosen_on_it=False, grouped=True
    )
    undecided = dataclasses.replace(fitted, temperature=Temperature(1.1, 0.9, 1.3).if_needed())
    said = caveats(undecided, PARTS["validation"], chosen_on_it=False, grouped=False)
    assert "no calibration, lies within the interval: it is not applied" in said[0]


@pytest.mark.parametrize(
    ("temperature", "said"),
    [
        (Temperature(0.1, LIMITS[0], 0.7), ""),  # one end at a limit: it is applied
        (Temperature(12.0, 5.0, LIMITS[1]), ""),
        (Temperature(LIMITS[0], *LIMITS), "ended at its limit"),
        (Temperature(0.4, LIMITS[0], 1.5), "lies within the interval"),
    ],
)
def test_that_a_temperature_is_not_applied_is_said_where_it_is_not(measure, tmp_path, temperature, said):
    measure(tiny_config())
    fitted = uncertainty_files.read_uncertainty(tmp_path)
    changed = dataclasses.replace(fitted, temperature=temperature.if_needed())
    found = caveats(changed, PARTS["validation"], chosen_on_it=False, grouped=False)
    told = [line for line in found if "it is not applied" in line]
    assert len(told) == bool(said) == (changed.temperature.fitted is not None)
    assert said in "".join(told)


@pytest.mark.parametrize(("error", "said"), [(0.1, 0), (0.3, 1)])
def test_sets_that_never_show_doubt_are_pointed_out(error, said, measure):
    """The most probable class alone is right in three of four images."""
    written = measure(tiny_config(uncertainty__conformal_error=error))
    found = [line for line in written["caveats"] if line.startswith("No set has more than one class")]
    assert len(found) == said
    assert (written["measured"]["test"]["set_size"] == 1) == bool(said)


def _calibrated(n, seed):
    """Images whose labels are drawn from their own probabilities: no temperature is needed."""
    part = _part(n, seed)
    return part._replace(logits=part.logits / 2)


def test_a_temperature_that_may_as_well_be_1_is_not_applied(measure, tmp_path, capsys):
    parts = {"train": PARTS["train"], "validation": _calibrated(300, 1), "test": _calibrated(500, 2)}
    written = measure(tiny_config(), parts)
    temperature = written["temperature"]
    assert temperature["low"] < 1 < temperature["high"]
    assert temperature["value"] == 1
    assert temperature["fitted"] != 1
    reliability = written["measured"]["test"]["reliability"]
    assert reliability["calibrated"] == reliability["uncalibrated"]
    assert (
        f"temperature 1, not applied, as the interval of {temperature['fitted']:.2f}"
        in capsys.readouterr().out
    )
    assert uncertainty_files.read_uncertainty(tmp_path).temperature.fitted == temperature["fitted"]


def test_a_temperature_that_the_images_do_not_determine_is_not_applied(measure):
    part = _part(40, 1)
    sure = part._replace(logits=np.eye(3, dtype=np.float32)[part.labels] * 3)
    written = measure(tiny_config(), PARTS | {"validation": sure})
    assert written["temperature"]["value"] == 1
    assert any("do not determine it, and it is not applied" in text for text in written["caveats"])


def test_the_curve_of_risk_and_coverage_by_hand():
    """Five images, of which those of the third and the least confidence are wrong."""
    fitted = uncertainty.fit_uncertainty(tiny_config().uncertainty, NAMES, PARTS, {})
    logits = np.array([0.9, 0.2, 0.6, 0.8, 0.4])[:, None] * np.array([10.0, 0, 0])
    part = Part(logits, PARTS["test"].features[:5], np.array([0, 1, 1, 0, 0]))
    curve = measured(fitted, part)["risk_coverage"]
    np.testing.assert_allclose(curve["coverage"], [0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(curve["risk"], [0, 0, 1 / 3, 1 / 4, 2 / 5])


def test_the_sample_has_every_class_and_is_spread_over_the_table():
    labels = np.array([0] * 10 + [1] * 3 + [2] * 5)
    data = types.SimpleNamespace(labels=lambda rows: labels[rows], index=types.SimpleNamespace(num_classes=3))
    sample = uncertainty_report.sample_per_class(np.arange(18), data, 4)
    np.testing.assert_array_equal(sample, [0, 3, 6, 9, 10, 11, 12, 13, 14, 16, 17])


def _scored(config):
    network = build.create_network(config, 3)
    images = np.random.default_rng(0).integers(0, 255, (4, 36, 36, 3), dtype=np.uint8)
    preprocess = build.create_preprocess(config)
    variables = jax.eval_shape(
        lambda: network.init(jax.random.key(0), jax.numpy.zeros((1, 32, 32, 3)), train=False)
    )
    variables = jax.tree.map(lambda x: np.full(x.shape, 0.01, x.dtype), variables)

    def score(variables, images):
        return steps.score_and_pool_step(variables, {"image": images}, network=network, preprocess=preprocess)

    return score, variables, images


def test_the_pooled_features_are_what_the_head_sees():
    score, variables, images = _scored(tiny_config())
    head = variables["params"]["backbone"]["head"]
    head["kernel"] = np.random.default_rng(1).normal(size=head["kernel"].shape).astype(np.float32)
    logits, features = jax.jit(score)(variables, images)
    expected = np.asarray(features) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(expected, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["skip", "enhance", "mean"])
def test_every_way_of_testing_gives_one_row_of_features(mode):
    logits, features = jax.eval_shape(*_scored(tiny_config(eval__test_mode=mode)))
    assert (logits.shape, features.shape) == ((4, 3), (4, 64))
    assert features.dtype == np.float32


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("target_error", 0.0, "above 0, below 1"),
        ("conformal_error", 1.0, "above 0, below 1"),
        ("outlier_quantile", 98, "above 0, below 1"),
        ("certainty", 1.0, "below 1"),
        ("conformal", "raps", "lac, aps"),
        ("outliers", "knn", "neighbours, distance, energy"),
        ("images_per_class", 1, "at least 2"),
    ],
)
def test_settings_that_cannot_work_are_named(field, value, remedy):
    config = tiny_config()
    with config.ignore_type():
        config.uncertainty[field] = value
    with pytest.raises(UserError, match=f"config.uncertainty.{field}={value!r}.*{remedy}"):
        check(config)


def test_the_mean_over_branches_has_no_energy():
    with pytest.raises(UserError, match="use distance"):
        check(tiny_config(uncertainty__outliers="energy", eval__test_mode="mean"))


def _of(folder, config):
    return uncertainty_files.read_matching_uncertainty(_run(folder, config))


def test_other_settings_do_not_replace_what_predict_uses(measure, tmp_path):
    """`evaluate --test_mode=enhance` after training: each way of testing has its own estimates."""
    own, enhance = tiny_config(eval__test_mode="skip"), tiny_config(eval__test_mode="enhance")
    last = tiny_config(eval__test_mode="enhance", eval__checkpoint="last")
    folder.write(tmp_path, own, folder.Record(NAMES, "no data", {}))
    before = measure(own)
    fewer = PARTS | {"validation": _part(150, 4)}
    assert measure(enhance, fewer) == before, "uncertainty.json is as it was"
    assert {path.name for path in tmp_path.glob("uncertainty*.json")} == {
        "uncertainty.json",
        "uncertainty-enhance.json",
    }
    assert _of(tmp_path, own).num_examples == 300
    found = _of(tmp_path, enhance)
    assert found.num_examples == 150
    assert found.conditions["test_mode"] == "enhance"
    assert np.isfinite(found.outliers.score(PARTS["test"].logits, PARTS["test"].features)).all()
    assert uncertainty_files.uncertainty_name(_run(tmp_path, last)) == "uncertainty-enhance-last"
    # The same settings once more replace their own.
    assert measure(own, fewer)["num_validation_images"] == 150
    assert _of(tmp_path, enhance).num_examples == 150


def test_estimates_of_other_settings_alone_are_not_used(measure, tmp_path):
    own, enhance = tiny_config(eval__test_mode="skip"), tiny_config(eval__test_mode="enhance")
    folder.write(tmp_path, own, folder.Record(NAMES, "no data", {}))
    assert measure(enhance) is None
    with pytest.warns(UserWarning, match=r"not calibrated.*uncertainty\.json is missing"):
        assert _of(tmp_path, own) is None
