import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from asae_jax.errors import UserError
from asae_jax.input.decode import BadImage
from asae_jax.input.folder import folder_index


def put_image(path, level=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((10, 12, 3), level, np.uint8)).save(path)


@pytest.fixture
def root(tmp_path):
    put_image(tmp_path / "MYB" / "2.png", 2)
    put_image(tmp_path / "MYB" / "1.png", 1)
    put_image(tmp_path / "BLA" / "0001-1000" / "deep" / "9.PNG", 9)
    put_image(tmp_path / "BLA" / "10.tiff", 10)
    return tmp_path


def test_classes_are_first_level_folders_and_everything_is_sorted(root):
    index = folder_index(root)
    assert index.class_names == ("BLA", "MYB")
    assert index.names.tolist() == ["BLA/0001-1000/deep/9.PNG", "BLA/10.tiff", "MYB/1.png", "MYB/2.png"]
    assert index.labels.tolist() == [0, 0, 1, 1]
    assert index.labels.dtype == np.int32
    assert [int(index.read(row)[0, 0, 0]) for row in range(4)] == [9, 10, 1, 2]
    assert index.skipped == ()


def test_what_is_no_image_is_listed_and_what_is_hidden_is_not(root):
    for name in ("MYB/notes.txt", "list.csv", "Thumbs.db", ".hidden", "MYB/._1.png"):
        (root / name).write_bytes(b"x")
    put_image(root / "loose.png")
    put_image(root / ".cache" / "1.png")
    index = folder_index(root)
    assert len(index) == 4
    assert index.skipped == (
        ("MYB/notes.txt", "no image by its extension"),
        ("list.csv", "no image by its extension"),
        ("loose.png", "not in a class folder"),
    )


def test_thumbnails_of_systems_are_neither_images_nor_classes(root):
    for name in (
        "@eaDir/1.png",
        "__MACOSX/MYB/1.png",
        "lost+found/1.png",
        "MYB/@eaDir/1.png/M.jpg",
        "BLA/Thumbs/1.png",
    ):
        put_image(root / name)
    index = folder_index(root)
    assert index.class_names == ("BLA", "MYB")
    assert len(index) == 4
    assert index.skipped == ()


def test_other_formats_are_read_or_listed_with_the_reason(root):
    for name in ("5.webp", "6.gif", "7.jfif", "8.jp2"):
        image = Image.fromarray(np.full((10, 12, 3), 128, np.uint8))
        image.save(root / "MYB" / name, "JPEG" if name.endswith("jfif") else None)
    for name in ("9.heic", "9.svs", "no_extension"):
        (root / "MYB" / name).write_bytes(b"x")
    os.mkfifo(root / "MYB" / "pipe.png")
    index = folder_index(root)
    assert index.names.tolist()[-4:] == ["MYB/5.webp", "MYB/6.gif", "MYB/7.jfif", "MYB/8.jp2"]
    assert all(abs(int(index.read(row).mean()) - 128) < 2 for row in range(4, 8))
    assert index.skipped == (
        ("MYB/9.heic", ".heic images are not read: save it as PNG or 8-bit RGB TIFF"),
        ("MYB/9.svs", ".svs images are not read: save it as PNG or 8-bit RGB TIFF"),
        ("MYB/no_extension", "no extension: an image needs the one of its kind (.jpg, .png, .tif)"),
        ("MYB/pipe.png", "not a file but a pipe, socket or device"),
    )


def test_links_in_a_circle_are_unreadable_images(root):
    os.symlink(root / "MYB" / "9.png", root / "MYB" / "9.png")
    os.symlink(root / "loop", root / "loop")
    index = folder_index(root)
    assert index.class_names == ("BLA", "MYB")
    with pytest.raises(BadImage, match="unreadable"):
        index.read(index.names.tolist().index("MYB/9.png"))


def test_unreadable_images_are_in_the_index_and_raise_when_read(root):
    (root / "MYB" / "3.jpg").write_bytes(b"text")
    os.symlink(root / "nowhere.png", root / "MYB" / "4.png")
    index = folder_index(root)
    assert index.names.tolist()[-2:] == ["MYB/3.jpg", "MYB/4.png"]
    for row in (-2, -1):
        with pytest.raises(BadImage, match=str(root / "MYB")):
            index.read(len(index) + row)


def test_linked_folders_are_followed_once(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    put_image(elsewhere / "7.png")
    os.symlink(elsewhere, root / "LYT")
    os.symlink(root, root / "MYB" / "loop")
    index = folder_index(root)
    assert index.class_names == ("BLA", "LYT", "MYB")
    assert [name for name in index.names if name.startswith("LYT")] == ["LYT/7.png"]
    assert len(index) == 5


def test_fingerprint_follows_the_files(root):
    before = folder_index(root).fingerprint()
    assert folder_index(root).fingerprint() == before
    os.utime(root / "MYB" / "1.png", ns=(1, 1))
    touched = folder_index(root)
    assert touched.fingerprint() != before
    put_image(root / "MYB" / "3.png")
    assert folder_index(root).fingerprint() != touched.fingerprint()


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match=r"does not exist.*--config\.data\.path"):
        folder_index(tmp_path / "missing")


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"is not a folder but a file: give a folder"):
        folder_index(tmp_path / "file")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04" + bytes(30), r"is a ZIP archive: unpack it and give the folder \(--config"),
        (b"\x1f\x8b\x08" + bytes(30), "is a gzip archive: unpack it"),
        (b"\xff\xd8\xff\xe0" + bytes(30), "is not a folder but a JPEG image: give a folder of class folders"),
    ],
)
def test_an_archive_is_called_one(tmp_path, content, reason):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        folder_index(tmp_path / "file")


def test_folder_without_class_folders(tmp_path):
    put_image(tmp_path / "1.png")
    with pytest.raises(UserError, match="holds no class folders"):
        folder_index(tmp_path)


def test_class_folder_without_images(root):
    (root / "EMPTY" / "below").mkdir(parents=True)
    (root / "EMPTY" / "below" / "a.txt").write_text("")
    with pytest.raises(UserError, match="EMPTY holds no images"):
        folder_index(root)


def put_split(root, files):
    for level, name in enumerate(files):
        put_image(root / name, level)


def test_parts_of_a_split_are_found_and_classes_come_from_train(tmp_path):
    files = [
        "Train/LYT/1.png",
        "Train/BLA/more/2.png",
        "val/LYT/3.png",
        "test/BLA/4.png",
        "validation/BLA/5.png",
    ]
    put_split(tmp_path, files)
    put_image(tmp_path / "test" / "loose.png")
    (tmp_path / "val" / "MON").mkdir()
    index = folder_index(tmp_path)
    assert index.class_names == ("BLA", "LYT")
    rows = {name: row for row, name in enumerate(index.names.tolist())}
    assert sorted(rows) == sorted(files)
    got = [(int(index.labels[rows[name]]), str(index.splits[rows[name]])) for name in files]
    assert got == [(1, "train"), (0, "train"), (1, "validation"), (0, "test"), (0, "validation")]
    assert [int(index.read(rows[name])[0, 0, 0]) for name in files] == [0, 1, 2, 3, 4]
    assert index.skipped == (("test/loose.png", "not in a class folder"),)


def test_a_class_that_train_lacks_is_left_out_with_a_warning(tmp_path):
    put_split(tmp_path, ["train/BLA/1.png", "test/BLA/2.png", "test/MON/3.png", "test/MON/4.png"])
    with pytest.warns(UserWarning, match="2 images of .* left out: class MON has no folder in train"):
        index = folder_index(tmp_path)
    assert index.class_names == ("BLA",)
    assert [name for name, _ in index.skipped] == ["test/MON/3.png", "test/MON/4.png"]


@pytest.mark.parametrize("test", ["bla", "Plasma-Cell", "plasma cell "])
def test_a_class_that_train_spells_otherwise_is_left_out_and_named(tmp_path, test):
    put_split(
        tmp_path, ["train/BLA/1.png", "train/Plasma cell/2.png", f"test/{test}/3.png", "test/BLA/4.png"]
    )
    with pytest.warns(UserWarning, match=f"left out: .* '{test}' differ in case.* only, give them one name"):
        assert len(folder_index(tmp_path).names) == 3


def test_a_part_without_a_class_of_train_is_named(tmp_path):
    """Such as a test part without labels."""
    put_split(tmp_path, ["train/BLA/1.png", "train/MON/2.png", "val/BLA/3.png", "test/p1/4.png"])
    with pytest.warns(UserWarning, match=r"1 images .* left out: .*; so no image of .*/test is used: give"):
        assert len(folder_index(tmp_path).names) == 3


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_class_in_two_unicode_forms_is_one_in_the_parts(tmp_path, forms):
    name, other = (unicodedata.normalize(form, "Érythro") for form in forms)
    put_split(tmp_path, ["train/BLA/1.png", f"train/{name}/2.png", f"test/{other}/3.png"])
    index = folder_index(tmp_path)
    assert index.class_names == ("BLA", name)
    assert index.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("files", [["train/1.png", "test/1.png"], ["val/a/1.png", "test/a/2.png"]])
def test_class_folders_may_be_called_like_parts(tmp_path, files):
    put_split(tmp_path, files)
    index = folder_index(tmp_path)
    assert index.splits is None
    assert index.class_names == tuple(sorted(name.split("/")[0] for name in files))


def test_parts_beside_other_folders_are_refused(tmp_path):
    put_split(tmp_path, ["train/BLA/1.png", "test/BLA/2.png", "masks/1.png"])
    with pytest.raises(UserError, match=r"train.*beside them masks"):
        folder_index(tmp_path)


def test_a_class_of_train_without_images(tmp_path):
    put_split(tmp_path, ["train/BLA/1.png", "test/MON/2.png"])
    (tmp_path / "train" / "MON").mkdir()
    with pytest.raises(UserError, match=r"train/MON holds no images"):
        folder_index(tmp_path)
