"""Runs in another laboratory at a tiny size: every kind of row is made, and runs stand side by side."""

import csv
import dataclasses
import functools
import json
import shutil
import sys
import types

import numpy as np
import pytest
from PIL import Image

from asae_jax.config import base_config, copy_with
from asae_jax.errors import UserError
from asae_jax.evaluation.metrics import evaluate_scores
from asae_jax.evaluation.uncertainty_files import conditions, uncertainty_file
from asae_jax.experiments.grid import Grid, PlannedRun, run_folder
from asae_jax.experiments.transfer import directions, scores
from asae_jax.experiments.transfer.cells import read_listed
from asae_jax.experiments.transfer.pages import write_pages
from asae_jax.experiments.transfer.scores import Trial, accuracies, estimated, with_mixture
from asae_jax.input.groups import as_listed
from asae_jax.input.sources import named_class_map
from asae_jax.run.run import Run, open_run
from benchmarks import transfer
from tests.inference.predict.conftest import CLASS_NAMES, _shallow, folder, images, runs

__all__ = ["_shallow", "folder", "images", "runs"]


def write(path, *rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def their_cells(folder, tmp_path):
    """The eleven images in both parts, changed, under labels of two of three classes; one of none."""
    rows = []
    for number, file in enumerate(sorted(folder.glob("*/*.png"))):
        for part in ("train", "test"):
            image = np.array(Image.open(file))
            image[0, 0] = (part == "test", number, 0)
            Image.fromarray(image).save(tmp_path / f"{part}{number}.png")
            rows.append([f"{part}{number}.png", f"their {CLASS_NAMES[number % 2]}", part])
    Image.fromarray(image + 1).save(tmp_path / "none.png")
    return write(tmp_path / "cells.csv", ["path", "label", "split"], *rows, ["none.png", "no class", "test"])


@pytest.fixture
def class_map(tmp_path):
    return write(tmp_path / "map.csv", ("from", "to"), *((f"their {n}", n) for n in CLASS_NAMES[:2]))


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated")
def test_every_row_is_made(runs, their_cells, class_map, tmp_path, monkeypatch):
    given = [f"--workdir={runs[1]}", f"--data={their_cells}", f"--class_map={class_map}"]
    given += [f"--output={tmp_path / 'found'}", "--appearances=nothing", "--draws=2", "--labels", "10"]
    monkeypatch.setattr(sys, "argv", ["transfer", *given])
    transfer.main()
    (run,) = json.loads((tmp_path / "found.json").read_text())["runs"]
    assert run["images"] == {"train": 11, "test": 11}
    names = [row["name"] for row in run["rows"]]
    assert len(names) == 5 * 3 + 2  # five networks, three rows without labels each; the first with labels
    assert "nothing; 10 labels at random" in names
    for row in run["rows"]:
        low, high = row["intervals"]["accuracy"]
        assert low - 1e-9 <= row["accuracy"] <= high + 1e-9
        assert row["accuracy"] == pytest.approx(np.mean(row["right"]))
    for end in ("md", "html"):
        text = (tmp_path / f"found.{end}").read_text()
        assert text.count("nothing; 10 labels at random") == 2  # among all scores, and side by side
        assert "not a diagnosis" in text


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated")
@pytest.mark.parametrize("certain", [True, False])
def test_all_layers_are_trained_on_the_labels_that_the_last_layer_gets(
    certain, runs, their_cells, class_map, tmp_path, monkeypatch
):
    seen, learn_all = [], scores.learn_all
    train_all = scores.cross_fit_all

    def with_estimates(run, variables, images, logits, labels, groups, score):
        seen.append(labels)
        return learn_all(run, variables, images, logits, labels, groups, score)

    def without(run, variables, images, labels, score, folds):
        seen.append(labels)
        return train_all(run, variables, images, labels, score, folds)

    monkeypatch.setattr(scores, "learn_all", with_estimates)
    monkeypatch.setattr(scores, "cross_fit_all", without)
    run = open_run(runs[1])
    run = Run(run.workdir, copy_with(run.config, {"adapt.epochs": 1}).lock(), run.class_names)
    listed = read_listed(their_cells, named_class_map(str(class_map)), run.class_names, most=11, seed=0)
    trial = Trial(("nothing",), (10,), 2, all_layers=(10,), certain=certain)
    found = scores.measure(run, listed, trial, name="it", after=lambda found: None)
    (row,) = [row for row in found["rows"] if row["name"] == "nothing; 10 labels at random, all layers"]
    known = np.flatnonzero(listed.labels["train"] >= 0)
    drawn = [np.random.default_rng([draw, 10]).permutation(known)[:10] for draw in range(2)]
    np.testing.assert_array_equal(seen, [listed.labels["train"][rows] for rows in drawn])
    assert row["draws"] == 2
    assert ("left" in row) == certain
    assert row["accuracy"] == pytest.approx(np.mean(row["right"]))
    write_pages(tmp_path / "transfer", [found])
    assert (tmp_path / "transfer.md").read_text().count("10 labels at random, all layers") == 2


def measured(name, right, *, seed=0, digest="d"):
    """What is measured of a run with one row."""
    labels = [n % 2 for n in range(len(right))]
    row = {"name": "nothing", "accuracy": np.mean(right), "balanced_accuracy": 0.5, "ece": 0.1}
    row |= {"intervals": {}, "right": list(right)}
    about = {"run": name, "step": 1, "seed": seed, "digest": digest, "classes": ["A", "B"]}
    about |= {"trained_on": "ours.csv", "tested_on": "theirs.csv", "images": {"train": 5}, "left_out": {}}
    return about | {"rows": [row], "test_groups": None, "test_labels": labels, "test_of_class": {"A": 3}}


def test_seeds_share_a_column_and_other_test_images_a_table(tmp_path):
    runs = [
        measured("plain", [1, 0, 0, 0]),
        measured("plain", [1, 1, 0, 0], seed=1),
        measured("better", [1, 1, 1, 1]),
        measured("back", [1, 0], digest="other"),
    ]
    write_pages(tmp_path / "transfer", runs)
    there, back = json.loads((tmp_path / "transfer.json").read_text())["comparisons"]
    assert there["runs"] == {"plain": 2, "better": 1}
    assert there["rows"][0]["cells"][0]["accuracy"] == pytest.approx(3 / 8)
    assert there["rows"][0]["differences"][0]["accuracy"] == pytest.approx(5 / 8)
    assert there["rows"][0]["differences"][0]["balanced_accuracy"] == pytest.approx(((0.5 + 0) + (1 + 1)) / 4)
    assert back["runs"] == {"back": 1}
    assert back["rows"][0]["differences"] == []


def test_a_class_that_a_resample_misses_is_not_counted_as_wrong():
    """Twelve patients, and class 2 in the first alone, always right: as `evaluate_scores` has it."""
    labels = np.array([0, 1] * 12 + [2, 2])
    right = np.array([1.0] * 20 + [0.0] * 4 + [1.0] * 2)
    groups = np.array([f"p{n // 2}" for n in range(24)] + ["p0", "p0"])
    without = (labels < 2).astype(float)[None]
    assert accuracies(right, labels)(without)["balanced_accuracy"][0] == pytest.approx(20 / 24)
    assert accuracies(right, labels)(np.ones((1, 26)))["balanced_accuracy"][0] == pytest.approx(8 / 9)
    log_probs = np.log(np.full((26, 3), 0.1))
    log_probs[np.arange(26), np.where(right > 0, labels, (labels + 1) % 2)] = np.log(0.8)
    scores = evaluate_scores(log_probs, labels, "ABC", groups=groups, bootstrap=1000, means_over_labels=True)
    own, intervals = estimated(right, labels, groups)
    assert own["balanced_accuracy"] == pytest.approx(scores["balanced_accuracy"])
    for name in ("accuracy", "balanced_accuracy"):
        assert intervals[name] == pytest.approx(scores["intervals"][name])


def test_a_difference_leaves_out_the_same_classes():
    labels, better = np.array([0, 0, 1, 1]), np.array([1.0, 1.0, 1.0, 0.0])
    worse = np.array([1.0, 0.0, 0.0, 0.0])
    weights = np.array([[2.0, 2.0, 0.0, 0.0], [1.0, 0.0, 3.0, 0.0]])
    both = [accuracies(one, labels)(weights)["balanced_accuracy"] for one in (better, worse)]
    found = accuracies(better - worse, labels)(weights)["balanced_accuracy"]
    np.testing.assert_allclose(found, both[0] - both[1])
    np.testing.assert_allclose(found, [0.5, 0.5])


def test_the_mixture_corrects_probabilities_by_bayes():
    prior, shares = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    found = np.exp(with_mixture(np.log([[0.2, 0.8]]), shares, prior))
    np.testing.assert_allclose(found, [[0.2 * 0.9 / 0.26, 0.8 * 0.1 / 0.26]])


def test_a_list_keeps_unknown_cells_of_the_training_part_only(tmp_path):
    rows = [["a.png", "x", "train", "p"], ["b.png", "B", "train", "p"], ["c.png", "?", "train", "q"]]
    rows += [["d.png", "x", "test", "r"], ["e.png", "B", "test", "s"], ["f.png", "?", "test", "s"]]
    path = write(tmp_path / "list.csv", ["path", "label", "split", "patient"], *rows)
    listed = read_listed(path, {"x": "A"}, ("A", "B"), most=10, seed=0)
    assert sorted(listed.labels["train"]) == [-1, 0, 1]
    assert [item.path for item in listed.items["test"]] == ["d.png", "e.png"]
    assert listed.groups.tolist() == ["r", "s"]
    assert len(read_listed(path, {"x": "A"}, ("A", "B"), most=2, seed=0).items["train"]) == 2
    with pytest.raises(UserError, match="part 'train' has no two of the classes A, C: give a class map"):
        read_listed(path, {"x": "A"}, ("A", "C"), most=10, seed=0)


def test_the_parts_of_a_list_share_no_picture_and_no_cell_counts_twice(tmp_path):
    for number, name in enumerate("abcde"):
        (tmp_path / f"{name}.png").write_bytes(bytes([number]) * 50)
    rows = [["a.png", "A", "train", "p"], ["b.png", "B", "training", "no group"]]
    rows += [["c.png", "A", "test", "no group"], ["d.png", "B", "testing", "q"]]
    columns = ["path", "label", "split", "patient"]
    listed = read_listed(write(tmp_path / "l.csv", columns, *rows), {}, ("A", "B"), most=10, seed=0)
    assert as_listed(listed.groups).tolist() == ["no group", "q"]
    assert [len(listed.items[part]) for part in ("train", "test")] == [2, 2]
    (tmp_path / "._d.png").write_bytes(b"a thumbnail")
    more = write(tmp_path / "more.csv", columns, *rows, ["._d.png", "B", "test", "q"])
    assert len(read_listed(more, {}, ("A", "B"), most=10, seed=0).items["test"]) == 2
    again = write(tmp_path / "again.csv", columns, *rows, ["d.png", "B", "test", "q"])
    with pytest.raises(UserError, match="listed already"):
        read_listed(again, {}, ("A", "B"), most=10, seed=0)
    (tmp_path / "e.png").write_bytes((tmp_path / "a.png").read_bytes())
    copied = write(tmp_path / "copied.csv", columns, *rows, ["e.png", "A", "test", "q"])
    with pytest.raises(UserError, match=r"1 of its test images .* \(e.png is a.png\)"):
        read_listed(copied, {}, ("A", "B"), most=10, seed=0)


def test_patients_on_both_sides_of_a_list_are_counted_and_said(tmp_path):
    """In whatever Unicode form they are written; images of no patient are of none on both sides."""
    patients = [["p", "q", "rü", "no group"], ["p", "s", "rü", "no group"]]
    rows = [
        [f"{part}{n}.png", "AB"[n % 2], part, patient]
        for part, of_part in zip(("train", "test"), patients, strict=True)
        for n, patient in enumerate(of_part)
    ]
    path = write(tmp_path / "list.csv", ["path", "label", "split", "patient"], *rows)
    listed = read_listed(path, {}, ("A", "B"), most=10, seed=0)
    assert listed.shared_groups == 2
    run = types.SimpleNamespace(class_names=("A", "B"), step=1, config=base_config())
    assert scores._about(run, listed, "it")["shared_groups"] == 2
    for shared in (2, 0):
        write_pages(tmp_path / "transfer", [measured("plain", [1, 0]) | {"shared_groups": shared}])
        for end in ("md", "html"):
            text = (tmp_path / f"transfer.{end}").read_text()
            assert ("2 of the slides or patients of the test images have images among those" in text) == (
                shared > 0
            )


def test_errors_among_the_kept_are_those_of_the_kept_of_all_draws():
    usual = {"accuracy": 0.5, "balanced_accuracy": 0.5, "ece": 0.1, "left": 0.5, "right": [1.0, 0.0]}
    draws = [usual | {"kept": 30, "wrong": 0.1}, usual | {"kept": 10, "wrong": 0.5}]
    assert scores._mean("", draws)["wrong"] == pytest.approx((3 + 5) / 40)
    assert scores._mean("", [*draws, usual | {"kept": 0, "wrong": None}])["wrong"] == pytest.approx(0.2)


def test_labels_of_classes_that_the_test_part_lacks_are_not_learnt_where_it_names_the_classes(monkeypatch):
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    part = scores.Part(np.eye(3)[labels], np.eye(3)[labels], labels)
    network = types.SimpleNamespace(
        name="net", train=part, test=dataclasses.replace(part, labels=np.minimum(labels, 1))
    )
    seen = []

    def cross_fit(old, features, labels, **_):
        seen.append(set(labels.tolist()))
        raise InterruptedError

    monkeypatch.setattr(scores, "cross_fit", cross_fit)
    monkeypatch.setattr(scores, "_layer", lambda network, only: None)
    listed = types.SimpleNamespace(
        items={"train": [types.SimpleNamespace(group="", path=f"{n}") for n in range(8)]}
    )
    for only in (False, True):
        with pytest.raises(InterruptedError):
            list(scores._with_labels(None, network, listed, Trial(labels=(5,), draws=1), only=only))
    assert seen[0] == {0, 1, 2}
    assert seen[1] == {0, 1}


def test_without_enough_patients_the_page_says_why_there_are_no_intervals(tmp_path):
    run = measured("plain", [1, 0, 1, 1])
    for groups, said in (
        (["p", "q", "p", "q"], "without intervals, which take 5 patients"),
        (None, "over images"),
    ):
        write_pages(tmp_path / "transfer", [run | {"test_labels": [0, 1, 0, 1], "test_groups": groups}])
        for end in ("md", "html"):
            text = (tmp_path / f"transfer.{end}").read_text()
            assert said in text
            assert ("with 95 % intervals" in text) == (groups is None)


def test_labels_that_nobody_looked_at_are_no_truth(tmp_path):
    """As in training on a list: the rows of `seen=no` are left out of both parts."""
    named = [[f"{n}.png", "AB"[n % 2], "train" if n < 8 else "test", "no" if n % 4 > 1 else "yes"]
             for n in range(16)]  # fmt: skip
    path = write(tmp_path / "ours.csv", ["path", "label", "split", "seen"], *named)
    listed = read_listed(path, {}, ("A", "B"), most=1500, seed=0)
    assert sorted(item.path for item in listed.items["train"]) == ["0.png", "1.png", "4.png", "5.png"]
    assert [item.path for item in listed.items["test"]] == ["8.png", "9.png", "12.png", "13.png"]
    assert listed.guesses == 8
    with pytest.raises(UserError, match="without the 8 rows whose label nobody looked at"):
        read_listed(path, {}, ("A", "C"), most=10, seed=0)
    for end in ("md", "html"):
        write_pages(tmp_path / "transfer", [measured("plain", [1, 0]) | {"guesses": 8}])
        assert "Left out: 8 rows of the list" in (tmp_path / f"transfer.{end}").read_text()
        write_pages(tmp_path / "transfer", [measured("plain", [1, 0])])
        assert "rows of the list" not in (tmp_path / f"transfer.{end}").read_text()


# As a table of `reproduce`.


def given(their_cells, class_map, **changes):
    config = base_config()
    config.data.source, config.data.path, config.data.class_map = "csv", str(their_cells), str(class_map)
    config.reproduce.other, config.reproduce.other_map = str(their_cells), str(class_map)
    for name, value in changes.items():
        section, field = name.split("__")
        config[section][field] = value
    return config


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated")
def test_finished_runs_are_measured_once_and_what_cannot_be_tried_is_said(
    runs, their_cells, class_map, tmp_path, monkeypatch
):
    workdir, config = tmp_path / "grid", given(their_cells, class_map)
    names = ("trained-plainly", "trained-for-others")
    grid = Grid(
        tuple(PlannedRun(name, 0, config) for name in names), dict(zip(names, names, strict=True)), (0,)
    )
    shutil.copytree(runs[0], run_folder(workdir, "trained-plainly-s0"))
    monkeypatch.setattr(directions, "is_finished", lambda _, name: name == "trained-plainly-s0")
    few = ("background", "Reinhard, built-in template")
    monkeypatch.setattr(directions, "Trial", functools.partial(Trial, appearances=few))
    way = directions.Direction(config, workdir)
    paths = directions.write_transfer([(way, grid)], workdir)
    assert [path.name for path in paths] == ["transfer.json", "transfer.md", "transfer.html"]
    (found,) = json.loads(paths[0].read_text())["runs"]
    assert found["run"] == "Trained plainly"
    assert len(found["rows"]) == 3
    assert "--template=FOLDER" in found["left_out"]["background"]
    assert "Left out: background (" in paths[1].read_text()
    again = []
    monkeypatch.setattr(directions, "measure", lambda *_, **__: again.append(1) or found)
    directions.write_transfer([(way, grid)], workdir)
    assert json.loads(paths[0].read_text())["runs"] == [found]
    assert not again
    run = open_run(run_folder(workdir, "trained-plainly-s0"))
    for times, error in enumerate((0.05, 0.1), start=1):  # new thresholds change the table too
        estimates = {"conditions": conditions(run), "target_error": error}
        uncertainty_file(run.workdir).write_text(json.dumps(estimates))
        for _ in range(2):
            directions.write_transfer([(way, grid)], workdir)
            assert len(again) == times
    renamed = their_cells.with_name("named anew.csv")  # the table says which list it is of
    shutil.copy(their_cells, renamed)
    way = directions.Direction(given(renamed, class_map), workdir)
    directions.write_transfer([(way, grid)], workdir)
    assert len(again) == times + 1


def test_a_list_is_another_one_with_other_patients_or_pictures(tmp_path):
    rows = [[f"{n}.png", "AB"[n % 2], "train" if n < 4 else "test", f"p{n // 2}"] for n in range(8)]
    for name, *_ in rows:
        (tmp_path / name).write_bytes(name.encode())

    def digest(columns):
        listed = write(tmp_path / "list.csv", columns, *(row[: len(columns)] for row in rows))
        return read_listed(listed, {}, ("A", "B"), most=10, seed=0).digest

    columns = ["path", "label", "split", "patient"]
    found = digest(columns)
    assert found == digest(columns)
    assert found != digest(columns[:3])
    rows[7][3] = "p9"
    assert found != digest(columns)
    rows[7][3] = "p3"
    assert found == digest(columns)
    (tmp_path / "7.png").write_bytes(b"another picture")
    assert found != digest(columns)


def test_directions_are_checked_before_anything_is_trained(folder, class_map, tmp_path, capsys):
    named = [[f, f"their {CLASS_NAMES[n % 2]}"] for n, f in enumerate(sorted(folder.glob("*/*.png")))]
    rows = [[*row, "train" if n < 6 else "test", "no" if n == 1 else "yes"] for n, row in enumerate(named)]
    their_cells = write(tmp_path / "list.csv", ["path", "label", "split", "seen"], *rows)
    there, back = directions.directions(given(their_cells, class_map, reproduce__back=True), tmp_path)
    assert "1 rows of list.csv are left out: nobody looked at their labels" in capsys.readouterr().out
    assert there.workdir == tmp_path
    assert back.workdir == tmp_path / "back"
    assert back.config.data.path == there.config.reproduce.other
    assert back.config.reproduce.other_map == there.config.data.class_map
    for changes, message in (
        ({"reproduce__other": ""}, "give --other=FILE.csv"),
        ({"reproduce__other_map": ""}, "has no two of the classes"),
        ({"data__source": "synthetic", "reproduce__back": True}, "config.data.source=csv, not synthetic"),
        ({"eval__tta": True}, "takes one pass of the network: give --config.eval.tta=False"),
    ):
        with pytest.raises(UserError, match=message):
            directions.directions(given(their_cells, class_map, **changes), tmp_path)
