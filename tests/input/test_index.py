import dataclasses

import numpy as np
import pytest

from asae_jax.input.content import CONTENT_TYPE
from asae_jax.input.index import DataIndex


def small_index(**changes):
    fields = {
        "source": "test",
        "class_names": ("a", "b", "c"),
        "names": np.array(["a/1", "b/2", "b/3", "c/4"]),
        "labels": np.array([0, 1, 1, 2], np.int32),
        "read": lambda row: np.full((8, 8, 3), row, np.uint8),
        "groups": np.array(["s", "s", "t", "t"]),
        "sizes": np.array([10, 20, 30, 40]),
        "modified": np.array([1, 2, 3, 4]),
    }
    return DataIndex(**fields | changes)


def test_selected_rows_read_their_own_images_also_when_selected_twice():
    index = small_index().select(np.array([3, 1, 2])).select(np.array([2, 0]))
    assert index.names.tolist() == ["b/3", "c/4"]
    assert index.labels.tolist() == [1, 2]
    assert index.groups.tolist() == ["t", "t"]
    assert index.splits is None
    assert [int(index.read(row)[0, 0, 0]) for row in range(2)] == [2, 3]
    assert index.num_classes == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "other"},
        {"class_names": ("a", "b", "d")},
        {"names": np.array(["a/1", "b/2", "b/3", "c/5"])},
        {"labels": np.array([0, 1, 2, 2], np.int32)},
        {"groups": None},
        {"groups": np.array(["s", "s", "s", "t"])},
        {"splits": np.array(["train"] * 4)},
        {"sizes": np.array([10, 20, 30, 41])},
        {"modified": np.array([1, 2, 3, 5])},
        {"settings": "size=32"},
    ],
)
def test_every_difference_changes_the_fingerprint(changes):
    assert small_index(**changes).fingerprint() != small_index().fingerprint()


def test_what_files_hold_is_in_the_key_of_the_cache_alone():
    """Run folders hold fingerprints of earlier versions, which must go on matching."""
    one, other = (small_index(content=lambda text=text: np.array([text] * 4, CONTENT_TYPE)) for text in "xy")
    keys = {index.cache_key() for index in (one, other, small_index(), small_index(settings="x"))}
    assert len(keys) == 4
    assert one.fingerprint() == other.fingerprint() == small_index().fingerprint()
    assert small_index().fingerprint(modified=False) == "0e1b475df55a5ada44adb3fc0ad01640"
    assert one.select(np.array([0])).cache_key() != other.select(np.array([0])).cache_key()


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ("a", "b", "d")},
        {"labels": np.array([0, 1, 2, 2], np.int32)},
        {"groups": None},
        {"splits": np.array(["train"] * 4)},
    ],
)
def test_what_no_pixel_depends_on_is_not_in_the_key_of_the_cache(changes):
    assert small_index(**changes).cache_key() == small_index().cache_key()


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "other"},
        {"names": np.array(["a/1", "b/2", "b/3", "c/5"])},
        {"sizes": np.array([10, 20, 30, 41])},
        {"modified": np.array([1, 2, 3, 5])},
        {"settings": "size=32"},
    ],
)
def test_what_images_are_read_from_is_in_the_key_of_the_cache(changes):
    assert small_index(**changes).cache_key() != small_index().cache_key()


def test_contents_go_with_their_rows_and_are_read_once():
    calls = []
    given = np.array(["a", "b", "c", ""], CONTENT_TYPE)
    index = small_index(content=lambda: calls.append(1) or given)
    chosen = index.select(np.array([2, 0]))
    assert chosen.contents.tolist() == [b"c", b"a"]
    assert chosen.select(np.array([1])).contents.tolist() == [b"a"]
    assert len(calls) == 1
    assert small_index().contents.tolist() == [b""] * 4
    assert small_index().select(np.array([1])).contents.tolist() == [b""]


def test_names_do_not_run_together_in_the_fingerprint():
    one = small_index(names=np.array(["ab", "c", "d", "e"]))
    other = small_index(names=np.array(["a", "bc", "d", "e"]))
    assert one.fingerprint() != other.fingerprint()


def test_fingerprint_is_the_same_for_the_same_values_in_another_dtype():
    wide = small_index(names=np.array(["a/1", "b/2", "b/3", "c/4"], dtype="<U40"))
    wide = dataclasses.replace(wide, labels=wide.labels.astype(np.int64))
    assert wide.fingerprint() == small_index().fingerprint()


def test_modification_times_can_be_left_out():
    touched = small_index(modified=np.array([9, 9, 9, 9]))
    assert touched.fingerprint(modified=False) == small_index().fingerprint(modified=False)
    resized = small_index(sizes=np.array([9, 9, 9, 9]))
    assert resized.fingerprint(modified=False) != small_index().fingerprint(modified=False)


@pytest.mark.parametrize(
    "changes", [{"labels": np.array([0, 1], np.int32)}, {"labels": np.array([0, 1, 1, 3], np.int32)}]
)
def test_columns_that_do_not_fit_are_refused(changes):
    with pytest.raises(ValueError, match=r"DataIndex\.labels"):
        small_index(**changes)
