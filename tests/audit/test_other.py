"""Two sets of drawn crops beside each other."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from asae_jax import cli
from asae_jax.audit.command import EXIT_INVALID_SCORES
from asae_jax.audit.other import other_files
from tests.audit.tables import cells
from tests.input.drawn_nuclei import BACKGROUND, crop

CLASSES = ("BLA", "LYT")
STATUS = (0, EXIT_INVALID_SCORES)
"""Drawn crops are so much alike that some are taken for copies."""


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Crops with nuclei of 30 and of 50 percent, which vary by little, on one background."""
    root, rng = tmp_path_factory.mktemp("sets"), np.random.default_rng(0)
    for name, diameter in (("here", 30), ("there", 50)):
        for number in range(24):
            shade = tuple(int(v) for v in rng.integers(-6, 7) + np.array(BACKGROUND))
            image = crop(rng.normal(diameter, 2), background=shade)
            path = root / name / CLASSES[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return root


def _audit(sets, workdir, other):
    options = [f"--config.data.path={sets / 'here'}", "--config.data.source=folder", f"--other={other}"]
    return cli.main(["audit", "--config=own_cells", f"--workdir={workdir}", *options])


def test_what_differs_is_large_and_what_does_not_is_small(sets, tmp_path, capsys):
    assert _audit(sets, tmp_path, sets / "there") in STATUS
    folder = tmp_path / "audit"
    found = json.loads((folder / "audit.json").read_text())["other_set"]
    assert found["images"] == {"own": 24, "other": 24}
    assert found["same"] == 0
    first = found["differences"][0]
    assert first["name"] == "nucleus_size"
    assert first["verdict"] == "large"
    assert "--scale=0" in first["remedy"]
    small = {one["name"] for one in found["differences"] if one["verdict"] == "small"}
    assert {"background_lightness", "background_red", "background_yellow", "crowding"} <= small
    assert found["scale"]["interval"][0] < 0.6 < found["scale"]["interval"][1]
    page = (folder / "index.html").read_text()
    assert "Compared with the other set" in page
    assert "research" in page
    assert (folder / "other_set.png").stat().st_size > 1000
    assert "large differences from the other set" in capsys.readouterr().out


def test_a_set_beside_itself_differs_in_nothing(sets, tmp_path, capsys):
    listed = tmp_path / "list.csv"
    with listed.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path"])
        writer.writerows([path] for path in sorted((sets / "here").rglob("*.png")))
    assert _audit(sets, tmp_path / "a", listed) in STATUS
    found = json.loads((tmp_path / "a" / "audit" / "audit.json").read_text())["other_set"]
    assert {one["size"] for one in found["differences"]} == {0.0}
    assert found["same"] == 24
    said = capsys.readouterr().out
    assert "no large difference" in said
    assert "24 of 24 images of the other set are also in this one, pixel for pixel" in said
    assert "also in this one" in (tmp_path / "a" / "audit" / "index.html").read_text()


def test_another_set_that_is_not_there_is_refused_first(sets, tmp_path, capsys):
    assert _audit(sets, tmp_path / "a", tmp_path / "absent") == 2
    assert "neither a folder nor a CSV file" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    image = cells(1)[0]
    (tmp_path / "one").mkdir()
    Image.fromarray(image).save(tmp_path / "one" / "1.png")
    assert _audit(sets, tmp_path / "a", tmp_path / "one") == 2
    assert "too few" in capsys.readouterr().err


def test_a_list_that_was_written_on_windows_is_found(sets):
    listed = sets / "list.csv"
    listed.write_text("path\nthere\\BLA\\0.png\nthere/BLA/2.png\n")
    assert other_files(str(listed)) == [sets / "there" / "BLA" / name for name in ("0.png", "2.png")]


def test_thumbnails_that_a_list_names_are_none_of_its_images(sets):
    listed = sets / "thumbnails.csv"
    listed.write_text('path,x\nthere/BLA/0.png,1\nthere/@eaDir/0.png,2\n"",3\nthere/BLA/2.png,4\n')
    assert other_files(str(listed)) == [sets / "there" / "BLA" / name for name in ("0.png", "2.png")]


def test_pages_are_not_written_among_the_images(sets, capsys):
    assert _audit(sets, sets / "here" / "audits", sets / "there") == 2
    assert "lies in the folder of the images" in capsys.readouterr().err
    assert not (sets / "here" / "audits").exists()
