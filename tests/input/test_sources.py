import numpy as np
import pytest
from PIL import Image

from asae_jax.errors import UserError
from asae_jax.input import sources
from asae_jax.input.sources import is_source, load_table


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / name / "1.png")
    return tmp_path


def test_folder(root):
    assert load_table("folder", path=str(root)).names.tolist() == ["a/1.png", "b/1.png"]


def test_csv(root):
    (root / "list.csv").write_text("path,label\nb/1.png,B\n")
    table = load_table("csv", path=str(root / "list.csv"))
    assert table.names.tolist() == ["b/1.png"]
    assert table.class_names == ("B",)


def test_npz(tmp_path):
    np.savez(tmp_path / "set.npz", train_images=np.ones((2, 9, 9), np.uint8), train_labels=np.array([0, 1]))
    assert load_table("npz", path=str(tmp_path / "set.npz")).names.tolist() == [
        "train/000000",
        "train/000001",
    ]


def test_tfds_is_asked_for_what_follows_the_colon(monkeypatch):
    asked = []
    monkeypatch.setattr(sources, "tfds_table", lambda *given, **options: asked.append((given, options)))
    load_table("tfds:cells/fine:1.0.0", path="there", group_feature="slide")
    assert asked == [(("cells/fine:1.0.0",), {"data_dir": "there", "group_feature": "slide"})]


def test_synthetic():
    table = load_table("synthetic", num_examples=30, seed=1, size=32)
    assert len(table) == 30
    assert table.source == "synthetic"
    assert table.read(29).shape == (32, 32, 3)


def test_a_class_map_is_applied(root):
    (root / "map.csv").write_text("from,to\na,b\n")
    assert load_table("folder", path=root, class_map=str(root / "map.csv")).class_names == ("b",)


@pytest.mark.parametrize(("source", "what"), [("folder", "DIR"), ("csv", "FILE"), ("npz", "FILE")])
def test_files_need_a_path(source, what):
    with pytest.raises(UserError, match=rf"data source {source} needs .*--config\.data\.path={what}"):
        load_table(source)


@pytest.mark.parametrize("source", ["webcam", "", "tfds:", "tfds:NAMES"])
def test_unknown_sources_are_named_beside_the_known(source):
    assert is_source(source) == (source == "tfds:NAMES")
    if not is_source(source):
        with pytest.raises(UserError, match=r"unknown data source.*synthetic, folder, csv, npz, tfds:NAME"):
            load_table(source)
