import numpy as np


def test_archives_of_one_class_each(made, prepare, examples, decoded):
    plain = made.tiff("mll23/basophil/basophil_0001.TIF", channels=3)
    nested = made.tiff("mll23/smudge_cell/smudge_cell/smudge_cell_0001.TIF", channels=4)
    made.text("mll23/basophil/__MACOSX/._basophil_0001.TIF", "")
    builder = prepare("mll23")
    found = examples(builder)
    assert {name: example["label"] for name, example in found.items()} == {
        "basophil/basophil_0001.TIF": "basophil",
        "smudge_cell/smudge_cell/smudge_cell_0001.TIF": "smudge_cell",
    }
    np.testing.assert_array_equal(decoded(found["basophil/basophil_0001.TIF"]["image"]), plain)
    np.testing.assert_array_equal(
        decoded(found["smudge_cell/smudge_cell/smudge_cell_0001.TIF"]["image"]), nested
    )
    assert builder.info.features["label"].num_classes == 18
