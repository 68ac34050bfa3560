import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asae_jax.errors import UserError
from asae_jax.input.split import SPLITS, read_splits, split_table, write_splits
from asae_jax.input.table import Table

counts_of_classes = st.lists(st.integers(2, 60), min_size=1, max_size=8)
fractions = st.floats(0, 0.95)


def labels_of(counts, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def counted(labels, splits, name, classes):
    return np.bincount(labels[splits == name], minlength=classes)


@given(counts_of_classes, fractions, fractions, st.integers(-5, 2**40))
def test_every_class_is_shared_out_within_one_image(counts, test_fraction, validation_fraction, seed):
    labels, counts = labels_of(counts), np.array(counts)
    splits = split_table(
        labels, test_fraction=test_fraction, validation_fraction=validation_fraction, seed=seed
    )
    train, validation, test = (counted(labels, splits, name, len(counts)) for name in SPLITS)
    np.testing.assert_array_equal(train + validation + test, counts)
    assert (train >= 1).all()
    assert np.abs(test - counts * test_fraction).max() <= 1
    assert np.abs(validation - (counts - test) * validation_fraction).max() <= 1
    if test_fraction > 0:
        assert (test >= 1).all()
    else:
        assert test.sum() == 0


@given(st.lists(st.integers(10, 60), min_size=1, max_size=8), st.floats(0.1, 0.9))
def test_the_whole_is_shared_out_within_half_an_image(counts, fraction):
    labels = labels_of(counts)
    splits = split_table(labels, test_fraction=fraction, seed=0)
    assert abs(np.sum(splits == "test") - len(labels) * fraction) <= 0.5 + 1e-6


def test_eight_to_two_of_as_many_images_as_the_paper_has():
    counts = [1090] * 13 + [1082]
    assert sum(counts) == 15252
    splits = split_table(labels_of(counts), seed=0)
    assert np.sum(splits == "test") == 3050
    assert np.sum(splits == "train") == 12202


@given(counts_of_classes, st.integers(0, 1000))
def test_the_same_seed_is_the_same_split(counts, seed):
    labels = labels_of(counts)
    first = split_table(labels, validation_fraction=0.2, seed=seed)
    np.testing.assert_array_equal(first, split_table(labels, validation_fraction=0.2, seed=seed))
    assume(len(labels) > 30)
    assert (first != split_table(labels, validation_fraction=0.2, seed=seed + 1)).any()


def test_the_validation_share_leaves_the_test_images_alone():
    labels = labels_of([30, 50])
    without = split_table(labels, seed=4)
    with_validation = split_table(labels, validation_fraction=0.25, seed=4)
    np.testing.assert_array_equal(without == "test", with_validation == "test")


def test_one_class_does_not_move_another():
    small, large = labels_of([30, 50]), labels_of([30, 50])
    extended = np.concatenate([large, np.full(40, 2)])
    np.testing.assert_array_equal(
        split_table(small, test_fraction=0.5, seed=1), split_table(extended, test_fraction=0.5, seed=1)[:80]
    )


def test_a_class_of_one_image_is_trained_on_with_a_warning():
    labels = np.array([0, 1, 1, 1, 1, 1])
    with pytest.warns(UserWarning, match=r"\[0\] have one image each"):
        splits = split_table(labels, seed=0)
    assert splits[0] == "train"
    assert np.sum(splits == "test") == 1


@pytest.mark.parametrize("name", ["test_fraction", "validation_fraction"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_fractions_out_of_range_are_refused(name, value):
    with pytest.raises(UserError, match=name):
        split_table(np.array([0, 0]), seed=0, **{name: value})


@pytest.fixture
def table():
    names = np.array(["a/1.png", 'a/comma, quote".png', "b/\udcff.png", "b/é.png"])
    return Table("test", ("a", "b"), names, np.array([0, 0, 1, 1], np.int32), lambda row: None)


def test_splits_are_read_back_as_written(tmp_path, table):
    splits = np.array(["train", "test", "validation", "train"])
    write_splits(tmp_path / "splits.csv", table, splits)
    assert read_splits(tmp_path / "splits.csv", table).tolist() == splits.tolist()
    reordered = table.select(np.array([3, 0, 2, 1]))
    assert read_splits(tmp_path / "splits.csv", reordered).tolist() == splits[[3, 0, 2, 1]].tolist()


def test_a_split_of_other_data_names_the_first_differences(tmp_path, table):
    path = tmp_path / "splits.csv"
    write_splits(path, table, np.array(["train"] * 4))
    with pytest.raises(UserError, match=r"a/1\.png is gone"):
        read_splits(path, table.select(np.array([1, 2, 3])))
    other = Table("test", ("a", "b"), table.names, np.array([0, 1, 1, 1], np.int32), table.read)
    with pytest.raises(UserError, match=r"was a, is b.*workdir"):
        read_splits(path, other)
    many = Table("test", ("a",), np.array(list("pqrst")), np.zeros(5, np.int32), table.read)
    with pytest.raises(UserError, match="p is new; q is new; r is new; and 6 more"):
        read_splits(path, many)


@pytest.mark.parametrize(
    "text",
    ["", "name,label\n", "name,label,split\na/1.png,a\n", "name,label,split\na/1.png,a,dev\n", "\0\n"],
)
def test_other_files_are_refused(tmp_path, table, text):
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(UserError, match=r"is not a split|cannot read"):
        read_splits(tmp_path / "splits.csv", table)


def test_a_missing_file_is_refused(tmp_path, table):
    with pytest.raises(UserError, match="cannot read"):
        read_splits(tmp_path / "splits.csv", table)
