import numpy as np
import pytest

from asae_jax.errors import UserError
from data.aml_cytomorphology_lmu.annotations import Annotation, read_annotations


def test_alpha_is_dropped_and_reannotations_are_kept(made, prepare, examples, decoded, caplog):
    top = "PKG - AML-Cytomorphology"
    blast = made.tiff(f"{top}/AML-Cytomorphology/MYO/MYO_0001.tiff")
    smudge = made.tiff(f"{top}/AML-Cytomorphology/KSC/KSC_0001.tiff")
    made.text(f"{top}/AML-Cytomorphology/KSC/KSC_0002.tiff", "II*\0 cut short")
    made.text(f"{top}/annotations.dat", "MYO/MYO_0001.tiff MYO MYO MOB\nKSC/KSC_0001.tiff EBO nan nan\n")

    found = examples(prepare("aml_cytomorphology_lmu"))

    assert set(found) == {"MYO/MYO_0001.tiff", "KSC/KSC_0001.tiff"}
    first, second = found["MYO/MYO_0001.tiff"], found["KSC/KSC_0001.tiff"]
    np.testing.assert_array_equal(decoded(first["image"]), blast)
    np.testing.assert_array_equal(decoded(second["image"]), smudge)
    assert (first["label"], first["reannotation1"], first["reannotation2"]) == ("MYO", b"MYO", b"MOB")
    assert (second["label"], second["reannotation1"], second["reannotation2"]) == ("KSC", b"", b"")
    assert any("disagree on 1 images, first KSC/KSC_0001.tiff" in message for message in caplog.messages)
    assert any(
        "left out 1 (cannot be read), first KSC/KSC_0002.tiff" in message for message in caplog.messages
    )


def test_without_annotations_there_is_a_warning(made, prepare, examples, caplog):
    made.tiff("BAS/BAS_0001.tiff")
    (example,) = examples(prepare("aml_cytomorphology_lmu")).values()
    assert example["reannotation1"] == b""
    assert any("no annotations.dat" in message for message in caplog.messages)


def test_rows_may_be_short_or_have_other_roots(tmp_path):
    path = tmp_path / "annotations.dat"
    path.write_text(
        "\ufeffAML/NGS/NGS_0001.tiff NGS NGB\nBAS_0001.tiff BAS NaN BAS extra\n\n", encoding="utf-8"
    )
    assert read_annotations(path) == {
        "NGS_0001.tiff": Annotation("NGS", "NGB", ""),
        "BAS_0001.tiff": Annotation("BAS", "", "BAS"),
    }


def test_annotations_that_are_not_utf_8_are_refused(tmp_path):
    path = tmp_path / "annotations.dat"
    path.write_bytes(b"NGS/NGS_0001.tiff NGS NGB\nBAS/\xf6.tiff BAS nan nan\n")
    with pytest.raises(UserError, match=r"annotations\.dat, line 2: not UTF-8: use the file as the archive"):
        read_annotations(path)
