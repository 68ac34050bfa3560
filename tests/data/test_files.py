import logging
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


def test_counts_are_one_line_or_none(caplog):
    caplog.set_level(logging.WARNING)
    warn_of_counts("set", {"a": 2, "b": 3, "c": 1}, Counter(a=2, b=1))
    warn_of_counts("set", {"a": 2}, Counter(a=2))
    (line,) = caplog.messages
    assert line.endswith("documented: b 3 documented, 1 found; c 1 documented, 0 found")
    assert "\n" not in line
