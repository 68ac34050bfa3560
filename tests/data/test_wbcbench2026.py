import pytest

from asae_jax.errors import UserError
from data.wbcbench2026.labels import read_labels


def test_stray_columns_and_unknown_classes(made, prepare, examples, caplog):
    made.text("wbc-bench-2026/phase1_label.csv", "ID,labels,Unnamed: 2\n1.jpg,SNE,\n2.jpg,PLY,\n3.jpg,XX,\n")
    for name in ("phase1/1.jpg", "phase1/2.jpg", "phase1/3.jpg"):
        made.jpeg(f"wbc-bench-2026/{name}")
    builder = prepare("wbcbench2026")
    assert set(builder.info.splits) == {"train"}
    assert {name: example["label"] for name, example in examples(builder).items()} == {
        "phase1/1.jpg": "SNE",
        "phase1/2.jpg": "PLY",
    }
    assert caplog.messages == ["wbcbench2026 phase1: left out 1 (unknown class), first 3.jpg: XX"]


def test_images_without_labels_and_labels_without_images(made, prepare, examples, caplog):
    made.text("phase2_train.csv", "\ufeffID,labels\n1.jpg,BL\n")
    made.text("phase2_test.csv", ",ID\n0,1\n1,9\n")
    made.jpeg("phase2/train/1.jpg")
    made.jpeg("phase2/test/1.jpg")
    builder = prepare("wbcbench2026", "phase2")
    found = {
        split: {name: example["label"] for name, example in examples(builder, split).items()}
        for split in builder.info.splits
    }
    assert found == {"train": {"phase2/train/1.jpg": "BL"}, "test": {"phase2/test/1.jpg": None}}
    assert any("not in the folder), first 9.jpg" in line for line in caplog.messages)
    assert any("without its file of labels), first phase2_eval.csv" in line for line in caplog.messages)


def test_an_image_with_two_labels_is_left_out(made, prepare, examples, caplog):
    made.text("phase1_label.csv", "ID,labels\n1.jpg,SNE\n2.jpg,BL\nmore/1.jpg,MO\n1.jpg,BNE\n2.jpg,BL\n")
    for name in ("phase1/1.jpg", "phase1/2.jpg", "phase1/more/1.jpg"):
        made.jpeg(name)
    found = examples(prepare("wbcbench2026"))
    assert {name: example["label"] for name, example in found.items()} == {
        "phase1/2.jpg": "BL",
        "phase1/more/1.jpg": "MO",
    }
    assert caplog.messages == ["wbcbench2026 phase1: left out 1 (listed with two classes), first 1.jpg"]


def test_a_phase_without_labels_is_refused(made, prepare):
    made.jpeg("phase1/1.jpg")
    with pytest.raises(UserError, match=r"lacks phase1_label\.csv"):
        prepare("wbcbench2026")


def test_a_file_without_the_column_is_refused(tmp_path):
    path = tmp_path / "phase1_label.csv"
    path.write_text("image,labels\n1.jpg,SNE\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"phase1_label\.csv, line 1: column 'id' is missing"):
        list(read_labels(path))


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "phase1_label.csv"
    path.write_bytes(b"ID,labels\n1.jpg,SNE\nzw\xf6lf.jpg,SNE\n")
    with pytest.raises(UserError, match=r"phase1_label\.csv, line 3: not UTF-8"):
        list(read_labels(path))
