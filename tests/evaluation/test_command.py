"""`evaluate` on a run's own data and on another laboratory's. Scores are made up: nothing is compiled."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.evaluation import command, evaluate
from asae_jax.evaluation.provenance import foreign
from asae_jax.run import folder
from asae_jax.run.data import load_data, write_data_record
from asae_jax.run.run import Run
from tests.edited import unsealed
from tests.run.test_data import RUN_CLASSES, folder_config, own, own_map, put_images, read_csv

__all__ = ["own", "own_map"]


@pytest.fixture
def other(tmp_path):
    counts = {"ERB": 3, "lymphocyte": 4, "neutrophil": 5, "BLA": 2}
    path = put_images(tmp_path / "other", counts)
    (tmp_path / "other" / "BLA" / "broken.png").write_bytes(b"text")
    return path


@pytest.fixture
def other_map(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("from,to\nlymphocyte,LYT\nneutrophil,NEU\n")
    return str(path)


def test_other_images_come_under_the_classes_of_the_run(other, other_map, tmp_path, capsys):
    config = folder_config("gone", eval__source="folder", eval__path=other, eval__class_map=other_map)
    with pytest.warns(UserWarning, match=r"does not know: ERB \(3\)"):
        data, record = command.load_other(Run(tmp_path, config, RUN_CLASSES))
    assert data.index.class_names == RUN_CLASSES
    rows = data.indices("all")
    names = [RUN_CLASSES[label] for label in data.labels(rows)]
    assert {name: names.count(name) for name in names} == {"BLA": 2, "LYT": 4, "NEU": 5}
    levels = {"BLA": 40, "LYT": 20, "NEU": 30}
    assert [int(image[0, 0, 0]) for image in data.prepared.read_batch(rows)] == [levels[n] for n in names]
    assert len(data.indices("train")) == 0
    assert record == {
        "path": other,
        "class_map": {"lymphocyte": "LYT", "neutrophil": "NEU"},
        "unknown_classes": {"ERB": 3},
        "absent_classes": ["MON"],
    }
    assert "these data lack: MON" in capsys.readouterr().out


def _patients(root, classes=("BLA", "LYT"), patients=("p1", "p2", "p3"), images=2):
    for name in classes:
        put_images(root / name, dict.fromkeys(patients, images))
    return str(root)


@pytest.mark.parametrize(
    ("of_run", "given", "known"),
    [("given", "folders", True), ("folders", "", True), ("folders", "given", False), ("given", "", False)],
)
def test_patients_of_other_images_are_known_as_is_said_or_as_in_the_run(
    tmp_path, capsys, of_run, given, known
):
    path = _patients(tmp_path / "other")
    config = folder_config(
        "gone", data__groups=of_run, eval__source="folder", eval__path=path, eval__groups=given
    )
    data, _ = command.load_other(Run(tmp_path, config, RUN_CLASSES))
    shown = capsys.readouterr().out
    if known:
        assert data.index.groups.tolist() == [name.split("/")[1] for name in data.index.names]
        assert "3 groups" in shown
    else:
        assert data.index.groups is None
        assert "if that is what they are, add --groups=folders, or intervals are too narrow" in shown
    assert "side of the split" not in shown


def test_patients_of_a_run_say_nothing_of_another_kind_of_source(tmp_path):
    put_images(tmp_path, {"BLA": 1, "LYT": 1})
    (tmp_path / "list.csv").write_text("path,label\nBLA/0.png,BLA\nLYT/0.png,LYT\n")
    changes = {"eval__source": "csv", "eval__path": str(tmp_path / "list.csv")}
    config = folder_config("gone", data__groups="folders", **changes)
    data, _ = command.load_other(Run(tmp_path, config, RUN_CLASSES))
    assert data.index.groups is None


def test_intervals_are_over_the_patients_of_another_laboratory(run, own, own_map, tmp_path, capsys):
    workdir, _ = run
    path = _patients(tmp_path / "other")
    assert command.evaluate_run(_theirs(own, own_map, path, eval__groups="folders"), workdir) == 0
    scores = json.loads((workdir / "evaluation" / "other.json").read_text())
    assert (scores["intervals_over"], scores["num_groups"], scores["num_examples"]) == (
        "none: fewer than 5 groups", 3, 12,
    )  # fmt: skip
    assert not scores["intervals"]
    assert "only 3 groups: no intervals, which take 5 or more" in capsys.readouterr().out
    page = next((workdir / "evaluation").glob("other*.html")).read_text()
    assert "No intervals of the scores, as there are only 3 slides or patients." in page


def test_a_page_without_intervals_says_so(run, own, own_map, tmp_path):
    workdir, _ = run
    path = _patients(tmp_path / "other")
    assert command.evaluate_run(_theirs(own, own_map, path, eval__bootstrap=0), workdir) == 0
    page = next((workdir / "evaluation").glob("other*.html")).read_text()
    assert "No intervals of the scores, as none were asked for (eval.bootstrap=0)." in page
    assert "Small numbers: 95 % intervals, over" not in page


def test_guesses_that_a_run_was_trained_on_are_no_truth_to_score_by(tmp_path, capsys):
    put_images(tmp_path, {"BLA": 3, "LYT": 3})
    rows = [f"{name}/{i}.png,{name},{'yes' if i else 'no'}" for name in ("BLA", "LYT") for i in range(3)]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["path,label,seen", *rows]))
    changes = {"data__source": "csv", "data__unseen": True, "eval__source": "csv", "eval__path": str(path)}
    run = Run(tmp_path, folder_config(str(path), **changes), RUN_CLASSES)
    data, _ = command.load_other(run)
    assert data.index.names.tolist() == ["BLA/1.png", "BLA/2.png", "LYT/1.png", "LYT/2.png"]
    shown = capsys.readouterr().out
    assert "2 rows of list.csv are left out: nobody looked at their labels" in shown
    assert "unseen=True" not in shown
    path.write_text("path,label,seen\nBLA/0.png,BLA,no\n")
    with pytest.raises(UserError, match=r"nobody looked at the labels of 1 .* with yes\)$"):
        command.load_other(run)


def test_other_images_of_no_known_class(other, tmp_path):
    config = folder_config("gone", eval__source="folder", eval__path=other)
    with pytest.raises(UserError, match=r"knows none of the classes.*ERB.*run's \(A, B\).*eval\.class_map"):
        command.load_other(Run(tmp_path, config, ("A", "B")))


def test_batch_statistics_cannot_be_taken_from_other_images(other, tmp_path):
    config = folder_config(
        "gone", eval__source="folder", eval__path=other, eval__batch_statistics="reestimate"
    )
    with pytest.raises(UserError, match="use 'running'"):
        command.load_other(Run(tmp_path, config, RUN_CLASSES))


class Guess:
    """In place of a network: class 1 for every image."""

    def __init__(self, run, data):
        self._classes = run.num_classes

    def __call__(self, variables, indices, *, title=""):
        return np.log(np.tile(np.where(np.arange(self._classes) == 1, 0.7, 0.1), (len(indices), 1)))


@pytest.fixture
def run(own, own_map, tmp_path, monkeypatch):
    """The folder of a run, as training leaves it, and its configuration."""
    monkeypatch.setattr(evaluate, "Scorer", Guess)
    monkeypatch.setattr(Run, "variables", {})
    monkeypatch.setattr(Run, "step", 7)
    monkeypatch.setattr(command, "measure_uncertainty", lambda run: None)  # needs features
    config = folder_config(own, data__class_map=own_map)
    workdir = tmp_path / "run"
    data = load_data(config, workdir)
    folder.write(workdir, config, folder.record_of(data.index))
    write_data_record(data, workdir)
    return workdir, config


def test_a_run_is_scored_again_on_its_own_test_part(run):
    workdir, config = run
    assert command.evaluate_run(config, workdir) == 0
    scores = json.loads((workdir / "evaluation" / "test.json").read_text())
    assert scores["num_examples"] == 12
    assert scores["accuracy"] == pytest.approx(4 / 12)
    assert scores["class_means_over"].startswith("macro_f1: classes among labels or predictions")
    assert scores["ece_interval"].startswith("of the ECE that test sets of this size give on average")
    assert "unknown_classes" not in scores


@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize("name", ["", "elsewhere"])
def test_a_run_is_scored_on_another_laboratory(run, own, own_map, other, other_map, name):
    workdir, _ = run
    config = folder_config(
        own,
        data__class_map=own_map,
        eval__source="folder",
        eval__path=other,
        eval__class_map=other_map,
        eval__name=name,
    )
    assert command.evaluate_run(config, workdir) == 0
    name = name or "other"
    scores = json.loads((workdir / "evaluation" / f"{name}.json").read_text())
    assert scores["num_examples"] == 11
    assert scores["accuracy"] == pytest.approx(4 / 11)
    assert scores["class_names"] == [*RUN_CLASSES]
    assert scores["unknown_classes"] == {"ERB": 3}
    assert scores["absent_classes"] == ["MON"]
    assert scores["class_means_over"] == "macro_f1 and balanced_accuracy: classes with images here"
    assert scores["macro_f1"] == pytest.approx(2 * 4 / (4 + 11) / 3)  # three classes have images
    assert scores["step"] == 7
    assert scores["num_unreadable"] == 1
    rows = read_csv(workdir / "evaluation" / f"{name}_predictions.csv")
    assert [row[1] for row in rows if row[0].startswith("neutrophil/")] == ["NEU"] * 5
    skipped = read_csv(workdir / "evaluation" / f"{name}_skipped.csv")
    assert skipped[1] == ["ERB/0.png", "the run does not know class ERB"]
    assert skipped[-1][0] == "BLA/broken.png"
    assert not (workdir / "evaluation" / "test.json").exists()


def test_the_own_data_need_not_be_there_to_score_others(run, own, own_map, other, other_map, tmp_path):
    (tmp_path / "own").rename(tmp_path / "away")
    config = folder_config(
        own, data__class_map=own_map, eval__source="folder", eval__path=other, eval__class_map=other_map
    )
    with pytest.warns(UserWarning, match="ERB"):
        assert command.evaluate_run(config, run[0]) == 0


@pytest.mark.filterwarnings("ignore:left out")
def test_a_path_without_a_source_is_another_laboratory(run, own, own_map, other, other_map, capsys):
    workdir, _ = run
    config = folder_config(own, data__class_map=own_map, eval__path=other, eval__class_map=other_map)
    assert command.evaluate_run(config, workdir) == 0
    assert not (workdir / "evaluation" / "test.json").exists()
    shown = capsys.readouterr().out
    assert f"scoring other images than the run's own: {other} (--source=folder)" in shown
    assert "data: 12 images of 4 classes (folder): BLA 3, LYT 4, MON 0, NEU 5" in shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval__path": "gone"}, "--path=gone, which does not exist: .*--source="),
        ({"eval__class_map": "mll23"}, "--class_map=mll23 is for other images"),
        ({"eval__groups": "folders"}, "--groups=folders is for other images"),
        ({"eval__source": "folder"}, r"needs .*: add --path=DIR"),
        ({"eval__source": "csv"}, r"needs .*: add --path=FILE"),
        ({"eval__source": "synthetic", "eval__path": "gone"}, r"--path=gone is given"),
        ({"eval__source": "folder", "eval__path": "gone"}, r"does not exist.*\(--path=DIR\)"),
    ],
)
def test_what_would_not_be_used_is_refused(run, own, own_map, changes, message):
    workdir, _ = run
    with pytest.raises(UserError, match=message):
        command.evaluate_run(folder_config(own, data__class_map=own_map, **changes), workdir)
    assert not (workdir / "evaluation").exists()


def test_folders_of_patients_are_those_of_a_folder(run, own, own_map, tmp_path):
    (tmp_path / "list.csv").write_text("path,label\n")
    config = folder_config(
        own, data__class_map=own_map, eval__path=str(tmp_path / "list.csv"), eval__groups="folders"
    )
    with pytest.raises(UserError, match=r"config\.eval\.groups='folders' cannot be used: only a folder"):
        command.evaluate_run(config, run[0])


def test_a_class_that_is_spelled_otherwise_is_pointed_out(tmp_path):
    path = put_images(tmp_path / "lab", {"bla": 3, "LYT": 2})
    config = folder_config("gone", eval__source="folder", eval__path=path)
    with pytest.warns(UserWarning, match=r"bla \(3\).*same but for case or spaces: 'bla' and 'BLA'"):
        command.load_other(Run(tmp_path, config, RUN_CLASSES))


def test_what_is_scored_is_said_before(run, capsys):
    workdir, config = run
    command.evaluate_run(config, workdir)
    shown = capsys.readouterr().out
    assert f"split: as recorded in {workdir}" in shown
    assert "data: 60 images of 4 classes (folder): BLA 10, LYT 20, MON 10, NEU 20" in shown
    assert "left out: class ART is dropped by the class map (5 files)" in shown
    assert shown.index("data: 60") < shown.index("images right")


def _theirs(own, own_map, path, **changes):
    return folder_config(own, data__class_map=own_map, eval__source="folder", eval__path=path, **changes)


def _files(workdir):
    return {
        path.name: json.loads(path.read_text()).get("path", "")
        for path in (workdir / "evaluation").glob("*.json")
    }


@pytest.fixture
def laboratories(tmp_path):
    """Two folders of one name, equal in names, labels and sizes."""
    return [put_images(tmp_path / place / "cells", {"BLA": 3, "MON": 2}) for place in ("a", "b")]


def test_laboratories_without_a_name_get_files_of_their_own(run, own, own_map, laboratories):
    workdir, _ = run
    for path in (*laboratories, *laboratories[::-1]):
        assert command.evaluate_run(_theirs(own, own_map, path), workdir) == 0
    assert _files(workdir) == {"other.json": laboratories[0], "other-2.json": laboratories[1]}


@pytest.mark.parametrize("changes", [{"eval__test_mode": "enhance"}, {"eval__checkpoint": "last"}])
def test_another_way_of_testing_replaces_nothing_unasked(run, own, own_map, laboratories, changes):
    workdir, _ = run
    for more in ({}, changes):
        config = _theirs(own, own_map, laboratories[0], **more)
        assert command.evaluate_run(config, workdir) == 0
    assert set(_files(workdir)) == {"other.json", "other-2.json"}


def test_a_name_keeps_what_it_was_given_to(run, own, own_map, laboratories):
    workdir, config = run
    one, other = (_theirs(own, own_map, path, eval__name="theirs") for path in laboratories)
    for _ in range(2):
        assert command.evaluate_run(one, workdir) == 0
    before = (workdir / "evaluation" / "theirs.json").read_bytes()
    with pytest.raises(UserError, match=r"theirs.json holds scores of something else \(path .*--name=NAME"):
        command.evaluate_run(other, workdir)
    config.eval.name = "theirs"
    with pytest.raises(UserError, match=r"\(of the source .*/a/cells\)"):
        command.evaluate_run(config, workdir)
    put_images(tmp := workdir.parent / "a" / "cells", {"NEU": 1})
    with pytest.raises(UserError, match=r"\(data_fingerprint '"):
        command.evaluate_run(one, workdir)
    assert tmp.exists()
    assert (workdir / "evaluation" / "theirs.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"split": "all", "class_map": {}, "source": "folder"}'])
def test_a_file_that_does_not_say_what_it_holds_stays(run, own, own_map, laboratories, content):
    """As those of earlier versions."""
    workdir, _ = run
    (workdir / "evaluation").mkdir()
    (workdir / "evaluation" / "other.json").write_text(content)
    assert command.evaluate_run(_theirs(own, own_map, laboratories[0]), workdir) == 0
    assert (workdir / "evaluation" / "other.json").read_text() == content
    assert (workdir / "evaluation" / "other-2.json").exists()
    with pytest.raises(UserError, match="holds scores of something else"):
        command.evaluate_run(_theirs(own, own_map, laboratories[0], eval__name="other"), workdir)


def test_scores_of_the_own_test_part_are_replaced_by_such_only(run):
    workdir, config = run
    assert command.evaluate_run(config, workdir) == 0
    path = workdir / "evaluation" / "test.json"
    scores = unsealed(path)
    old = {name: value for name, value in scores.items()
           if name not in ("data_fingerprint", "checkpoint", "path")}  # fmt: skip
    path.write_text(json.dumps(old))
    assert command.evaluate_run(config, workdir) == 0
    assert unsealed(path) == scores
    for changes, difference in [
        ({"batch_statistics": "reestimate"}, "batch_statistics 'running'"),
        ({"split": "all"}, "of the source"),
        ({"data_fingerprint": "x"}, "data_fingerprint 'x'"),
    ]:
        if changes.get("split"):
            path.write_text(json.dumps(scores | {"class_map": {}, "path": "lab"}))
        elif "data_fingerprint" in changes:
            path.write_text(json.dumps(scores | changes))
        else:
            config.eval.update(changes)
        with pytest.raises(UserError, match=difference):
            command.evaluate_run(config, workdir)
        path.write_text(json.dumps(scores))
        config.eval.batch_statistics = "running"


def test_scores_say_what_they_were_computed_from(run, own):
    workdir, config = run
    assert command.evaluate_run(config, workdir) == 0
    scores = json.loads((workdir / "evaluation" / "test.json").read_text())
    record = folder.read_record(workdir)
    assert scores["data_fingerprint"] == record.data_fingerprint
    said = {name: scores[name] for name in ("split", "step", "source", "path", "checkpoint", "test_mode")}
    assert said == {"split": "test", "step": 7, "source": "folder", "path": own, "checkpoint": "best",
                    "test_mode": "skip"}  # fmt: skip
    assert foreign(scores, record, split="test") == ""
    assert foreign(scores, record, split="validation") == "they are of the part test"
    assert foreign(scores | {"class_map": {}}, record, split="test") == "they are of another source"
    assert foreign([], record, split="test") == "they do not say of which part they are"


@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize("recorded", [True, False], ids=["", "a run folder of the version before"])
def test_images_that_were_trained_on_are_counted_in_another_source(
    run, own, own_map, other, other_map, recorded, capsys
):
    """The other laboratory's folder holds two of the run's training images under names of its own."""
    workdir, config = run
    data = load_data(config, workdir)
    for number, part in enumerate(["train", "train", "test"]):
        name = data.index.names[data.indices(part)[number]]
        shutil.copy(Path(own) / name, Path(other) / "lymphocyte" / f"theirs {number}.png")
    if not recorded:
        rows = read_csv(workdir / "splits.csv")
        (workdir / "splits.csv").write_text("\n".join(",".join(row[:3]) for row in rows) + "\n")
    config = folder_config(
        own, data__class_map=own_map, eval__source="folder", eval__path=other, eval__class_map=other_map
    )
    assert command.evaluate_run(config, workdir) == 0
    scores = json.loads((workdir / "evaluation" / "other.json").read_text())
    assert scores["num_trained_on"] == (2 if recorded else None)
    assert ("trained on some of them cannot be told" in evaluate.summary(scores)) == (not recorded)
    assert ("are among those trained on: no measure of new images" in capsys.readouterr().out) == recorded
