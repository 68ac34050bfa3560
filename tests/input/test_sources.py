import numpy as np
import pytest
from PIL import Image

from asae_jax import shipped
from asae_jax.config import base_config
from asae_jax.errors import UserError
from asae_jax.input import sources
from asae_jax.input.class_map import read_class_map
from asae_jax.input.preparation import Preparation
from asae_jax.input.run_split import chosen_split
from asae_jax.input.sources import (
    configured_index,
    configured_preparation,
    is_source,
    named_class_map,
    source_of,
    synthetic_index,
)
from asae_jax.synthetic import CLASS_NAMES, describe, render


def settings(source, **changes):
    data = base_config().data
    data.update({"source": source} | changes)
    return data


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / name / "1.png")
    return tmp_path


def test_folder(root):
    assert configured_index(settings("folder", path=str(root))).names.tolist() == ["a/1.png", "b/1.png"]


def test_folders_that_are_patients_are_kept_apart_by_the_split(tmp_path, capsys):
    for number in range(60):
        place = tmp_path / "ab"[number % 2] / f"p{number // 6}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), number, np.uint8)).save(place)
    given = settings("folder", path=str(tmp_path), groups="folders")
    index = configured_index(given)
    splits = chosen_split(given, None, index)
    sides = {group: set(splits[index.groups == group].tolist()) for group in set(index.groups.tolist())}
    assert len(sides) == 10
    assert all(len(side) == 1 for side in sides.values())
    assert {"train", "test"} <= set(splits.tolist())


def test_csv(root):
    (root / "list.csv").write_text("path,label\nb/1.png,B\n")
    index = configured_index(settings("csv", path=str(root / "list.csv")))
    assert index.names.tolist() == ["b/1.png"]
    assert index.class_names == ("B",)


def test_npz(tmp_path):
    images = np.full((2, 9, 9), 9, np.uint8)
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=np.array([0, 1]))
    index = configured_index(settings("npz", path=str(tmp_path / "set.npz")))
    assert index.names.tolist() == ["train/000000", "train/000001"]


def test_tfds_is_asked_for_what_follows_the_colon(monkeypatch):
    asked = []
    monkeypatch.setattr(sources, "tfds_index", lambda *given, **options: asked.append((given, options)))
    configured_index(settings("tfds:cells/fine:1.0.0", path="there", group_feature="slide"))
    assert asked == [
        (("cells/fine:1.0.0",), {"data_dir": "there", "group_feature": "slide", "options": "--config.data."})
    ]


def test_synthetic():
    index = configured_index(settings("synthetic", num_examples=30, synthetic_seed=1, stored_size=32))
    assert len(index) == 30
    assert index.source == "synthetic"
    assert index.read(29).shape == (32, 32, 3)


def test_a_class_map_is_applied(root):
    (root / "map.csv").write_text("from,to\na,b\n")
    mapped = settings("folder", path=str(root), class_map=str(root / "map.csv"))
    assert configured_index(mapped).class_names == ("b",)


@pytest.mark.parametrize(("source", "what"), [("folder", "DIR"), ("csv", "FILE"), ("npz", "FILE")])
def test_files_need_a_path(source, what):
    with pytest.raises(UserError, match=rf"data source {source} needs .*--config\.data\.path={what}"):
        configured_index(settings(source))


@pytest.mark.parametrize(
    ("name", "source"),
    [("", "folder"), ("list.csv", "csv"), ("set.npz", "npz"), ("gone.csv", "csv"), ("x", "")],
)
def test_a_path_is_not_given_in_vain(root, name, source):
    path = str(root / name)
    assert source_of(path) == source
    with pytest.raises(
        UserError, match=rf"path={path} is given.*drawn cells.*--config\.data\.source={source}"
    ):
        configured_index(settings("synthetic", path=path))


def test_messages_name_the_option_that_was_given(root):
    with pytest.raises(UserError, match=r"add --path=DIR"):
        configured_index(settings("folder"), options="--")
    with pytest.raises(UserError, match=r"\(--path=DIR\)"):
        configured_index(settings("folder", path=str(root / "gone")), options="--")


@pytest.mark.parametrize("source", ["webcam", "", "tfds:", "tfds:NAMES"])
def test_unknown_sources_are_named_beside_the_known(source):
    assert is_source(source) == (source == "tfds:NAMES")
    if not is_source(source):
        with pytest.raises(
            UserError, match=r"unknown data source.*synthetic, demo, folder, csv, npz, tfds:NAME"
        ):
            configured_index(settings(source))


def test_preparation_is_as_configured():
    changes = {"stored_size": 40, "hue": "robust", "hue_low": 100, "hue_high": 110}
    assert configured_preparation(settings("synthetic", **changes)) == Preparation(**changes, stain="none")


def synthetic(**changes):
    return synthetic_index(**{"num_examples": 200, "seed": 0, "size": 32} | changes)


def test_synthetic_names_groups_and_reads():
    index = synthetic(seed=5)
    assert index.source == "synthetic"
    assert index.class_names == CLASS_NAMES
    assert index.labels.dtype == np.int32
    assert index.names[123] == "synthetic/000123"
    np.testing.assert_array_equal(index.read(123), render(5, 123, size=32))
    description = describe(5, 123)
    assert index.groups[123] == description.slide
    assert CLASS_NAMES[index.labels[123]] == description.class_name


def test_synthetic_fingerprint_tells_seed_size_and_number_apart():
    indices = [synthetic(), synthetic(num_examples=201), synthetic(seed=1), synthetic(size=33)]
    assert len({index.fingerprint() for index in indices}) == 4
    assert synthetic().fingerprint() == indices[0].fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_examples": 13}, "14 examples or more"),
        ({"seed": -1}, "seed"),
        ({"size": 4}, "8..2048"),
        ({"size": 4096}, "8..2048"),
    ],
)
def test_impossible_settings_are_named(options, message):
    with pytest.raises(UserError, match=message.replace(".", r"\.")) as error:
        synthetic(**options)
    assert "\n" not in str(error.value)


def test_a_class_map_may_be_a_shipped_one_by_its_name(tmp_path):
    shipped_map = named_class_map("stages/mll23")
    assert shipped_map == read_class_map(shipped.class_maps()["stages/mll23"])
    own = tmp_path / "own.csv"
    own.write_text("from,to\nBLA,blast\n")
    assert named_class_map(str(own)) == {"BLA": "blast"}
    with pytest.raises(UserError, match=r"stages/mll32"):
        named_class_map("stages/mll32")
