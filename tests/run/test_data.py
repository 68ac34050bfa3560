"""Data of a run: class map, split, sampler, class counts."""

import csv
import dataclasses
import os
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from asae_jax.config import check, read_run_config
from asae_jax.errors import UserError
from asae_jax.run import build, digests, folder
from asae_jax.run.data import cache_folder, load_data, load_index, write_data_record
from tests.training.tiny import tiny_config

RUN_CLASSES = ("BLA", "LYT", "MON", "NEU")


def put_images(root, counts):
    """Images of level 10 x (class number + 1), which tells what they are, but for a corner of their own."""
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            image = np.full((12, 12, 3), 10 * number + 10, np.uint8)
            image[11, 11] = number, i, len(root.name)
            Image.fromarray(image).save(root / name / f"{i}.png")
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


def test_a_cache_of_a_run_that_is_not_there_is_named_where_it_would_be_used(tmp_path):
    gone, workdir = tmp_path / "gone", tmp_path / "run"
    folder.write(workdir, tiny_config(data__cache_dir=str(gone)), folder.Record(("a", "b"), "none", {}))
    config = read_run_config(workdir)
    with pytest.warns(UserWarning, match=f"{gone}, is not there: {tmp_path / 'cache'} is used instead"):
        assert cache_folder(config, workdir) == tmp_path / "cache"
    mine = tiny_config(data__cache_dir=str(tmp_path / "mine"))
    assert cache_folder(mine, workdir) == tmp_path / "mine"  # without a warning, which is an error here
    assert cache_folder(config, tmp_path / "new") == tmp_path / "cache"


@pytest.mark.parametrize(
    ("given", "cache"),
    [(".", "cache"), ("..", "../cache"), ("sub/..", "cache"), ("sub", "run/cache"), ("../new", "cache")],
)
def test_the_cache_lies_beside_the_run_folder_however_that_is_written(tmp_path, monkeypatch, given, cache):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    assert cache_folder(tiny_config(), Path(given)) == Path(os.path.abspath(tmp_path / cache))


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
    assert data.index.class_names == RUN_CLASSES
    assert len(data.index) == 60
    assert np.bincount(data.labels(data.indices("test"))).tolist() == [2, 4, 2, 4]
    (tmp_path / "run").mkdir()
    write_data_record(data, tmp_path / "run")
    skipped = read_csv(tmp_path / "run" / "skipped.csv")
    assert skipped[1] == ["ART/0.png", "class ART is dropped by the class map"]
    assert len(skipped) == 6


def test_a_class_map_may_lie_elsewhere_and_another_is_told_by_what_it_does(own, own_map, tmp_path):
    """As from another folder than the one that training was started in, or on another machine."""
    config, workdir = folder_config(own, data__class_map=own_map), tmp_path / "run"
    folder.write(workdir, config, folder.record_of(load_index(config)))
    moved = Path(shutil.copy(own_map, tmp_path / "moved.csv"))
    here = folder_config(own, data__class_map=str(moved))
    folder.check_same_config(workdir, here)
    folder.check_same_data(workdir, load_index(here))
    for text, said in (
        ("from,to\nNGB,NEU\nNGS,LYT\nART,\n", "files, labels or groups"),  # the same classes
        ("from,to\nNGB,NEU\nNGS,NEU\nART,BLA\n", "files, labels or groups"),
        ("from,to\nNGB,NEU\nNGS,\nART,\n", "files, labels or groups"),
        ("from,to\nART,\n", r"missing: \['NEU'\], new: \['NGB', 'NGS'\]"),
    ):
        moved.write_text(text)
        with pytest.raises(UserError, match=said):
            folder.check_same_data(workdir, load_index(here))


def test_equal_files_that_hold_no_picture_are_no_picture_twice(own, tmp_path):
    """Interrupted copies are empty, and a server's error page may have been saved as every image."""
    for name in ("BLA/0.png", "LYT/0.png", "LYT/1.png"):
        (Path(own) / name).write_bytes(b"")
    for name in ("MON/0.jpg", "NGB/0.jpg"):
        (Path(own) / name).write_text("<html>404 Not Found</html>")
    config = folder_config(own, train__batch_size=6)
    assert len(load_data(config, tmp_path).unreadable) == 5  # warnings are errors
    shutil.copy(Path(own) / "MON/1.png", Path(own) / "NGB/copy.png")
    with pytest.warns(UserWarning, match=r"^1 image is there under another label too: MON/1.png"):
        load_data(config, tmp_path)


def test_the_split_is_reused_whatever_the_settings_say(own, tmp_path):
    config = folder_config(own, train__batch_size=24)
    data = load_data(config, tmp_path)
    write_data_record(data, tmp_path)
    again = load_data(folder_config(own, train__batch_size=24, data__split_seed=5), tmp_path)
    assert again.splits.tolist() == data.splits.tolist()


def test_a_split_that_was_lost_is_made_again_only_as_it_was(own, tmp_path):
    config = folder_config(own, train__batch_size=24)
    data = load_data(config, tmp_path)
    write_data_record(data, tmp_path)
    digests.Digests(tmp_path, "checkpoints").seal([])
    before = (tmp_path / "splits.csv").read_bytes()
    (tmp_path / "splits.csv").unlink()
    again = load_data(config, tmp_path)
    write_data_record(again, tmp_path)
    assert (tmp_path / "splits.csv").read_bytes() == before
    (tmp_path / "splits.csv").unlink()
    with pytest.raises(UserError, match=r"splits\.csv is missing and cannot be made again.*restore it"):
        load_data(folder_config(own, train__batch_size=24, data__split_seed=5), tmp_path)


def test_a_list_with_groups_and_a_class_that_is_only_tested(own, tmp_path):
    rows = [f"own/BLA/{i}.png,BLA,p{i // 2},{'train' if i < 6 else 'test'}" for i in range(10)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group,split", *rows]))
    config = folder_config(str(tmp_path / "list.csv"), data__source="csv")
    data = load_data(config, tmp_path / "run")
    assert data.splits[6:].tolist() == ["test"] * 4
    assert data.index.groups[2] == "p1"
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
        check(tiny_config(**change))


def test_sources_and_folds_that_can_work():
    check(tiny_config(data__source="tfds:cells", data__group_feature="slide", eval__source="npz"))
    check(tiny_config(data__folds=5, data__fold=4))


def test_one_class_and_classes_of_one_name_are_refused(tmp_path):
    with pytest.raises(UserError, match="one class only, BLA"):
        load_index(folder_config(put_images(tmp_path / "one", {"BLA": 4})))
    with pytest.raises(UserError, match="'BLA' and 'bla'"):
        load_index(folder_config(put_images(tmp_path / "two", {"BLA": 4, "bla": 4})))


def test_a_class_of_one_image_is_named(tmp_path):
    config = folder_config(put_images(tmp_path / "cells", {"BLA": 9, "MON": 1}))
    with pytest.warns(UserWarning, match="classes MON have one image each: none to test"):
        load_data(config, tmp_path / "run")


def test_runs_on_a_list_whose_patients_were_not_used_can_still_be_opened(own, tmp_path):
    rows = [f"own/{name}/{i}.png,{name},p{i}" for name in ("BLA", "LYT") for i in range(6)]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["path,label,patient", *rows]))
    index = load_index(folder_config(str(path), data__source="csv"))
    assert index.groups.tolist()[:2] == ["p0", "p1"]
    former = dataclasses.replace(index, groups=None)
    folder.write(tmp_path / "run", folder_config(str(path)), folder.record_of(former))
    folder.check_same_data(tmp_path / "run", index)
    with pytest.raises(UserError, match="the images are not those"):
        folder.check_same_data(tmp_path / "run", index.select(np.arange(5)))


@pytest.mark.parametrize(
    ("given", "backend", "driver"),
    [("auto", "cpu", "threads"), ("auto", "gpu", "auto"), ("tf.data", "cpu", "tf.data"),
     ("threads", "gpu", "threads")],
)  # fmt: skip
def test_by_itself_threads_read_where_the_cpu_computes(own, tmp_path, monkeypatch, given, backend, driver):
    config = folder_config(own, data__driver=given, train__batch_size=6)
    data = load_data(config, tmp_path / "run")
    monkeypatch.setattr("jax.default_backend", lambda: backend)
    monkeypatch.setattr("asae_jax.run.data.train_batches", lambda *_, driver, **__: driver)
    assert data.training_batches(config) == driver
