import numpy as np
import pytest

from asae_jax.input.groups import as_listed, counted_groups, in_one_form, known_groups, one_by_one
from asae_jax.input.split import draw_split

NAMES = np.array(["a", "b", "c", "d"])


def test_images_of_no_group_are_told_apart_and_are_not_counted():
    listed = np.array(["p2", "no group", "p1", "no group"])
    groups = one_by_one(listed, NAMES)
    assert len(set(groups.tolist())) == 4
    assert as_listed(groups).tolist() == listed.tolist()
    assert known_groups(groups).tolist() == ["p1", "p2"]
    assert counted_groups(groups) == "2 groups and 2 images of none"


@pytest.mark.parametrize("groups", [np.array(["x", "x", "y", "x"]), np.array([3, 3, 1, 3])])
def test_where_all_have_a_group_nothing_changes(groups):
    assert as_listed(groups) is groups
    assert known_groups(groups).tolist() == np.unique(groups).tolist()
    assert counted_groups(groups) == "2 groups"


def test_without_any_group_none_is_known():
    assert one_by_one(np.array(["no group", "", "no group", ""]), NAMES) is None


def test_an_image_without_a_name_of_its_group_is_of_none():
    assert as_listed(one_by_one(np.array(["", "p1", "no group", "p1"]), NAMES)).tolist() == [
        "no group", "p1", "no group", "p1",
    ]  # fmt: skip


def test_a_split_by_group_divides_images_of_no_group_and_keeps_patients_together():
    listed = np.array(["p1"] * 10 + ["p2"] * 10 + ["no group"] * 80)
    groups = one_by_one(listed, np.array([f"{number}.png" for number in range(100)]))
    parts = draw_split(
        np.arange(100) % 2, groups=groups, test_fraction=0.2, validation_fraction=0.1, folds=0, fold=0, seed=0
    )
    tested = parts == "test"
    assert 0 < tested[listed == "no group"].sum() < 80
    assert {len(set(parts[listed == patient].tolist())) for patient in ("p1", "p2")} == {1}


def test_groups_of_one_form_each_are_split_as_they_were():
    """Runs in progress draw their split again: what is no fault must not move it."""
    names = np.array([f"{number}u\u0308" for number in range(12)])
    assert in_one_form(names) is names


def test_a_patient_in_two_unicode_forms_is_one():
    groups = np.array(["M\u00fcller", "Mu\u0308ller", "no group", "B", "M\u00fcller"])
    found = one_by_one(groups, np.array(list("abcde")))
    assert found.tolist() == ["M\u00fcller", "M\u00fcller", "no group: c", "B", "M\u00fcller"]
    assert counted_groups(found) == "2 groups and 1 image of none"
