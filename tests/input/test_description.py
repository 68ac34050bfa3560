import numpy as np

from asae_jax.input.description import describe
from asae_jax.input.index import DataIndex


def _index(**columns):
    names = np.array([f"{row}.png" for row in range(5)])
    return DataIndex(
        "csv", ("BLA", "LYT"), names, np.array([0, 0, 0, 1, 1], np.int32), lambda row: None, **columns
    )


def test_classes_parts_and_groups_are_counted():
    splits = np.array(["train", "train", "validation", "train", "test"])
    text = describe(_index(groups=np.array(["p1", "p1", "p2", "p3", "p3"])), splits)
    assert text.splitlines() == [
        "data: 5 images of 2 classes (csv): BLA 3, LYT 2",
        "  3 train, 1 validation, 1 test, 3 groups",
    ]


def test_what_was_left_out_is_counted_by_reason_and_notes_are_told():
    skipped = (
        ("a", "missing (line 2 of x.csv)"),
        ("b", "missing (line 9 of x.csv)"),
        ("c", "no image by its extension"),
    )
    assert describe(_index(skipped=skipped, notes=("columns not used: stain",))).splitlines() == [
        "data: 5 images of 2 classes (csv): BLA 3, LYT 2",
        "  groups (patients, slides) not known",
        "  left out: missing (2 files), no image by its extension (1 file)",
        "note: columns not used: stain",
    ]
