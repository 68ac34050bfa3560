"""The count corrected for another mixture of classes."""

import csv
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from asae_jax import cli
from asae_jax.evaluation.label_shift import Mixture
from asae_jax.inference.class_prior import ClassPrior
from asae_jax.inference.predict.command import Ensemble
from asae_jax.inference.predict.count.corrected import Correction, MixtureCounter, summary
from asae_jax.inference.predict.count.intervals import percent, share
from asae_jax.inference.records import PredictionUncertainty, Record
from asae_jax.input.cell_classes import cell_classes
from asae_jax.run.adaptation import FILE

NAMES = ("A", "B")
PRIOR = np.array([0.5, 0.5])


def _counter(mixture, count=4000, *, unlike=0.0, group="", seed=0, counter=None):
    """Cells of two Gaussian classes at -1 and 1, with their exact probabilities under `PRIOR`."""
    rng = np.random.default_rng(seed)
    labels = rng.random(count) < mixture
    places = np.where(labels, 1.0, -1.0) + rng.normal(size=count)
    second = 1 / (1 + np.exp(-2 * places))
    counter = MixtureCounter() if counter is None else counter
    for p in second:
        estimate = PredictionUncertainty(False, 0.0, bool(rng.random() < unlike))
        probabilities = np.array([1 - p, p], np.float32)
        counter.add(Record("x", "x", group, probabilities=probabilities, uncertainty=estimate))
    return counter


def _prior():
    """Of this network: right about 84 of 100 cells of either class."""
    return ClassPrior(PRIOR, np.array([[841, 159], [159, 841]]), known=True)


def test_few_resamples_are_said_where_there_are_intervals():
    told = {
        resamples: _counter(0.3, 50).corrected(Correction(_prior(), 0.05, resamples, seed=0))[0].warnings
        for resamples in (0, 99, 100)
    }
    assert told[99][-1] == "Only 99 resamples (eval.bootstrap): intervals by bootstrap are too narrow."
    assert told[0] == told[100] == told[99][:-1]


def test_a_rare_class_that_is_counted_too_often_is_corrected():
    (found,) = _counter(0.05).corrected(Correction(_prior(), usually_unlike=0.05, resamples=100, seed=0))
    assert found.counted[1] > 0.15
    assert abs(found.mixture.shares[1] - 0.05) < 0.02
    assert found.mixture.low[1] < 0.05 < found.mixture.high[1]
    assert not found.warnings
    content = found.to_json(NAMES)
    assert content["classes"]["B"]["corrected"] == pytest.approx(found.mixture.shares[1])
    assert json.loads(json.dumps(content)) == content
    assert "percent of all 4,000 cells" in "\n".join(summary(found, cell_classes(NAMES)))


def test_a_class_on_which_all_resamples_agree_is_shown_without_an_interval():
    (found,) = _counter(0.0, 50).corrected(Correction(_prior(), usually_unlike=0.05, resamples=100, seed=0))
    nothing = Mixture(np.array([1.0, 0.0]), np.full(2, np.nan), np.full(2, np.nan))
    found = dataclasses.replace(found, mixture=nothing)
    assert [row[2] for row in found.rows(cell_classes(NAMES))] == ["100.0", "0.0"]
    for one in found.to_json(NAMES)["classes"].values():
        assert (one["low"], one["high"]) == (None, None)


def test_rows_are_in_the_order_of_maturity():
    (found,) = _counter(0.3, 200).corrected(Correction(_prior(), usually_unlike=0.05, resamples=0, seed=0))
    shown = list(found.rows(cell_classes(("SNE", "PMY"))))
    assert [row[0] for row in shown] == ["PMY", "SNE"]
    assert [float(row[1]) for row in shown] == pytest.approx(100 * found.counted[::-1], abs=0.05)


def test_what_it_rests_on_is_warned_of():
    counter = _counter(0.3, 200, unlike=0.5)
    nothing = ClassPrior(PRIOR, None, known=False)
    (found,) = counter.corrected(Correction(nothing, usually_unlike=0.05, resamples=0, seed=0))
    text = " ".join(found.warnings)
    assert "look unlike the training cells" in text
    assert "not known" in text
    assert "cannot be tested" in text
    (found,) = counter.corrected(Correction(nothing, usually_unlike=None, resamples=0, seed=0))
    assert "not calibrated" in found.warnings[0]
    (found,) = counter.corrected(
        Correction(_prior()._replace(labels=100), usually_unlike=0.5, resamples=0, seed=0)
    )
    assert "Only 100 labels" in found.warnings[0]
    wrong = ClassPrior(PRIOR, np.array([[841, 159], [700, 300]]), known=True)
    (found,) = _counter(0.9).corrected(Correction(wrong, usually_unlike=0.05, resamples=0, seed=0))
    assert any("do not fit" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("confusion", "cells", "seed", "fits", "near"),
    [
        (1000 * np.array([[841, 159], [200, 800]]), 4000, 0, False, True),
        (np.array([[841, 159], [159, 841]]), 20, 2, True, False),
    ],
)
def test_estimates_that_are_near_each_other_or_differ_by_chance_are_no_misfit(
    confusion, cells, seed, fits, near
):
    """Many cells tell a difference that does not matter, and of a few both estimates differ by chance."""
    prior = ClassPrior(PRIOR, confusion, known=True)
    how = Correction(prior, usually_unlike=0.05, resamples=0, seed=0)
    (found,) = _counter(0.5, cells, seed=seed).corrected(how)
    assert (found.mixture.misfit >= 0.01, found.mixture.disagreement <= 0.05) == (fits, near)
    assert not found.warnings


def test_every_cell_is_counted_under_its_most_probable_class_alone():
    counter = MixtureCounter()
    for p in (0.9, 0.6, 0.55, 0.2):
        counter.add(Record("x", "x", "", probabilities=np.array([p, 1 - p], np.float32)))
    (found,) = counter.corrected(Correction(_prior(), usually_unlike=0.05, resamples=0, seed=0))
    np.testing.assert_array_equal(found.counted, [0.75, 0.25])


def test_a_class_that_an_adapted_model_never_gives_has_no_share():
    """Its last layer leaves it a probability near 0, of which the confusion matrix knows nothing."""
    prior = ClassPrior(np.full(3, 1 / 3), np.diag([90, 90, 0]), known=True)
    prior = prior._replace(possible=np.array([True, True, False]))
    counter = MixtureCounter()
    for number in range(40):
        p = [0.98, 0.01, 0.01] if number % 4 else [0.01, 0.98, 0.01]
        counter.add(Record("x", "x", "", probabilities=np.array(p, np.float32)))
    (found,) = counter.corrected(Correction(prior, usually_unlike=0.05, resamples=100, seed=0))
    assert found.mixture.shares[2] == 0
    assert found.mixture.by_confusion is not None
    np.testing.assert_allclose(found.mixture.shares[:2], [0.75, 0.25], atol=0.01)
    assert not found.warnings


@pytest.mark.parametrize(
    ("cells", "unlike", "warned"),
    [(1, 1, False), (9, 1, False), (19, 2, False), (9, 4, True), (200, 21, True), (200, 20, False)],
)
def test_a_few_cells_that_are_unlike_by_chance_do_not_invalidate_a_count(cells, unlike, warned):
    """Of 9 cells 1 in 20 of which is unlike, 4 or more are in 0.06 % of all cases; of 19, 2 in a quarter."""
    counter = MixtureCounter()
    for number in range(cells):
        estimate = PredictionUncertainty(False, 0.0, number < unlike)
        p = np.array([0.8, 0.2], np.float32)
        counter.add(Record("x", "x", "", probabilities=p, uncertainty=estimate))
    (found,) = counter.corrected(Correction(_prior(), usually_unlike=0.05, resamples=0, seed=0))
    assert any("look unlike" in warning for warning in found.warnings) == warned


def test_shares_are_rounded_as_in_the_count_above():
    """1 of 16 cells is 6.25 %: what lies in the middle is rounded up."""
    (found,) = _counter(0.0, 50).corrected(Correction(_prior(), usually_unlike=0.05, resamples=0, seed=0))
    shares = np.array([15 / 16, 1 / 16])
    mixture = Mixture(shares, np.array([0.8125, 0.0625]), np.array([1.0, 0.1875]), by_confusion=shares)
    found = dataclasses.replace(found, counted=shares, mixture=mixture)
    count = [percent(share(cells, 16)).split(" ")[0] for cells in (15, 1)]
    first, second = found.rows(cell_classes(NAMES))
    assert [first[1], second[1]] == count == ["93.8", "6.3"]
    assert first[2:] == ("93.8 [81.3, 100.0]", "93.8")
    assert second[2:] == ("6.3 [6.3, 18.8]", "6.3")


def test_groups_have_their_own_and_an_unreadable_image_is_no_cell():
    counter = _counter(0.9, 500, group="one")
    _counter(0.1, 500, group="two", seed=1, counter=counter)
    counter.add(Record("bad", "bad", "two", "empty file"))
    whole, one, two = counter.corrected(Correction(_prior(), usually_unlike=0.05, resamples=100, seed=0))
    assert [found.cells for found in (whole, one, two)] == [1000, 500, 500]
    assert one.mixture.shares[1] > 0.8 > 0.2 > two.mixture.shares[1]
    assert whole.mixture.low is None  # of two groups nothing can be said of others
    assert MixtureCounter().corrected(Correction(_prior(), usually_unlike=None, resamples=9, seed=0)) == []
    alone = _counter(0.5, 20, group="one")
    assert len(alone.corrected(Correction(_prior(), usually_unlike=0.05, resamples=0, seed=0))) == 1


@pytest.mark.parametrize(
    ("patients", "without", "over"),
    [
        (6, 0, "groups"),
        (6, 1, "groups"),
        (6, 40, "groups"),
        (4, 0, "none: fewer than 5 groups"),
        (4, 1, "none: fewer than 5 groups"),
        (1, 1, "none: fewer than 5 groups"),
        (1, 0, "images"),
        (0, 40, "images"),
    ],
)
def test_a_cell_without_a_group_is_no_patient_and_makes_no_interval_narrower(patients, without, over):
    counter = MixtureCounter()
    for number in range(patients):  # who differ: of each all cells are of one class
        _counter(number % 2, 100, group=f"p{number}", seed=number, counter=counter)
    _counter(0.5, without, seed=9, counter=counter)
    whole = counter.corrected(Correction(_prior(), usually_unlike=0.05, resamples=200, seed=0))[0]
    assert whole.to_json(NAMES)["intervals_over"] == over
    assert (whole.mixture.low is None) == over.startswith("none")
    if over == "groups":
        assert whole.mixture.high[1] - whole.mixture.low[1] > 0.6  # of 600 cells by themselves it were 0.1
        assert whole.to_json(NAMES)["cells_without_group"] == without
        assert f"the {without} without one are drawn together" in whole.intervals or not without
    assert whole.intervals in "\n".join(summary(whole, cell_classes(NAMES)))


def test_without_resamples_the_corrected_count_says_that_there_is_no_interval():
    (found,) = _counter(0.3, 50).corrected(Correction(_prior(), usually_unlike=0.05, resamples=0, seed=0))
    assert found.to_json(NAMES)["intervals_over"] == "none: eval.bootstrap=0"


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated", "ignore:left out as no images")
def test_predict_shows_it_where_it_is_asked_for(runs, folder, tmp_path, capsys):
    output = tmp_path / "cells.csv"
    options = [f"--workdir={runs[0]}", f"--input={folder}", f"--output={output}"]
    assert cli.main(["predict", *options, "--mixture=corrected"]) == 0
    found = json.loads((tmp_path / "cells_differential.json").read_text())["corrected"]
    assert [one["group"] for one in found] == ["", "slide_a", "slide_b"]
    shares = [one["corrected"] for one in found[0]["classes"].values()]
    assert sum(shares) == pytest.approx(1)
    assert "corrected for another mixture" in capsys.readouterr().out
    assert 'id="corrected"' in (tmp_path / "cells.html").read_text()
    assert cli.main(["predict", *options]) == 0
    assert "corrected" not in json.loads((tmp_path / "cells_differential.json").read_text())
    assert 'id="corrected"' not in (tmp_path / "cells.html").read_text()
    with output.open() as file:
        assert len(list(csv.DictReader(file))) == 12


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated", "ignore:left out as no images")
@pytest.mark.parametrize("together", [False, True])
def test_the_confusions_of_one_network_are_not_those_of_an_ensemble(
    runs, folder, tmp_path, monkeypatch, together
):
    known = lambda run: ClassPrior(np.full(3, 1 / 3), np.eye(3) * 90 + 5, known=True)  # noqa: E731
    monkeypatch.setattr("asae_jax.inference.class_prior.run_prior", known)
    options = [f"--workdir={runs[0]}", f"--input={folder}", f"--output={tmp_path / 'cells.csv'}", "--nopage"]
    ensemble = [f"--ensemble={runs[1]}"] * together
    assert cli.main(["predict", *options, *ensemble, "--mixture=corrected"]) == 0
    found = json.loads((tmp_path / "cells_differential.json").read_text())["corrected"][0]
    assert (found["misfit_p"] is None, found["disagreement"] is None) == (together, together)


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated", "ignore:left out as no images")
def test_runs_of_different_mixtures_are_refused_before_anything_is_written(
    runs, folder, tmp_path, monkeypatch, capsys
):
    priors = {runs[0]: np.array([0.6, 0.3, 0.1]), runs[1]: np.array([0.2, 0.3, 0.5])}
    known = lambda run: ClassPrior(priors[run.workdir], None, known=True)  # noqa: E731
    monkeypatch.setattr("asae_jax.inference.class_prior.run_prior", known)
    command = ["predict", f"--workdir={runs[0]}", f"--input={folder}", f"--output={tmp_path / 'cells.csv'}"]
    assert cli.main([*command, f"--ensemble={runs[1]}", "--mixture=corrected"]) == 2
    assert "differ in 40 % of the cells" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_count_of_an_ensemble_says_what_must_be_known_of_each_run(tmp_path):
    runs = [SimpleNamespace(workdir=tmp_path / name, name=name) for name in ("plain", "theirs")]
    for run in runs:
        run.workdir.mkdir()
    (runs[1].workdir / FILE).write_text(json.dumps({"notes": ["adapted to 100 cells"]}))
    assert Ensemble(runs, [None, None], None).notes() == ["theirs: adapted to 100 cells"]
    assert Ensemble(runs[1:], [None], None).notes() == ["adapted to 100 cells"]


def test_who_looks_unlike_is_said_of_that_patient_and_of_all():
    counter = _counter(0.5, 200, group="one")
    _counter(0.5, 200, unlike=1.0, group="two", seed=1, counter=counter)
    found = counter.corrected(Correction(_prior(), usually_unlike=0.05, resamples=0, seed=0))
    told = {one.group: [w.partition(" % of the cells look unlike")[0] for w in one.warnings] for one in found}
    assert told == {"": ["50"], "one": [], "two": ["100"]}
