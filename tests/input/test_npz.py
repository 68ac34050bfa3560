import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asae_jax.errors import UserError
from asae_jax.input.npz import BLOODMNIST, npz_index

SAVERS = [np.savez, np.savez_compressed]
COUNTS = {"train": 20, "val": 5, "test": 3}


def arrays(channels=(3,), label_shape=(-1, 1), classes=8, side=9):
    rng = np.random.default_rng(0)
    members = {}
    for part, count in COUNTS.items():
        members[f"{part}_images"] = rng.integers(0, 256, (count, side, side + 1, *channels)).astype(np.uint8)
        members[f"{part}_labels"] = (np.arange(count) % classes).astype(np.uint8).reshape(label_shape)
    return members


@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("label_shape", [(-1,), (-1, 1)])
def test_every_image_with_its_label_and_part(tmp_path, save, channels, label_shape):
    members = arrays(channels, label_shape)
    save(tmp_path / "set.npz", **members)
    index = npz_index(tmp_path / "set.npz")
    assert index.source == "npz"
    assert index.class_names == tuple(f"class-{i}" for i in range(8))
    assert index.names[[0, 19, 20, 25]].tolist() == [
        "train/000000",
        "train/000019",
        "val/000000",
        "test/000000",
    ]
    assert index.splits.tolist() == ["train"] * 20 + ["validation"] * 5 + ["test"] * 3
    assert index.labels.tolist() == [i % 8 for count in COUNTS.values() for i in range(count)]
    pixels = np.concatenate([members[f"{part}_images"] for part in COUNTS])
    for row in range(len(index)):
        image = index.read(row)
        assert image.dtype == np.uint8
        assert image.shape == (9, 10, 3)
        np.testing.assert_array_equal(image, np.broadcast_to(pixels[row].reshape(9, 10, -1), (9, 10, 3)))


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [("bloodmnist_224.npz", 8, BLOODMNIST), ("BloodMNIST.npz", 8, BLOODMNIST), ("bloodmnist.npz", 7, None)],
)
def test_class_names_of_bloodmnist(tmp_path, name, classes, expected):
    np.savez(tmp_path / name, **arrays(classes=classes))
    assert npz_index(tmp_path / name).class_names == (expected or tuple(f"class-{i}" for i in range(classes)))


def test_validation_and_test_may_be_missing_and_other_members_are_passed_over(tmp_path):
    members = {name: member for name, member in arrays().items() if name.startswith("train")}
    np.savez(tmp_path / "set.npz", **members, extra=np.array(["a", None], object))
    assert set(npz_index(tmp_path / "set.npz").splits) == {"train"}


def test_the_fingerprint_follows_the_content_not_the_name(tmp_path):
    members = arrays()
    np.savez(tmp_path / "one.npz", **members)
    np.savez(tmp_path / "two.npz", **members)
    members["val_images"] = members["val_images"] ^ 1
    np.savez(tmp_path / "three.npz", **members)
    one, two, three = (npz_index(tmp_path / f"{name}.npz").fingerprint() for name in ("one", "two", "three"))
    assert one == two != three


def test_an_uncompressed_file_stays_on_disk(tmp_path):
    """What is read comes from the file as it is now, so it was not held in memory."""
    members = arrays()
    np.savez(tmp_path / "set.npz", **members)
    index = npz_index(tmp_path / "set.npz")
    data = (tmp_path / "set.npz").read_bytes()
    image = members["train_images"][7].tobytes()
    assert data.count(image) == 1
    with (tmp_path / "set.npz").open("r+b") as file:
        file.write(data.replace(image, bytes(len(image))))
    assert index.read(7).max() == 0
    np.testing.assert_array_equal(index.read(8), members["train_images"][8])
    with (tmp_path / "set.npz").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(UserError, match="cut short"):
        index.read(8)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"train_images": None}, "train_images is missing"),
        ({"train_images": None, "train_labels": None}, "train_images, train_labels is missing"),
        ({"val_labels": None}, "val_labels is missing"),
        ({"train_labels": np.zeros(19, np.uint8)}, "20 train_images and 19 train_labels"),
        ({"train_labels": np.zeros((20, 2), np.uint8)}, "not one integer an image"),
        ({"train_labels": np.zeros(20)}, "not one integer an image"),
        ({"train_labels": np.uint8(1)}, "."),
        ({"train_labels": np.full(20, -1)}, "holds -1..-1"),
        ({"train_labels": np.full(20, 2**40)}, "not 0..999"),
        ({"train_labels": np.full(20, None)}, "objects"),
        ({"train_images": np.zeros((20, 9, 9, 3))}, "not uint8"),
        ({"train_images": np.zeros((20, 9, 9, 9), np.uint8)}, "not uint8"),
        ({"train_images": np.zeros((20, 9), np.uint8)}, "not uint8"),
        ({"train_images": np.zeros((20, 7, 9, 3), np.uint8)}, "9x7 pixels"),
        ({"train_images": np.asfortranarray(arrays()["train_images"])}, "ascontiguousarray"),
        (
            {"val_images": np.zeros((0, 9, 9), np.uint8), "val_labels": np.zeros(0, np.uint8)},
            "val_labels is empty",
        ),
    ],
)
@pytest.mark.parametrize("save", SAVERS)
def test_other_contents_are_refused_in_one_line(tmp_path, save, change, what):
    members = {name: member for name, member in (arrays() | change).items() if member is not None}
    save(tmp_path / "set.npz", **members)
    with pytest.raises(UserError, match=what) as error:
        npz_index(tmp_path / "set.npz")
    assert str(tmp_path / "set.npz") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4", None])
def test_other_files_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"set\.npz"):
        npz_index(tmp_path / "set.npz")


@pytest.fixture(scope="module", params=SAVERS)
def whole(request, tmp_path_factory):
    """A file, its bytes, and what is in it."""
    path = tmp_path_factory.mktemp("npz") / "set.npz"
    request.param(path, **arrays(side=8))
    index = npz_index(path)
    return path, path.read_bytes(), index, np.stack([index.read(row) for row in range(len(index))])


edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(edits, st.booleans(), st.booleans())
def test_damage_is_found_or_does_not_matter(whole, edits, near_the_end, cut):
    path, data, index, pixels = whole
    damaged = bytearray(data)
    for place, value in edits:
        first = len(data) - 700 if near_the_end else 0  # the directory of the zip file is at the end
        at = first + int(place * (len(data) - first))
        if cut:
            del damaged[at : at + 1 + value]
        else:
            damaged[min(at, len(damaged) - 1)] = value
    path.write_bytes(damaged)
    try:
        read = npz_index(path)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 - not every change is damage
        return
    np.testing.assert_array_equal(read.labels, index.labels)
    np.testing.assert_array_equal(np.stack([read.read(row) for row in range(len(read))]), pixels)


def test_a_zip_of_other_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("train_images.npy", b"text")
        archive.writestr("train_labels.npy", b"text")
    with pytest.raises(UserError, match=r"no \.npz file"):
        npz_index(tmp_path / "set.npz")


@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize("damage", ["a name as long as two entries", "an end record of two entries less"])
def test_a_damaged_directory_does_not_hide_a_part(tmp_path, save, damage):
    path = tmp_path / "set.npz"
    save(path, **arrays(side=8))
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\5\6")
    last = data.rindex(b"PK\1\2")
    entry = data.rindex(b"PK\1\2", 0, last)
    if damage.startswith("a name"):
        data[entry + 29] = 1  # the high byte of the length of its name
    else:
        data[end + 12 : end + 16] = (entry - data.index(b"PK\1\2")).to_bytes(4, "little")
        del data[entry:end]
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        npz_index(path)


def test_arrays_that_are_not_used_are_named(tmp_path):
    members = arrays() | {"valid_images": np.zeros(3), "patient": np.zeros(3), "class_names": np.zeros(3)}
    np.savez(tmp_path / "set.npz", **members)
    assert npz_index(tmp_path / "set.npz").notes == (
        "arrays of set.npz that are not used: class_names, patient, valid_images",
    )
    np.savez(tmp_path / "plain.npz", **arrays())
    assert npz_index(tmp_path / "plain.npz").notes == ()


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("values", [lambda images: images / 256, lambda images: images > 128])
def test_values_0_to_1_are_refused(tmp_path, part, values):
    members = arrays()
    members[f"{part}_images"] = values(members[f"{part}_images"]).astype(np.uint8)
    np.savez(tmp_path / "set.npz", **members)
    with pytest.raises(UserError, match=f"{part}_images hold no value above 1"):
        npz_index(tmp_path / "set.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_images_are_known_by_what_they_hold(tmp_path, save):
    members = arrays()
    members["test_images"][1] = members["train_images"][4]
    save(tmp_path / "set.npz", **members)
    index = npz_index(tmp_path / "set.npz")
    rows = dict(zip(index.names.tolist(), index.contents.tolist(), strict=True))
    assert rows["test/000001"] == rows["train/000004"]
    assert len(set(rows.values())) == len(rows) - 1
    assert b"" not in rows.values()
