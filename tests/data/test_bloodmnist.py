import io
import zipfile

import numpy as np
import pytest

from asae_jax.errors import UserError
from data.bloodmnist.arrays import rows


@pytest.fixture
def arrays(made):
    parts = {}
    for part, length in (("train", 5), ("val", 2), ("test", 3)):
        parts[f"{part}_images"] = np.stack([made.pixels(size=28) for _ in range(length)])
        parts[f"{part}_labels"] = np.arange(length, dtype=np.uint8)[:, None] + 3
    made.root.mkdir()
    np.savez_compressed(made.root / "bloodmnist.npz", **parts)
    return parts


def test_pixels_labels_and_splits_are_those_of_the_file(arrays, prepare, examples, decoded, caplog):
    builder = prepare("bloodmnist", "28")
    names = builder.info.features["label"].names
    for split, part in (("train", "train"), ("validation", "val"), ("test", "test")):
        found = examples(builder, split)
        assert len(found) == len(arrays[f"{part}_labels"])
        for number, (image, label) in enumerate(
            zip(arrays[f"{part}_images"], arrays[f"{part}_labels"], strict=True)
        ):
            example = found[f"{part}/{number:05d}"]
            np.testing.assert_array_equal(decoded(example["image"]), image)
            assert example["label"] == names[label[0]]
    assert any("train 11959 documented, 5 found" in message for message in caplog.messages)


@pytest.mark.usefixtures("arrays")
def test_each_size_has_its_file(prepare):
    with pytest.raises(UserError, match=r"bloodmnist_224\.npz does not exist"):
        prepare("bloodmnist", "224")


@pytest.mark.parametrize("array", [np.zeros((0, 2)), np.zeros((3, 2, 2), np.uint8), np.arange(4.0)])
def test_rows_are_those_of_numpy(tmp_path, array):
    np.savez(tmp_path / "a.npz", x=array)
    found = list(rows(tmp_path / "a.npz", "x"))
    assert len(found) == len(array)
    for row, expected in zip(found, array, strict=True):
        np.testing.assert_array_equal(row, expected)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a zip", np.zeros((2, 2), order="F"), np.array(3), np.array([None]), {"y": np.zeros(2)}],
    ids=["empty", "no zip", "column-major", "scalar", "objects", "other key"],
)
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "a.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content if isinstance(content, dict) else {"x": content})
    with pytest.raises(UserError, match="download the file again") as caught:
        list(rows(path, "x"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"), [(lambda b: b[:-3], "cut short"), (lambda b: b + b"1", "longer")]
)
def test_an_array_of_another_length_is_refused(tmp_path, change, message):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((4, 8), np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", change(buffer.getvalue()))
    with pytest.raises(UserError, match=message):
        list(rows(tmp_path / "a.npz", "x"))
