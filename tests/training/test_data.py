"""Data of a run and of another laboratory; the scores are made up here, so nothing is compiled."""

import csv
import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from asae_jax.errors import UserError
from asae_jax.training import build, evaluate_command, evaluation, run_folder
from asae_jax.training.data import load_data, write_data_record
from asae_jax.training.other_source import load_other
from tests.training.tiny import tiny_config

RUN_CLASSES = ("BLA", "LYT", "MON", "NEU")


def put_images(root, counts):
    """Images of level 10 x (class number + 1), so that they tell what they are."""
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(np.full((12, 12, 3), 10 * number + 10, np.uint8)).save(root / name / f"{i}.png")
    return str(root)


def read_csv(path):
    return [*csv.reader(path.read_text(encoding="utf-8").splitlines())]


def folder_config(path, **changes):
    options = {"data__source": "folder", "data__path": path, "data__hue": "none", "data__cache": False,
               "data__stored_size": 32, "train__batch_size": 8}  # fmt: skip
    return tiny_config(**options | changes)


@pytest.fixture
def own(tmp_path):
    return put_images(tmp_path / "own", {"BLA": 10, "LYT": 20, "NGB": 10, "NGS": 10, "MON": 10, "ART": 5})


@pytest.fixture
def own_map(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("from,to\nNGB,NEU\nNGS,NEU\nART,\n")
    return str(path)


@pytest.mark.parametrize("name", ["class_balanced", "logit_adjusted"])
def test_losses_learn_the_class_counts_of_the_training_part(own, own_map, tmp_path, name):
    config = folder_config(own, data__class_map=own_map, data__sampler="shuffled", loss__name=name)
    data = load_data(config, tmp_path / "run")
    trained = [int(np.sum(data.labels(data.indices("train")) == label)) for label in range(4)]
    assert data.class_counts.tolist() == trained
    assert min(trained) > 0
    loss = build.create_loss(config, 4, class_counts=data.class_counts)
    few, many = loss(jnp.zeros((2, 4)), jnp.array([0, 1]))  # about 7 and 14 images
    assert few > many


@pytest.mark.parametrize("sampler", ["balanced", "weighted"])
def test_correcting_for_class_counts_twice_is_warned_of(sampler):
    config = tiny_config(loss__name="logit_adjusted", data__sampler=sampler)
    with pytest.warns(UserWarning, match=f"{sampler} batches.*config.data.sampler=shuffled"):
        build.create_loss(config, 4, class_counts=np.ones(4))


def test_weighted_batches_need_not_divide_by_the_classes(own, own_map, tmp_path):
    config = folder_config(own, data__class_map=own_map, data__sampler="weighted", train__batch_size=8 * 25)
    config.data.source, config.data.path = "folder", own
    data = load_data(config, tmp_path / "run")
    batch = next(data.training_batches(config))
    assert (np.bincount(batch["label"], minlength=4) > 20).all()  # 50 each but for chance, of 7 to 14 images


def test_a_class_map_is_applied_before_the_split(own, own_map, tmp_path):
    config = folder_config(own, data__class_map=own_map)
    data = load_data(config, tmp_path / "run")
    assert data.table.class_names == RUN_CLASSES
    assert len(data.table) == 60
    assert np.bincount(data.labels(data.indices("test"))).tolist() == [2, 4, 2, 4]
    (tmp_path / "run").mkdir()
    write_data_record(data, tmp_path / "run")
    skipped = read_csv(tmp_path / "run" / "skipped.csv")
    assert skipped[1] == ["ART/0.png", "class ART is dropped by the class map"]
    assert len(skipped) == 6


def test_the_split_is_reused_whatever_the_settings_say(own, tmp_path):
    config = folder_config(own, train__batch_size=24)
    data = load_data(config, tmp_path)
    write_data_record(data, tmp_path)
    again = load_data(folder_config(own, train__batch_size=24, data__split_seed=5), tmp_path)
    assert again.splits.tolist() == data.splits.tolist()


def test_a_list_with_groups_and_a_class_that_is_only_tested(own, tmp_path):
    rows = [f"own/BLA/{i}.png,BLA,p{i // 2},{'train' if i < 6 else 'test'}" for i in range(10)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group,split", *rows]))
    config = folder_config(str(tmp_path / "list.csv"), data__source="csv")
    data = load_data(config, tmp_path / "run")
    assert data.splits[6:].tolist() == ["test"] * 4
    assert data.table.groups[2] == "p1"
    rows.append("own/LYT/0.png,LYT,p9,test")
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group,split", *rows]))
    with pytest.raises(UserError, match="no readable training image of class LYT in csv data"):
        load_data(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"data__source": "tfds:"}, "data.source='tfds:' .*tfds:NAME"),
        ({"eval__source": "web"}, "eval.source='web'"),
        ({"data__folds": 1}, "data.folds=1"),
        ({"data__fold": 1}, "data.fold=1"),
        ({"data__folds": 3, "data__fold": 3}, "data.fold=3"),
        ({"data__split_by": "slide"}, "auto, group, image"),
        ({"data__group_feature": "slide"}, "a source tfds:NAME"),
    ],
)
def test_settings_that_cannot_work_are_named(change, what):
    with pytest.raises(UserError, match=what):
        build.check(tiny_config(**change))


def test_sources_and_folds_that_can_work():
    build.check(tiny_config(data__source="tfds:cells", data__group_feature="slide", eval__source="npz"))
    build.check(tiny_config(data__folds=5, data__fold=4))


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
        data, record = load_other(config, RUN_CLASSES, tmp_path)
    assert data.table.class_names == RUN_CLASSES
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
        load_other(config, ("A", "B"), tmp_path)


def test_batch_statistics_cannot_be_taken_from_other_images(other, tmp_path):
    config = folder_config(
        "gone", eval__source="folder", eval__path=other, eval__batch_statistics="reestimate"
    )
    with pytest.raises(UserError, match="use 'running'"):
        load_other(config, RUN_CLASSES, tmp_path)


class Guess:
    """In place of a network: class 1 for every image."""

    def __init__(self, config, data):
        self._classes = data.table.num_classes

    def __call__(self, variables, indices, *, title=""):
        return np.log(np.tile(np.where(np.arange(self._classes) == 1, 0.7, 0.1), (len(indices), 1)))


@pytest.fixture
def run(own, own_map, tmp_path, monkeypatch):
    """The folder of a run, as training leaves it, and its configuration."""
    monkeypatch.setattr(evaluation, "Scorer", Guess)
    monkeypatch.setattr(evaluate_command, "restore_weights", lambda *_: ({}, 7))
    monkeypatch.setattr(evaluate_command.trust, "measure_trust", lambda *_, **__: None)  # needs features
    config = folder_config(own, data__class_map=own_map)
    workdir = tmp_path / "run"
    data = load_data(config, workdir)
    fingerprint = data.table.fingerprint(modified=False)
    run_folder.open_run(workdir, config, run_folder.describe(data.table.class_names, fingerprint))
    write_data_record(data, workdir)
    return workdir, config


def test_a_run_is_scored_again_on_its_own_test_part(run):
    workdir, _ = run
    assert evaluate_command.evaluate_run(run_folder.read_config(workdir), workdir) == 0
    scores = json.loads((workdir / "evaluation" / "test.json").read_text())
    assert scores["num_examples"] == 12
    assert scores["accuracy"] == pytest.approx(4 / 12)
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
    assert evaluate_command.evaluate_run(config, workdir) == 0
    name = name or "other"
    scores = json.loads((workdir / "evaluation" / f"{name}.json").read_text())
    assert scores["num_examples"] == 11
    assert scores["accuracy"] == pytest.approx(4 / 11)
    assert scores["class_names"] == [*RUN_CLASSES]
    assert scores["unknown_classes"] == {"ERB": 3}
    assert scores["absent_classes"] == ["MON"]
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
        assert evaluate_command.evaluate_run(config, run[0]) == 0
