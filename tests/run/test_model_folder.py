"""Model folders: found by name or path, copied to a run folder once, never over anything else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asae_jax import shipped
from asae_jax.errors import UserError
from asae_jax.run import folder, model_folder
from asae_jax.run.run import new_run, open_run
from tests.edited import edited
from tests.made_runs import random_model
from tests.training.tiny import tiny_config

ROOT = Path(__file__).resolve().parent.parent.parent
CLASSES = ("BLA", "EBO", "NGS")
CONFIG = tiny_config(augment__size=16, model__width=4)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The folder of a model that is included under the name `blood3`."""
    monkeypatch.setattr(shipped, "data_folder", lambda: tmp_path / "data")
    place = tmp_path / "data" / "models" / "blood3"
    random_model(place, CONFIG, CLASSES)
    for name in ("README.md", "LICENSE", "uncertainty/features.npz", "predictions/cells.csv"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(name)
    return place


def _files(place):
    return sorted(str(file.relative_to(place)) for file in place.rglob("*") if file.is_file())


def test_a_model_is_found_by_its_name_and_by_its_folder(model):
    assert model_folder.find("blood3") == model_folder.find(str(model)) == model


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("blod3", r"no model 'blod3'. Did you mean blood3\? .*the names are blood3"),
        ("nowhere/else", "no model 'nowhere/else'"),
        ("{tmp}/run", r"is a run, not a model folder: use it by --workdir=.*--formats=model"),
        ("{tmp}/cells", r"is no model folder: it has no weights.safetensors"),
    ],
)
def test_what_is_no_model_is_said_with_the_remedy(model, tmp_path, given, message):
    folder.write(tmp_path / "run", CONFIG, folder.Record(CLASSES, "no data", {}))
    (tmp_path / "cells").mkdir()
    with pytest.raises(UserError, match=message):
        model_folder.find(given.format(tmp=tmp_path))


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_folder_is_made_of_what_belongs_to_the_model(model, tmp_path, exists):
    workdir = tmp_path / "runs" / "mine"
    if exists:
        workdir.mkdir(parents=True)
    for name in ("cells_differential.json", "notes.md"):  # of somebody who used the model as it lies
        (model / name).write_text("{}")
    model_folder.unpack(model, workdir)
    assert _files(workdir) == [
        "LICENSE", "README.md", "config.json", "run.json", "uncertainty/features.npz", "weights.safetensors",
    ]  # fmt: skip
    assert open_run(workdir).step == 7
    assert [entry.name for entry in workdir.parent.iterdir()] == ["mine"]


def test_the_same_model_is_copied_once_and_results_stay(model, tmp_path):
    workdir = tmp_path / "mine"
    model_folder.unpack(model, workdir)
    (workdir / "predictions").mkdir()
    (workdir / "run.json").touch()
    before = (workdir / "weights.safetensors").stat().st_mtime_ns
    model_folder.unpack(model, workdir)
    model_folder.unpack(workdir, workdir)
    assert (workdir / "predictions").exists()
    assert (workdir / "weights.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model", "holds another model or another version of it"),
        ("run", "holds another run"),
        ("cells", "is not empty"),
        ("file", "is not empty"),
    ],
)
def test_anything_else_is_refused_and_stays(model, tmp_path, content, message):
    workdir = tmp_path / "mine"
    if content == "model":
        random_model(workdir, CONFIG, CLASSES, seed=1)
    elif content == "run":
        folder.write(workdir, CONFIG, folder.Record(CLASSES, "no data", {}))
    elif content == "cells":
        workdir.mkdir()
        (workdir / "cell.png").write_text("")
    else:
        workdir.write_text("")
    before = _files(tmp_path)
    with pytest.raises(UserError, match=f"{message}.*--workdir=DIR"):
        model_folder.unpack(model, workdir)
    assert _files(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["config.json", "uncertainty.json", "adaptation.json", "classes.csv", "evaluation/test.json"]
)
def test_another_version_with_the_same_weights_is_refused(model, tmp_path, name):
    """New thresholds, say: the old ones in the run folder would be used in silence."""
    workdir = tmp_path / "mine"
    model_folder.unpack(model, workdir)
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("{}")
    before = _files(workdir)
    with pytest.raises(UserError, match=f"another version of it \\(its {name} differs\\)"):
        model_folder.unpack(model, workdir)
    assert _files(workdir) == before


def test_another_card_is_no_other_version(model, tmp_path):
    model_folder.unpack(model, tmp_path / "mine")
    (model / "README.md").write_text("# Mine\n\nA spelling was mended.\n")
    model_folder.unpack(model, tmp_path / "mine")


def test_the_folder_that_one_works_in_is_refused_in_one_line(model, tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    with pytest.raises(UserError, match=r"--workdir=\. is the folder that you work in: give a new folder"):
        model_folder.unpack(model, Path())
    assert not any(tmp_path.rglob("*.part"))
    assert not any(work.iterdir())
    model_folder.copy(model, work)
    model_folder.unpack(model, Path())  # the same model is there already


def test_a_damaged_model_is_not_copied(model, tmp_path):
    (model / "weights.safetensors").write_bytes((model / "weights.safetensors").read_bytes()[:-1])
    with pytest.raises(UserError, match="is damaged"):
        model_folder.unpack(model, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_model_without_a_digest_is_refused(model, tmp_path):
    with edited(model / "run.json") as record:
        del record["weights_sha256"]
    with pytest.raises(UserError, match=r"its SHA-256 is not the one in run.json"):
        model_folder.unpack(model, tmp_path / "mine")


@pytest.mark.parametrize("seed", [0, 1])
def test_another_process_may_be_faster(model, tmp_path, monkeypatch, seed):
    """Its folder is kept where it holds the same model, and refused where it does not."""
    workdir, copy = tmp_path / "mine", model_folder.copy

    def slow(source, target):
        copy(source, target)
        random_model(workdir, CONFIG, CLASSES, seed=seed)

    monkeypatch.setattr(model_folder, "copy", slow)
    if seed == 0:
        model_folder.unpack(model, workdir)
    else:
        with pytest.raises(UserError, match="another version"):
            model_folder.unpack(model, workdir)
    assert not list(tmp_path.glob("*.part"))


def test_a_copy_that_fails_leaves_nothing(model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match=r"cannot copy the model to .*No space left"):
        model_folder.unpack(model, tmp_path / "mine")
    assert not list(tmp_path.glob("mine*"))


def test_a_model_is_called_by_the_heading_of_its_card(model, tmp_path):
    (model / "README.md").write_text(
        "---\nname: x\n---\n\nText\n# Blood \u00e9: 3 classes\n# Another\n", "utf-8"
    )
    assert model_folder.title(model) == "Blood \u00e9: 3 classes"
    (model / "README.md").unlink()
    assert model_folder.title(model) == ""
    (tmp_path / "README.md").write_text("# A run's own notes\n")  # no model
    assert model_folder.title(tmp_path) == ""


def test_a_model_is_not_trained_further(model):
    before = _files(model)
    with pytest.raises(UserError, match=r"not trained further: .*--config.init.pretrained="):
        new_run(CONFIG, model)
    assert _files(model) == before


def test_a_model_has_no_images_of_its_own(model):
    with pytest.raises(UserError, match=r"without the images it was trained on: .*--input=DIR.*--path=DIR"):
        _ = open_run(model).data


def test_finding_and_copying_load_no_jax():
    code = (
        "import sys, asae_jax.run.model_folder; sys.exit(bool({'jax', 'flax', 'orbax'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
