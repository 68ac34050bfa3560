import logging
import os
from collections import Counter

import pytest

from asae_jax.errors import UserError
from data.files import folder_with, images_by_class, warn_of_counts


def _make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_the_nearest_folder_with_most_of_the_names(tmp_path):
    _make(
        tmp_path, "x/a/1.jpg", "y/a/1.jpg", "y/b/1.jpg", "__MACOSX/a/1", "__MACOSX/b/1", ".a/a/1", "y/z/a/1"
    )
    assert folder_with(tmp_path, {"a", "b", "c"}) == tmp_path / "y"
    assert folder_with(tmp_path / "x", {"a", "b"}) == tmp_path / "x"


def test_three_levels_down_and_no_further(tmp_path):
    _make(tmp_path, "1/2/3/a/x.jpg")
    assert folder_with(tmp_path, {"a"}) == tmp_path / "1/2/3"
    _make(tmp_path / "deep", "1/2/3/4/b/x.jpg")
    with pytest.raises(UserError, match="holds none of the folders b"):
        folder_with(tmp_path / "deep", {"b"})


@pytest.mark.parametrize("place", ["absent", "file"])
def test_a_folder_that_is_none_is_refused(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="holds none"):
        folder_with(tmp_path / place, {"a"})


def test_images_are_sorted_and_name_their_folder(tmp_path):
    _make(tmp_path, "b/2.JPG", "b/1.png", "a/deep/er/3.tiff", "a/.hidden.jpg", "other/4.jpg")
    found = images_by_class(tmp_path, ["b", "a", "c"], title="t")
    assert [(file.name, file.folder) for file in found] == [
        ("a/deep/er/3.tiff", "a"),
        ("b/1.png", "b"),
        ("b/2.JPG", "b"),
    ]
    assert all(file.path == tmp_path / file.name for file in found)


_LEFT_BY_SYSTEMS = ("@eaDir", "#recycle", "lost+found", "$RECYCLE.BIN", "__MACOSX", ".thumbs")


def test_thumbnails_and_recycle_bins_of_network_drives_are_no_labelled_cells(tmp_path, caplog):
    names = [f"a/{folder}/{name}" for folder in _LEFT_BY_SYSTEMS for name in ("1.jpg", "deep/1.jpg/M.jpg")]
    _make(tmp_path, "a/1.jpg", "a/._1.jpg", "a/SYNOFILE_THUMB_1.jpg", "@eaDir/a/1.jpg", *names)
    caplog.set_level(logging.WARNING)
    assert [file.name for file in images_by_class(tmp_path, ["a"], title="t")] == ["a/1.jpg"]
    assert not caplog.messages


def test_class_folders_in_a_recycle_bin_are_not_taken(tmp_path):
    _make(
        tmp_path, *(f"{folder}/{name}/1.jpg" for folder in _LEFT_BY_SYSTEMS for name in "ab"), "set/a/1.jpg"
    )
    assert folder_with(tmp_path, {"a", "b"}) == tmp_path / "set"


def test_links_in_a_circle_are_not_followed(tmp_path):
    _make(tmp_path, "a/1.jpg", "b/2.jpg")
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    os.symlink(tmp_path / "b" / "self.jpg", tmp_path / "b" / "self.jpg")
    os.symlink(tmp_path / "c", tmp_path / "c")
    assert folder_with(tmp_path, {"a", "b", "c"}) == tmp_path
    found = images_by_class(tmp_path, ["a", "b", "c"], title="t")
    assert [file.name for file in found] == [
        "a/1.jpg",
        "a/loop/b/2.jpg",
        "a/loop/b/self.jpg",
        "b/2.jpg",
        "b/self.jpg",
    ]


def test_a_pipe_is_no_image(tmp_path, caplog):
    _make(tmp_path, "a/1.jpg")
    os.mkfifo(tmp_path / "a" / "2.jpg")
    caplog.set_level(logging.WARNING)
    assert [file.name for file in images_by_class(tmp_path, ["a"], title="t")] == ["a/1.jpg"]
    assert caplog.messages[-1].endswith("t: left out 1 (a pipe, socket or device), first a/2.jpg")


def test_counts_are_one_line_or_none(caplog):
    caplog.set_level(logging.WARNING)
    warn_of_counts("set", {"a": 2, "b": 3, "c": 1}, Counter(a=2, b=1))
    warn_of_counts("set", {"a": 2}, Counter(a=2))
    (line,) = caplog.messages
    assert line.endswith("documented: b 3 documented, 1 found; c 1 documented, 0 found")
    assert "\n" not in line
