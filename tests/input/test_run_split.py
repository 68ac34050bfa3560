import dataclasses
import re
import warnings

import numpy as np
import pytest

from asae_jax.config import base_config
from asae_jax.errors import UserError
from asae_jax.input.content import CONTENT_TYPE
from asae_jax.input.index import DataIndex
from asae_jax.input.run_split import SPLITS_FILE, chosen_split, read_splits, write_splits
from asae_jax.input.sources import synthetic_index


def settings(**changes):
    data = base_config().data
    data.update(changes)
    return data


def index_of(labels, *, groups=None, splits=None):
    labels = np.array(labels, np.int32)
    names = np.array([f"{row}.png" for row in range(len(labels))])
    classes = tuple("ABCDEFG"[: labels.max() + 1])
    groups, splits = (None if column is None else np.array(column) for column in (groups, splits))
    return DataIndex("csv", classes, names, labels, lambda row: None, groups=groups, splits=splits)


def crosses(groups, splits):
    return any(len(set(splits[groups == group])) > 1 for group in np.unique(groups))


LABELS = np.tile([0, 0, 1], 40)
GROUPS = np.array([f"p{row // 6:02d}" for row in range(120)])


def test_groups_are_kept_apart_where_they_are_known(tmp_path, capsys):
    splits = chosen_split(settings(), tmp_path, index_of(LABELS, groups=GROUPS))
    assert not crosses(GROUPS, splits)
    assert 0.15 < np.mean(splits == "test") < 0.25
    assert capsys.readouterr().out == "split: drawn by group (20 groups)\n"


@pytest.mark.parametrize(("groups", "by"), [(None, "auto"), (GROUPS, "image")])
def test_images_are_split_where_they_are_not_known_or_not_asked_for(tmp_path, capsys, groups, by):
    splits = chosen_split(settings(split_by=by), tmp_path, index_of(LABELS, groups=groups))
    assert np.sum(splits == "test") == 24
    assert np.sum(LABELS[splits == "test"] == 0) == 16
    assert capsys.readouterr().out == "split: drawn by image\n"


def test_groups_that_are_asked_for_and_not_known(tmp_path):
    with pytest.raises(UserError, match=r"split_by='group' cannot be used: csv data give no groups"):
        chosen_split(settings(split_by="group"), tmp_path, index_of(LABELS))


def one_patient_for_class_b():
    return index_of([0] * 90 + [1] * 10, groups=[f"p{row // 10}" for row in range(100)])


def test_a_class_that_groups_would_leave_untested_brings_the_split_by_image(tmp_path):
    with pytest.warns(
        UserWarning, match=r"drawn by image: by group, class B .*--config\.data\.split_by=group"
    ):
        splits = chosen_split(settings(), tmp_path, one_patient_for_class_b())
    assert np.sum(splits[90:] == "test") == 2


def test_unless_groups_are_asked_for(tmp_path):
    with pytest.warns(UserWarning, match="one group each: none to test"):
        splits = chosen_split(settings(split_by="group"), tmp_path, one_patient_for_class_b())
    assert set(splits[90:]) == {"train"}


@pytest.mark.filterwarnings("error")
def test_without_a_test_part_groups_are_kept_apart_too(tmp_path):
    """No class is then in it, which is no reason to divide patients."""
    splits = chosen_split(settings(test_fraction=0.0), tmp_path, index_of(LABELS, groups=GROUPS))
    assert not crosses(GROUPS, splits)
    assert set(splits) == {"train", "validation"}


@pytest.mark.parametrize("num_examples", [160, 2800, 15252])
def test_the_built_in_slides_can_be_kept_apart(tmp_path, num_examples):
    cells = synthetic_index(num_examples=num_examples, seed=0, size=32)
    splits = chosen_split(settings(), tmp_path, cells)
    assert not crosses(cells.groups, splits)
    for part in ("train", "test"):
        assert set(cells.labels[splits == part]) == set(range(14))
    assert abs(np.mean(splits == "test") - 0.2) < 0.02


def test_the_own_split_of_a_source_goes_before(tmp_path, capsys):
    own = ["train"] * 80 + ["validation"] * 20 + ["test"] * 20
    splits = chosen_split(settings(), tmp_path, index_of(LABELS, splits=own))
    assert splits.tolist() == own
    assert capsys.readouterr().out == "split: given by the csv data\n"


def test_it_is_completed_by_a_validation_part_of_its_training_part(tmp_path, capsys):
    own = ["train"] * 90 + ["test"] * 30
    splits = chosen_split(settings(), tmp_path, index_of(LABELS, splits=own))
    assert splits[90:].tolist() == own[90:]
    assert np.sum(splits[:90] == "validation") == 9
    assert "validation: 10% of its training part, by image" in capsys.readouterr().out
    none = chosen_split(settings(validation_fraction=0.0), tmp_path, index_of(LABELS, splits=own))
    assert none.tolist() == own
    grouped = chosen_split(settings(), tmp_path, index_of(LABELS, splits=own, groups=GROUPS))
    assert not crosses(GROUPS, grouped)
    assert "validation" in grouped


def test_a_training_part_alone_is_no_split(tmp_path):
    splits = chosen_split(settings(), tmp_path, index_of(LABELS, splits=["train"] * 120))
    assert np.sum(splits == "test") == 24


def test_groups_on_both_sides_of_an_own_split_are_named(tmp_path):
    own = ["train"] * 93 + ["test"] * 27
    with pytest.warns(UserWarning, match=r"1 groups \(p15\) are on both sides"):
        chosen_split(settings(split_by="image"), tmp_path, index_of(LABELS, splits=own, groups=GROUPS))


def test_patients_in_training_and_validation_are_pointed_out_where_the_data_say_so(tmp_path):
    own = ["train"] * 80 + ["validation"] * 16 + ["test"] * 24  # six images a patient
    with pytest.warns(UserWarning, match="groups") as said:
        chosen_split(settings(), tmp_path, index_of(LABELS, splits=own, groups=GROUPS))
    assert [str(one.message).partition("the data give: ")[0] for one in said] == [
        "1 groups (p13) are in the training and in the validation part that "
    ]
    own = ["train"] * 96 + ["test"] * 24
    chosen_split(settings(split_by="image"), tmp_path, index_of(LABELS, splits=own, groups=GROUPS))


def test_folds_of_a_source_with_a_split_are_refused(tmp_path):
    own = ["train"] * 80 + ["test"] * 40
    with pytest.raises(UserError, match=r"data\.folds=5 cannot be used.*split of their own"):
        chosen_split(settings(folds=5), tmp_path, index_of(LABELS, splits=own))


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_folds_hold_every_image_once(tmp_path, capsys, groups):
    parts = [
        chosen_split(settings(folds=4, fold=fold), tmp_path, index_of(LABELS, groups=groups))
        for fold in range(4)
    ]
    assert (np.sum([splits == "test" for splits in parts], axis=0) == 1).all()
    assert "fold 3 of 4 as test part" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:classes ", "ignore:.*in no fold")
def test_folds_never_change_to_images(tmp_path):
    cells = one_patient_for_class_b()
    for fold in range(3):
        assert not crosses(cells.groups, chosen_split(settings(folds=3, fold=fold), tmp_path, cells))


@pytest.mark.filterwarnings("ignore:classes ", "ignore:the validation part is empty")
@pytest.mark.parametrize("split_by", ["group", "image"])
def test_a_split_that_tests_nothing_is_refused(split_by, tmp_path):
    """Without either patient a class has nothing to train on; or every class has one image."""
    cells = index_of([0, 0, 1, 1, 2, 2], groups=["p", "p", "p", "q", "q", "q"])
    cells = cells if split_by == "group" else index_of([0, 1, 2])
    single = "A, C" if split_by == "group" else "A, B, C"
    with pytest.raises(
        UserError, match=rf"no image to test.*in one alone: {single}\).*test_fraction=0"
    ) as caught:
        chosen_split(settings(split_by=split_by), tmp_path, cells)
    assert ("split_by=image" in str(caught.value)) == (split_by == "group")
    assert "test" not in chosen_split(settings(split_by=split_by, test_fraction=0.0), tmp_path, cells)


@pytest.mark.parametrize(
    ("patients", "own", "parts", "told"),
    [
        ([1000, 20, 20, 20], None, (1000, 20, 40), ""),
        ([400, 40, 40], None, (400, 40, 40), ""),
        ([500, 500], None, (500, 0, 500), "the validation part is empty, instead of 10% .* of 1 group:"),
        ([400, 300, 20], None, (400, 300, 20), "the validation part has 43% of the images, instead of 10%"),
        ([500], 100, (500, 0, 100), "the validation part is empty"),
        ([300, 280], 100, (300, 280, 100), "the validation part has 48% of the images"),
    ],
)
def test_few_patients_leave_a_validation_part_or_it_is_said(tmp_path, capsys, patients, own, parts, told):
    """Each patient has both classes."""
    sizes = patients + ([own] if own else [])
    groups = np.repeat([f"p{n}" for n in range(len(sizes))], sizes)
    labels = np.arange(len(groups)) % 2
    given = np.where(groups == f"p{len(patients)}", "test", "train") if own else None
    cells = index_of(labels, groups=groups, splits=given)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        splits = chosen_split(settings(split_by="group"), tmp_path, cells)
    assert tuple(np.sum(splits == part) for part in ("train", "validation", "test")) == parts
    assert [bool(re.search(told, str(warning.message))) for warning in caught] == [True] * bool(told)
    if own:
        assert f"validation: {100 * parts[1] / (parts[0] + parts[1]):.0f}% of its" in capsys.readouterr().out


def test_the_record_of_a_run_goes_before_everything(tmp_path):
    recorded = np.array(["test", "train", "validation"] * 40)
    data = index_of(LABELS, splits=["train"] * 80 + ["test"] * 40, groups=GROUPS)
    write_splits(tmp_path / SPLITS_FILE, data, recorded)
    assert chosen_split(settings(folds=4), tmp_path, data).tolist() == recorded.tolist()


@pytest.fixture
def index():
    names = np.array(["a/1.png", 'a/comma, quote".png', "b/\udcff.png", "b/é.png"])
    return DataIndex("test", ("a", "b"), names, np.array([0, 0, 1, 1], np.int32), lambda row: None)


def test_splits_are_read_back_as_written(tmp_path, index):
    splits = np.array(["train", "test", "validation", "train"])
    write_splits(tmp_path / "splits.csv", index, splits)
    assert read_splits(tmp_path / "splits.csv", index).tolist() == splits.tolist()
    reordered = index.select(np.array([3, 0, 2, 1]))
    assert read_splits(tmp_path / "splits.csv", reordered).tolist() == splits[[3, 0, 2, 1]].tolist()


def test_a_split_of_other_data_names_the_first_differences(tmp_path, index):
    path = tmp_path / "splits.csv"
    write_splits(path, index, np.array(["train"] * 4))
    with pytest.raises(UserError, match=r"a/1\.png is gone"):
        read_splits(path, index.select(np.array([1, 2, 3])))
    other = DataIndex("test", ("a", "b"), index.names, np.array([0, 1, 1, 1], np.int32), index.read)
    with pytest.raises(UserError, match=r"was a, is b.*workdir"):
        read_splits(path, other)
    many = DataIndex("test", ("a",), np.array(list("pqrst")), np.zeros(5, np.int32), index.read)
    with pytest.raises(UserError, match="p is new; q is new; r is new; and 6 more"):
        read_splits(path, many)


@pytest.mark.parametrize(
    "text",
    ["", "name,label\n", "name,label,split\na/1.png,a\n", "name,label,split\na/1.png,a,dev\n", "\0\n"],
)
def test_other_files_are_refused(tmp_path, index, text):
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(UserError, match=r"is not a split|cannot read"):
        read_splits(tmp_path / "splits.csv", index)


def test_a_missing_file_is_refused(tmp_path, index):
    with pytest.raises(UserError, match="cannot read"):
        read_splits(tmp_path / "splits.csv", index)


def test_shares_that_a_given_split_leaves_no_use_for_are_named(tmp_path, capsys):
    splits = ["train", "test", "validation"] * 40
    chosen_split(
        settings(test_fraction=0.3, validation_fraction=0.4), tmp_path, index_of(LABELS, splits=splits)
    )
    assert capsys.readouterr().out == (
        "split: given by the csv data; config.data.test_fraction=0.3 is not used; "
        "config.data.validation_fraction=0.4 is not used\n"
    )


def _contents(index, *texts):
    return dataclasses.replace(index, content=lambda: np.array(texts, CONTENT_TYPE))


def test_another_picture_under_a_recorded_name_is_named(tmp_path, index):
    """Two files of one size exchanged: names, labels and sizes are as they were."""
    path, splits = tmp_path / "splits.csv", np.array(["train", "test", "train", "validation"])
    write_splits(path, _contents(index, "aa", "bb", "cc", "dd"), splits)
    assert read_splits(path, _contents(index, "aa", "bb", "cc", "dd")).tolist() == splits.tolist()
    with pytest.raises(
        UserError, match=rf"{index.names[0]} was another picture; {index.names[2]} was another"
    ):
        read_splits(path, _contents(index, "cc", "bb", "aa", "dd"))
    # What is not known is no difference: drawn cells, files that cannot be read now.
    assert read_splits(path, index).tolist() == splits.tolist()


def test_a_record_without_contents_is_read(tmp_path, index):
    path = tmp_path / "splits.csv"
    write_splits(path, _contents(index, "ee", "ee", "ee", "ee"), np.array(["train"] * 4))
    text = path.read_bytes().replace(b",ee", b"").replace(b",content", b"")
    path.write_bytes(text)
    assert read_splits(path, _contents(index, "aa", "bb", "cc", "dd")).tolist() == ["train"] * 4
