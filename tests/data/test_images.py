"""The list of the images that the shipped models were trained on, and drawing it."""

from collections import Counter

import cv2
import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.input.manifest import manifest_index
from data.models import images
from data.models.images import BLOOD, DEMO_PER_CLASS, SHARES, draw, main, manifest, read_list


@pytest.fixture
def folder(tmp_path):
    """120 cells of a blood class and 40 of a marrow class, of which one is there twice, once turned."""
    rng = np.random.default_rng(0)
    for label, count in (("SNE", 120), ("BLA", 40)):
        (tmp_path / label).mkdir()
        for number in range(count):
            picture = cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (48, 48))
            cv2.imwrite(str(tmp_path / label / f"{label}_{number:03}.jpg"), picture)
            if (label, number) == ("SNE", 7):
                cv2.imwrite(str(tmp_path / label / "SNE_999.jpg"), np.rot90(picture))
    return tmp_path


def test_drawing(folder):
    rows = draw([folder])
    parts = {name: part for name, _, part in rows}
    assert len(parts) == 161
    assert parts["SNE_007.jpg"] == parts["SNE_999.jpg"] == "train"
    count = Counter((label, part) for _, label, part in rows)
    assert count["SNE", "demo"] == DEMO_PER_CLASS
    assert count["BLA", "demo"] == 0
    assert count["BLA", "test"] == round(40 * SHARES["test"])
    assert count["BLA", "validation"] == round(40 * SHARES["validation"])
    assert draw([folder]) == rows
    assert draw([folder], seed=1) != rows


def test_thumbnails_that_a_network_drive_keeps_under_the_image_s_name_are_no_images(folder, monkeypatch):
    monkeypatch.setattr(images, "_repeated", lambda files: set())
    monkeypatch.setattr(images, "read_list", lambda: [("SNE_001.jpg", "SNE", "test")])
    expected = draw([folder])
    for place in (folder / "SNE" / "@eaDir" / "SNE_001.jpg", folder / "@eaDir" / "SNE_001.jpg"):
        place.mkdir(parents=True)
        (place / "SNE_001.jpg").touch()
    (folder / "@eaDir" / "BLA_888.jpg").touch()
    assert draw([folder]) == expected
    assert manifest([folder], folder / "list.csv") == 1
    assert f"{folder / 'SNE' / 'SNE_001.jpg'},SNE,test" in (folder / "list.csv").read_text()


def test_two_images_of_one_name(folder):
    (folder / "SNE" / "BLA_000.jpg").write_bytes((folder / "SNE" / "SNE_000.jpg").read_bytes())
    with pytest.raises(UserError, match="same file name"):
        draw([folder])


@pytest.mark.parametrize("action", ["manifest", "draw"])
def test_a_list_that_cannot_be_written_is_told_in_one_line(folder, monkeypatch, capsys, action):
    monkeypatch.setattr(images, "read_list", lambda: [("SNE_001.jpg", "SNE", "test")])
    monkeypatch.setattr(images, "_repeated", lambda files: set())
    (folder / "file").write_text("")
    assert main([action, str(folder), "--output", str(folder / "file" / "list.csv")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: cannot write ")
    assert error.count("\n") == 1


def test_drawing_from_nothing(tmp_path):
    with pytest.raises(UserError, match="no class folder with an image"):
        draw([tmp_path / "none"])


def test_the_list_that_ships():
    rows = read_list()
    assert len({name for name, _, _ in rows}) == len(rows) == 16_845
    assert len({label for _, label, _ in rows}) == 19
    by_class = Counter((label, part) for _, label, part in rows)
    for label in {label for _, label, _ in rows}:
        assert by_class[label, "demo"] == (DEMO_PER_CLASS if label in BLOOD else 0)
        rest = sum(by_class[label, part] for part in ("train", "validation", "test"))
        assert by_class[label, "test"] == pytest.approx(rest * SHARES["test"], abs=2)


def test_a_manifest_of_the_images_that_are_there(folder, tmp_path, monkeypatch, capsys):
    listed = [("SNE_000.jpg", "SNE", "demo"), ("SNE_001.jpg", "SNE", "test"), ("SNE_002.jpg", "SNE", "train"),
              ("BLA_000.jpg", "BLA", "validation"), ("BLA_777.jpg", "BLA", "train")]  # fmt: skip
    monkeypatch.setattr(images, "read_list", lambda: listed)
    assert main(["manifest", str(folder), "--output", str(tmp_path / "all.csv")]) == 0
    index = manifest_index(tmp_path / "all.csv")
    assert index.class_names == ("BLA", "SNE")
    assert index.splits.tolist() == ["test", "train", "validation"]
    assert manifest([folder], tmp_path / "blood.csv", classes="blood") == 2
    assert main(["manifest", str(tmp_path / "none"), "--output", str(tmp_path / "none.csv")]) == 2
    assert "none of the listed images" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [["--outp=a"], ["--output=a", "--output=b"], ["--output=a", "--class=blood"]]
)
def test_options_are_written_out_and_given_once(folder, options, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["manifest", str(folder), *options])
    assert ended.value.code == 2
    assert "--" in capsys.readouterr().err
