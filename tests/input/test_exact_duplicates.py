"""One picture in several places is found whatever its name."""

import os
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from asae_jax.input.exact_duplicates import is_among, is_first, recorded_contents, warn_of_duplicates
from asae_jax.input.folder import folder_index
from asae_jax.input.run_split import SPLITS_FILE, write_splits


@pytest.fixture
def root(tmp_path):
    """Two classes of three different pictures."""
    for number in range(6):
        path = tmp_path / "cells" / "AB"[number // 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(noise).save(path)
    return tmp_path / "cells"


def _warnings(root, splits=None):
    index = folder_index(root)
    parts = None if splits is None else np.array([splits.get(name, "train") for name in index.names])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_duplicates(index, parts)
    return [str(warning.message) for warning in caught]


def test_different_pictures_give_no_word(root):
    assert _warnings(root, {"A/0.png": "test", "B/3.png": "validation"}) == []


@pytest.mark.parametrize(
    "copy", [shutil.copy, os.link, lambda one, two: os.symlink(os.path.abspath(one), two)]
)
def test_a_picture_under_two_labels_is_named(root, copy):
    copy(root / "A/0.png", root / "B/another name.png")
    (text,) = _warnings(root)
    assert text.startswith("1 image is there under another label too: A/0.png (A) and B/another name.png (B)")


def test_a_class_folder_that_is_linked_under_another_name_is_named(root):
    os.symlink(root / "A", root / "C")
    (text,) = _warnings(root)
    assert text.startswith("3 images are there under another label too: A/0.png (A) and C/0.png (C), ...")


def test_test_images_that_are_trained_on_are_counted(root):
    shutil.copy(root / "A/0.png", root / "A/copy.png")
    shutil.copy(root / "A/0.png", root / "A/second copy.png")
    shutil.copy(root / "B/3.png", root / "B/copy.png")
    (text,) = _warnings(root, {"A/copy.png": "test", "B/3.png": "test", "B/4.png": "test"})
    assert text.startswith("2 of the 3 test images are in the training or validation part too: ")
    assert ": A/0.png (A) and A/copy.png (A), ...; scores are better" in text
    assert _warnings(root, {"A/0.png": "test", "A/copy.png": "test", "A/second copy.png": "test"} | {
        "B/3.png": "validation", "B/copy.png": "validation"
    }) == []  # fmt: skip


def test_validation_images_that_are_trained_on_are_counted(root):
    shutil.copy(root / "A/0.png", root / "A/copy.png")
    (text,) = _warnings(root, {"A/copy.png": "validation", "B/3.png": "validation"})
    assert text.startswith(
        "1 of the 2 validation images are in the training part too: A/0.png (A) and A/copy."
    )


def test_is_first():
    contents = np.array([b"a", b"", b"c", b"a", b"", b"b", b"c"])
    assert is_first(contents).tolist() == [True, True, True, False, True, True, False]


def test_empty_files_and_unknown_contents_are_not_taken_for_one_picture(root):
    for name in ("A/x.png", "B/x.png"):
        os.symlink(root / "none", root / name)
    assert _warnings(root, {"A/x.png": "test"}) == []


def test_is_among():
    contents = np.array([b"a", b"", b"c"])
    assert is_among(contents, np.array([b"a", b"b", b""])).tolist() == [True, False, False]
    assert is_among(contents, np.array([], np.bytes_)).tolist() == [False] * 3


def test_contents_are_recorded_with_the_split(root, tmp_path):
    index = folder_index(root)
    splits = np.array(["train", "train", "test", "train", "validation", "test"])
    write_splits(tmp_path / SPLITS_FILE, index, splits)
    recorded = recorded_contents(tmp_path / SPLITS_FILE, "train")
    assert recorded.tolist() == index.contents[[0, 1, 3]].tolist()
    assert len(recorded_contents(tmp_path / "none.csv", "train")) == 0
    (tmp_path / "old.csv").write_text("name,label,split\na,A,train\n")
    assert len(recorded_contents(tmp_path / "old.csv", "train")) == 0
