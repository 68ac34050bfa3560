import numpy as np
import pytest

from asae_jax.config import base_config
from asae_jax.errors import UserError
from asae_jax.input.chosen_split import chosen_split
from asae_jax.input.split_record import SPLITS_FILE, write_splits
from asae_jax.input.synthetic import synthetic_table
from asae_jax.input.table import Table


def settings(**changes):
    data = base_config().data
    data.update(changes)
    return data


def table(labels, *, groups=None, splits=None):
    labels = np.array(labels, np.int32)
    names = np.array([f"{row}.png" for row in range(len(labels))])
    classes = tuple("ABCDEFG"[: labels.max() + 1])
    groups, splits = (None if column is None else np.array(column) for column in (groups, splits))
    return Table("csv", classes, names, labels, lambda row: None, groups=groups, splits=splits)


def crosses(groups, splits):
    return any(len(set(splits[groups == group])) > 1 for group in np.unique(groups))


LABELS = np.tile([0, 0, 1], 40)
GROUPS = np.array([f"p{row // 6:02d}" for row in range(120)])


def test_groups_are_kept_apart_where_they_are_known(tmp_path, capsys):
    splits = chosen_split(settings(), tmp_path, table(LABELS, groups=GROUPS))
    assert not crosses(GROUPS, splits)
    assert 0.15 < np.mean(splits == "test") < 0.25
    assert capsys.readouterr().out == "split: drawn by group (20 groups)\n"


@pytest.mark.parametrize(("groups", "by"), [(None, "auto"), (GROUPS, "image")])
def test_images_are_split_where_they_are_not_known_or_not_asked_for(tmp_path, capsys, groups, by):
    splits = chosen_split(settings(split_by=by), tmp_path, table(LABELS, groups=groups))
    assert np.sum(splits == "test") == 24
    assert np.sum(LABELS[splits == "test"] == 0) == 16
    assert capsys.readouterr().out == "split: drawn by image\n"


def test_groups_that_are_asked_for_and_not_known(tmp_path):
    with pytest.raises(UserError, match=r"split_by='group' cannot be used: csv data give no groups"):
        chosen_split(settings(split_by="group"), tmp_path, table(LABELS))


def one_patient_for_class_b():
    return table([0] * 90 + [1] * 10, groups=[f"p{row // 10}" for row in range(100)])


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


@pytest.mark.parametrize("num_examples", [160, 2800, 15252])
def test_the_built_in_slides_can_be_kept_apart(tmp_path, num_examples):
    cells = synthetic_table(num_examples=num_examples, size=32)
    splits = chosen_split(settings(), tmp_path, cells)
    assert not crosses(cells.groups, splits)
    for part in ("train", "test"):
        assert set(cells.labels[splits == part]) == set(range(14))
    assert abs(np.mean(splits == "test") - 0.2) < 0.02


def test_the_own_split_of_a_source_goes_before(tmp_path, capsys):
    own = ["train"] * 80 + ["validation"] * 20 + ["test"] * 20
    splits = chosen_split(settings(), tmp_path, table(LABELS, splits=own))
    assert splits.tolist() == own
    assert capsys.readouterr().out == "split: given by the csv data\n"


def test_it_is_completed_by_a_validation_part_of_its_training_part(tmp_path, capsys):
    own = ["train"] * 90 + ["test"] * 30
    splits = chosen_split(settings(), tmp_path, table(LABELS, splits=own))
    assert splits[90:].tolist() == own[90:]
    assert np.sum(splits[:90] == "validation") == 9
    assert "validation: 10% of its training part, by image" in capsys.readouterr().out
    none = chosen_split(settings(validation_fraction=0.0), tmp_path, table(LABELS, splits=own))
    assert none.tolist() == own
    grouped = chosen_split(settings(), tmp_path, table(LABELS, splits=own, groups=GROUPS))
    assert not crosses(GROUPS, grouped)
    assert "validation" in grouped


def test_a_training_part_alone_is_no_split(tmp_path):
    splits = chosen_split(settings(), tmp_path, table(LABELS, splits=["train"] * 120))
    assert np.sum(splits == "test") == 24


def test_groups_on_both_sides_of_an_own_split_are_named(tmp_path):
    own = ["train"] * 93 + ["test"] * 27
    with pytest.warns(UserWarning, match=r"1 groups \(p15\) are on both sides"):
        chosen_split(settings(split_by="image"), tmp_path, table(LABELS, splits=own, groups=GROUPS))


def test_folds_of_a_source_with_a_split_are_refused(tmp_path):
    own = ["train"] * 80 + ["test"] * 40
    with pytest.raises(UserError, match=r"data\.folds=5 cannot be used.*split of their own"):
        chosen_split(settings(folds=5), tmp_path, table(LABELS, splits=own))


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_folds_hold_every_image_once(tmp_path, capsys, groups):
    parts = [
        chosen_split(settings(folds=4, fold=fold), tmp_path, table(LABELS, groups=groups))
        for fold in range(4)
    ]
    assert (np.sum([splits == "test" for splits in parts], axis=0) == 1).all()
    assert "fold 3 of 4 as test part" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:classes number")
def test_folds_never_change_to_images(tmp_path):
    cells = one_patient_for_class_b()
    for fold in range(3):
        assert not crosses(cells.groups, chosen_split(settings(folds=3, fold=fold), tmp_path, cells))


def test_the_record_of_a_run_goes_before_everything(tmp_path):
    recorded = np.array(["test", "train", "validation"] * 40)
    data = table(LABELS, splits=["train"] * 80 + ["test"] * 40, groups=GROUPS)
    write_splits(tmp_path / SPLITS_FILE, data, recorded)
    assert chosen_split(settings(folds=4), tmp_path, data).tolist() == recorded.tolist()
