"""Folders one level too high: told by their shape, with the path that would do."""

import pytest

from asae_jax.errors import UserError
from asae_jax.input.folder import folder_index
from tests.input.test_folder import put_split

CLASSES = ("BLA", "EBO", "LYT")


def put(root, *outer):
    """Two images of every class below each of the folders `outer`."""
    put_split(root, [f"{folder}{name}/{i}.png" for folder in outer for name in CLASSES for i in range(2)])


@pytest.mark.parametrize(
    "outer",
    [
        ("p1/", "p2/", "p3/"),
        ("fold_0/", "fold_1/"),
        ("Training_images/", "Testing_images/"),
        ("A/", "B/"),
        ("Validation/", "Test/"),
        ("2019-03-01/", "2019-03-02/"),
    ],
)
def test_parts_and_patients_over_class_folders_are_refused_with_the_right_path(tmp_path, outer):
    put(tmp_path, *outer)
    first = tmp_path / sorted(outer)[0].rstrip("/")
    with pytest.raises(UserError, match=r"hold folders of the same names \(BLA, EBO, LYT\)") as error:
        folder_index(tmp_path, options="--")
    assert f"(--path={first})" in str(error.value)
    assert folder_index(first).class_names == CLASSES


def test_patients_need_not_have_every_class(tmp_path):
    put_split(tmp_path, ["p1/BLA/1.png", "p1/EBO/1.png", "p2/BLA/1.png", "p3/EBO/1.png", "p3/LYT/1.png"])
    with pytest.raises(UserError, match="one level down"):
        folder_index(tmp_path)


@pytest.mark.parametrize("patients", [("p1", "p2", "p3"), ("Patient 1", "Patient 2", "Patient 3")])
def test_patients_need_not_share_a_class(tmp_path, patients):
    cells = zip(patients, ("BLA", "EBO", "LYT"), ("LYT", "MON", "EOS"), strict=True)
    put_split(tmp_path, [f"{patient}/{name}/1.png" for patient, *names in cells for name in names])
    with pytest.raises(
        UserError, match=r"called as classes \(BLA.*one level down: list the images .*; or, .*groups=folders"
    ):
        folder_index(tmp_path)


def test_numbered_classes_may_each_hold_one_folder(tmp_path):
    put_split(tmp_path, ["0/BAS/1.png", "1/EOS/1.png", "2/LYT/1.png"])
    assert folder_index(tmp_path).class_names == ("0", "1", "2")


def test_kinds_of_cells_may_hold_folders_of_their_own_classes_and_that_is_noted(tmp_path):
    put_split(tmp_path, ["myeloid/MYB/1.png", "myeloid/PMO/1.png", "lymphoid/LYT/1.png"])
    index = folder_index(tmp_path)
    assert index.class_names == ("lymphoid", "myeloid")
    assert (
        "the 3 sub-folders of the class folders (LYT, MYB, PMO) are called as classes, but" in index.notes[0]
    )
    assert "groups=folders" not in index.notes[0]


@pytest.mark.parametrize("outer", ["cells/", "archive/cells/", "data/Acevedo 2020/images/"])
def test_a_folder_around_the_class_folders_is_named(tmp_path, outer):
    put(tmp_path, outer)
    put_split(tmp_path, ["overview.png"])
    with pytest.raises(UserError, match="holds nothing but the folder") as error:
        folder_index(tmp_path)
    assert f"--config.data.path={tmp_path / outer})" in str(error.value)
    assert folder_index(tmp_path / outer).class_names == CLASSES


def test_a_folder_around_patients_is_not_taken_for_one_around_classes(tmp_path):
    put(tmp_path, "cells/p1/", "cells/p2/")
    with pytest.raises(UserError, match="one level down") as error:
        folder_index(tmp_path)
    assert f"{tmp_path}/cells/p1)" in str(error.value)


def test_training_and_testing_are_parts_of_a_split(tmp_path):
    put(tmp_path, "Training/", "Testing/", "Valid/")
    index = folder_index(tmp_path)
    assert index.class_names == CLASSES
    assert sorted(set(index.splits.tolist())) == ["test", "train", "validation"]


NUMBERS = ("KM21-33", "KM21-40", "KM21-52")


def put_patients(root, classes, patients=NUMBERS):
    put_split(root, [f"{name}/{patient}/{i}.png" for name in classes for patient in patients for i in (1, 2)])


def test_patients_in_folders_of_known_classes_are_named_first(tmp_path):
    put_patients(tmp_path / "cells", ("BLA", "LYT"))
    with pytest.raises(UserError, match=r"hold folders of the same names \(KM21-33") as error:
        folder_index(tmp_path / "cells")
    by_patient, one_level_down = str(error.value).split("; if the classes are one level down, ")
    assert by_patient.endswith(
        "if BLA, LYT are the classes and the folders inside are patients, add --config.data.groups=folders"
    )
    assert f"(--config.data.path={tmp_path}/cells/BLA)" in one_level_down
    assert folder_index(tmp_path / "cells", patients=True).class_names == ("BLA", "LYT")
    with pytest.raises(UserError, match="patients, add --groups=folders"):
        folder_index(tmp_path / "cells", options="--")
    with pytest.raises(UserError) as error:
        folder_index(tmp_path)
    assert f"patients, add --config.data.path={tmp_path}/cells --config.data.groups=folders" in str(
        error.value
    )


@pytest.mark.parametrize("value", ["nan", "#NV"])
def test_a_folder_of_patients_that_are_not_known_is_refused(tmp_path, value):
    """As f"{label}/{patient}" of a table with gaps makes it: all of them would be one patient."""
    put_patients(tmp_path, ("BLA", "LYT"), (*NUMBERS, value))
    first = tmp_path / f"BLA/{value}/1.png"
    with pytest.raises(UserError, match=f"{first}: the folder of a patient is {value}, which programs"):
        folder_index(tmp_path, patients=True)
    put_patients(other := tmp_path / "other", ("BLA", "LYT"), ("NA", "None"))
    assert set(folder_index(other, patients=True).groups) == {"NA", "None"}


def test_patients_in_folders_of_unknown_classes_are_named_too(tmp_path):
    put_patients(tmp_path, ("gut", "schlecht"))
    with pytest.raises(UserError, match="one level down: give one of") as error:
        folder_index(tmp_path)
    assert str(error.value).endswith(
        "; or, if gut, schlecht are the classes and the folders inside are patients, "
        "add --config.data.groups=folders"
    )


def test_known_classes_inside_are_no_patients(tmp_path):
    put(tmp_path, "A/", "B/")
    for patients in (False, True):
        with pytest.raises(UserError, match="one level down") as error:
            folder_index(tmp_path, patients=patients)
        assert "groups=folders" not in str(error.value)


@pytest.mark.parametrize("patients", [("p1", "p2", "p3"), NUMBERS, ("1", "2", "3")])
def test_numbers_are_classes_where_the_user_says_that_patients_are_inside(tmp_path, patients):
    put_patients(tmp_path, "012", patients)
    index = folder_index(tmp_path, patients=True)
    assert index.class_names == ("0", "1", "2")
    assert sorted(set(index.groups.tolist())) == sorted(patients)


@pytest.mark.parametrize("inside", ["images/", "p1/"])
def test_class_folders_one_level_too_deep_in_train_are_refused(tmp_path, inside):
    put(tmp_path, f"train/{inside}", f"test/{inside}", *(["train/p2/"] if inside == "p1/" else []))
    with pytest.raises(UserError, match=r"train.*(move them up|one level down)") as error:
        folder_index(tmp_path)
    assert "--config.data.path" not in str(error.value)


def test_parts_inside_of_class_folders_are_refused(tmp_path):
    put_split(tmp_path, [f"{name}/{part}/1.png" for name in CLASSES for part in ("train", "test")])
    with pytest.raises(UserError, match="hold test, train, which class folders cannot"):
        folder_index(tmp_path)


def test_parts_inside_of_class_folders_are_refused_where_a_class_lacks_one(tmp_path):
    put_split(tmp_path, ["BLA/train/1.png", "BLA/test/1.png", "EBO/train/1.png", "LYT/train/1.png"])
    with pytest.raises(UserError, match="hold test, train, which class folders cannot"):
        folder_index(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        ["BLA/p1/1.png", "BLA/p2/2.png", "EBO/p1/1.png", "EBO/p2/2.png"],
        ["BLA/0001-1000/1.png", "BLA/1001-2000/1.png", "EBO/0001-1000/1.png", "EBO/1001-2000/2.png"],
        ["BLA/Meyer/1.png", "BLA/Huber/1.png", "EBO/Kaya/1.png"],
    ],
)
def test_patients_inside_of_class_folders_stay_what_they_are_and_are_noted(tmp_path, files):
    put_split(tmp_path, files)
    index = folder_index(tmp_path)
    assert index.class_names == ("BLA", "EBO")
    assert len(index) == len(files)
    assert "not taken as patients" in index.notes[0]


def test_plain_class_folders_need_no_note(tmp_path):
    put(tmp_path, "")
    put_split(tmp_path, ["BLA/images/9.png", "EBO/images/9.png"])
    assert folder_index(tmp_path).notes == ()


@pytest.mark.parametrize("patients", [("p1", "p2"), ("Meyer", "Huber"), ("AB", "KM")])
def test_folders_of_patients_become_groups_where_the_user_says_so(tmp_path, patients):
    put_split(
        tmp_path, [f"{name}/{patient}/{i}.png" for name in CLASSES for patient in patients for i in (1, 2)]
    )
    index = folder_index(tmp_path, patients=True)
    assert index.class_names == CLASSES
    assert index.groups.tolist() == [name.split("/")[1] for name in index.names]
    assert "are patients or slides" in index.notes[0]


def test_the_outer_of_two_folders_inside_of_a_class_is_the_patient(tmp_path):
    put_split(tmp_path, ["BLA/p1/slide1/1.png", "BLA/p1/slide2/1.png", "EBO/p2/1.png"])
    assert folder_index(tmp_path, patients=True).groups.tolist() == ["p1", "p1", "p2"]


def test_patients_within_the_parts_of_a_split(tmp_path):
    put_split(tmp_path, [f"{part}/{name}/{part}1/1.png" for part in ("train", "test") for name in CLASSES])
    index = folder_index(tmp_path, patients=True)
    assert sorted(set(zip(index.splits.tolist(), index.groups.tolist(), strict=True))) == [
        ("test", "test1"),
        ("train", "train1"),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["BLA/p1/1.png", "BLA/2.png", "EBO/p2/1.png"], r"BLA/2.png lies in no patient's folder"),
        (["BLA/images/1.png", "EBO/images/1.png"], "one patient only"),
        ([f"p{i}/{name}/1.png" for i in (1, 2) for name in CLASSES], "classes seem to be one level down"),
        ([f"{name}/{part}/1.png" for name in CLASSES for part in ("train", "test")], "class folders cannot"),
    ],
)
def test_what_cannot_be_patients_is_refused(tmp_path, files, message):
    put_split(tmp_path, files)
    with pytest.raises(UserError, match=message):
        folder_index(tmp_path, patients=True)
