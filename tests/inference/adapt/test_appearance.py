"""What the new images are brought to: the look of the run's training images."""

import numpy as np
import pytest
from PIL import Image

from asae_jax.errors import UserError
from asae_jax.inference.adapt import appearance
from asae_jax.inference.adapt.cells import measured_nuclei
from asae_jax.inference.inputs import read_input
from asae_jax.run import digests, folder
from asae_jax.run.run import open_run
from tests.input.drawn_nuclei import crop
from tests.training.tiny import tiny_config

LIGHT = {"train": 200, "validation": 90, "test": 40}


@pytest.fixture
def cells(tmp_path):
    """Class folders with two images of each part, each part in a light of its own."""
    for name in ("A", "B"):
        (tmp_path / "cells" / name).mkdir(parents=True)
        for part, level in LIGHT.items():
            Image.fromarray(np.full((9, 9, 3), level, np.uint8)).save(
                tmp_path / "cells" / name / f"{part}.png"
            )
    return tmp_path / "cells"


def _opened(workdir, source, path):
    config = tiny_config(data__source=source, data__path=str(path), adapt__background="match")
    folder.write(workdir, config, folder.Record(("A", "B"), "none", {}))
    return open_run(workdir)


def _write_splits(workdir, parts):
    rows = [f"{name}/{part}.png,{name},{part}," for name in ("A", "B") for part in parts]
    (workdir / "splits.csv").write_text("\n".join(["name,label,split,content", *rows]) + "\n")


@pytest.mark.parametrize("source", ["folder", "csv"])
def test_only_training_images_are_the_template(cells, tmp_path, source):
    """A background that validation and test images have a part in would have another light."""
    path = cells if source == "folder" else cells / "list.csv"
    run = _opened(tmp_path / "run", source, path)
    _write_splits(run.workdir, LIGHT)
    adapted, changes, _ = appearance.adapted(run, read_input(str(cells)))
    assert changes == {"data.background": "200,200,200"}
    assert adapted.config.data.background == "200,200,200"


def test_what_a_list_should_not_name_is_not_measured(tmp_path):
    """The thumbnails would make nuclei of 40 percent look smaller, and the light darker."""
    lines = ["path"]
    for number in range(6):
        for name, image in (
            (f"{number}.png", crop(40 + number % 2, background=(230, 220, 215))),
            (f"@eaDir/{number}.png", crop(15, background=(120, 120, 120))),
        ):
            path = tmp_path / "cells" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            lines.append(name)
    (tmp_path / "cells" / "list.csv").write_text("\n".join(lines) + "\n")
    listed = str(tmp_path / "cells" / "list.csv")
    assert np.median(measured_nuclei(read_input(listed))) == pytest.approx(40.5, abs=1.5)
    run = _opened(tmp_path / "run", "folder", tmp_path / "cells")
    with run.config.unlocked():
        run.config.adapt.template = listed
    _, changes, _ = appearance.adapted(run, read_input(listed))
    light = [int(value) for value in changes["data.background"].split(",")]
    assert light == pytest.approx([230, 220, 215], abs=3)


def test_without_a_split_nobody_knows_which_they_are(cells, tmp_path):
    run = _opened(tmp_path / "run", "folder", cells)
    with pytest.raises(UserError, match=r"training images .* are not here: give some, --template=FOLDER"):
        appearance.adapted(run, read_input(str(cells)))


def test_a_split_that_was_edited_is_refused(cells, tmp_path):
    run = _opened(tmp_path / "run", "folder", cells)
    _write_splits(run.workdir, LIGHT)
    digests.Digests(run.workdir, "checkpoints").seal([])
    _write_splits(run.workdir, ("test", "train"))
    with pytest.raises(UserError, match=r"splits.csv is not as training wrote it"):
        appearance.adapted(run, read_input(str(cells)))


def test_a_run_that_brings_all_images_to_one_light_keeps_it(cells, tmp_path):
    """Its network has seen no other light: that of the raw files (200 here) would be new to it."""
    run = _opened(tmp_path / "run", "folder", cells)
    with run.config.unlocked():
        run.config.data.background = "255,230,207"
    adapted, changes, record = appearance.adapted(run, read_input(str(cells)))  # needs no template
    assert changes == {}
    assert adapted.config.data.background == "255,230,207"
    assert record["appearance"]["background"] == [255.0, 230.0, 207.0]
