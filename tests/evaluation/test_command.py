"""`evaluate` on a run's own data and on another laboratory's. Scores are made up: nothing is compiled."""

import json

import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.evaluation import command, evaluate
from asae_jax.run import folder
from asae_jax.run.data import load_data, write_data_record
from asae_jax.run.run import Run
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
        "class_map": {"lymphocyte": "LYT", "neutrophil": "NEU"},
        "unknown_classes": {"ERB": 3},
        "absent_classes": ["MON"],
    }
    assert "these data lack: MON" in capsys.readouterr().out


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
