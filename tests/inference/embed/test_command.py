"""`embed` as a user calls it."""

import csv
import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from asae_jax import cli
from asae_jax.input.content import file_contents
from asae_jax.run.run import open_run
from tests.edited import edited
from tests.inference.predict.conftest import _shallow, folder, images, runs

__all__ = ["_shallow", "folder", "images", "runs"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:probabilities are not calibrated", "ignore:left out as no images"
)


def _embed(workdir, *options):
    return cli.main(["embed", f"--workdir={workdir}", *map(str, options)])


@pytest.fixture(scope="module")
def made(runs, folder, tmp_path_factory):
    stem = tmp_path_factory.mktemp("embedded") / "cells"
    assert _embed(runs[0], f"--input={folder}", f"--output={stem}.npz", "--page_cells=6") == 0
    return stem


@pytest.fixture(scope="module")
def arrays(made):
    with np.load(f"{made}.npz", allow_pickle=False) as file:
        return dict(file)


def _rows(stem):
    with open(f"{stem}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_follow_the_input_and_a_bad_image_has_none(arrays, folder):
    assert arrays["paths"].tolist() == sorted(str(path) for path in folder.glob("*/*.*"))
    bad = np.flatnonzero(arrays["errors"] != "")
    assert [arrays["paths"][row][-7:] for row in bad] == ["02x.jpg"]
    assert np.isnan(arrays["features"][bad]).all()
    assert np.isnan(arrays["map"][bad]).all()
    good = arrays["errors"] == ""
    assert np.isfinite(arrays["features"][good]).all()
    assert np.isfinite(arrays["map"][good]).all()
    assert arrays["groups"].tolist() == ["slide_a"] * 6 + ["slide_b"] * 6
    assert arrays["features"].dtype == np.float32


def test_features_are_the_last_stage_s_means(arrays, runs, images):
    run = open_run(runs[0])
    _, endpoints = run.network.apply(
        run.variables, run.preprocess(jnp.asarray(images)), train=False, return_endpoints=True
    )
    wanted = np.asarray(endpoints["layer4"], np.float64).mean((1, 2))
    np.testing.assert_allclose(arrays["features"][arrays["errors"] == ""], wanted, rtol=1e-4, atol=1e-5)


def test_predictions_are_those_of_predict(arrays, runs, folder, tmp_path):
    output = tmp_path / "predicted.csv"
    assert cli.main(["predict", f"--workdir={runs[0]}", f"--input={folder}", f"--output={output}"]) == 0
    with output.open(newline="") as file:
        predicted = list(csv.DictReader(file))
    assert arrays["predicted"].tolist() == [row["label"] for row in predicted]
    for found, row in zip(arrays["probability"], predicted, strict=True):
        assert np.isnan(found) if row["error"] else abs(found - float(row["probability"])) < 1e-5


def test_the_table_says_the_same(made, arrays):
    rows = _rows(made)
    assert list(rows[0])[:9] == [
        "path", "label", "group", "predicted", "probability", "outlier_score", "x", "y", "error",
    ]  # fmt: skip
    for number, row in enumerate(rows):
        assert row["path"] == arrays["paths"][number]
        features = [row[f"f{channel}"] for channel in range(arrays["features"].shape[1])]
        if row["error"]:
            assert {row["x"], row["predicted"], *features} == {""}
        else:
            np.testing.assert_allclose(np.array(features, float), arrays["features"][number], rtol=1e-6)
            np.testing.assert_allclose(float(row["y"]), arrays["map"][number, 1], rtol=1e-6)


def test_record_and_page_lie_beside_them(made):
    record = json.loads(made.with_suffix(".json").read_text())
    assert (record["images"], record["unreadable"], record["stage"]) == (12, 1, "layer4")
    assert 0 < sum(record["explained_variance"]) <= 1
    page = made.with_suffix(".html").read_text()
    assert "For research, not a diagnosis" in page
    assert not made.with_suffix(".probe.json").exists()


@pytest.fixture
def classes(tmp_path, folder):
    """A folder of two class folders, one of which the run knows."""
    root = tmp_path / "cells"
    for number, path in enumerate(sorted(folder.glob("*/*.png"))):
        place = root / ("BLA" if number % 2 else "odd") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return root


@pytest.mark.parametrize(
    ("folders", "labels", "groups"),
    [
        ("auto", {""}, {"BLA", "odd"}),  # one of two may be a patient who is called as a class
        ("classes", {"BLA", "odd"}, {""}),
        ("groups", {""}, {"BLA", "odd"}),
    ],
)
def test_folders_are_classes_or_groups(runs, classes, tmp_path, folders, labels, groups):
    output = tmp_path / "out.npz"
    assert _embed(
        runs[0], f"--input={classes}", f"--output={output}", f"--folders={folders}", "--page=False"
    ) == 0  # fmt: skip
    with np.load(output) as arrays:
        assert set(arrays["labels"].tolist()) == labels
        assert set(arrays["groups"].tolist()) == groups
    assert not output.with_suffix(".html").exists()


def test_a_probe_is_printed_and_written(runs, classes, tmp_path, capsys):
    output = tmp_path / "out.npz"
    assert _embed(
        runs[0], f"--input={classes}", f"--output={output}", "--folders=classes", "--probe", "--folds=3",
        "--nopage",
    ) == 0  # fmt: skip
    found = json.loads(output.with_suffix(".probe.json").read_text())
    assert found["classes"] == {"BLA": 5, "odd": 6}
    assert "the run itself" not in found["classifiers"]  # it does not know the class odd
    assert found["made_from"]["input"] == str(classes.resolve())
    shown = capsys.readouterr().out
    assert "3-fold cross-validation by image" in shown
    assert "no patients or slides" in shown


def test_a_probe_that_lost_its_images_costs_nothing_else(runs, classes, tmp_path, capsys):
    given, output = tmp_path / "given", tmp_path / "made" / "out.npz"
    shutil.copytree(classes, given)
    options = [
        f"--input={given}",
        f"--output={output}",
        "--folders=classes",
        "--probe",
        "--folds=5",
        "--nopage",
    ]
    assert _embed(runs[0], *options) == 0
    next((given / "BLA").glob("*.png")).write_bytes(b"")
    assert _embed(runs[0], *options) == 1
    assert "no probe, as not all images can be read" in capsys.readouterr().out
    assert {path.name for path in output.parent.iterdir()} == {"out.npz", "out.csv", "out.json"}


def test_what_an_earlier_call_wrote_and_this_one_does_not_is_gone(runs, classes, tmp_path):
    output = tmp_path / "made" / "out.npz"
    options = [f"--input={classes}", f"--output={output}", "--folders=classes"]
    assert _embed(runs[0], *options, "--probe", "--folds=3") == 0
    assert {"out.html", "out.probe.json"} < {path.name for path in output.parent.iterdir()}
    assert _embed(runs[0], *options, "--nopage") == 0
    assert {path.name for path in output.parent.iterdir()} == {"out.npz", "out.csv", "out.json"}


@pytest.mark.parametrize("source", ["folder", "demo", "npz"])
@pytest.mark.parametrize("recorded", [True, False], ids=["", "a run folder without contents"])
def test_a_probe_of_images_trained_on_says_so(runs, classes, tmp_path, source, recorded):
    """Whatever source they were read from, and under whatever names: what the files hold is compared."""
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    with edited(run / "config.json") as config:
        config["data"] |= {"source": source, "path": str(tmp_path / "elsewhere")}
    paths = sorted(classes.glob("*/*"))
    parts = ["train"] * 4 + ["test"] * (len(paths) - 4)
    rows = [
        f"{number}.png,{path.parent.name},{part},{content.decode()}"
        for number, (path, part, content) in enumerate(zip(paths, parts, file_contents(paths), strict=True))
    ]
    lines = ["name,label,split,content", *rows]
    if not recorded:
        lines = [line.rpartition(",")[0] for line in lines]
    (run / "splits.csv").write_text("\n".join([*lines, ""]))
    options = (f"--input={classes}", "--folders=classes", "--probe", "--folds=3", "--nopage")
    assert _embed(run, *options) == 0
    found = json.loads((run / "embeddings" / "cells.probe.json").read_text())
    told = "4 of these images are among those the run was trained on"
    if source == "npz" or not recorded:
        told = "Whether the run was trained on some of these images cannot be told"
    assert sum(caveat.startswith(told) for caveat in found["caveats"]) == 1


def test_labels_and_groups_of_a_list(runs, folder, tmp_path):
    good = sorted(folder.glob("*/*.png"))[:3]
    table = tmp_path / "some.csv"
    table.write_text(
        "path,label,patient\n" + "".join(f"{p},{c},p7\n" for p, c in zip(good, "xy", strict=False))
    )
    assert _embed(runs[0], f"--input={table}", f"--output={tmp_path / 'out.npz'}", "--nopage") == 0
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["labels"].tolist() == ["x", "y"]
        assert arrays["groups"].tolist() == ["p7", "p7"]


def test_another_input_of_the_same_name_gets_its_own_files(runs, images, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    for patient, image in zip(("p1", "p2"), images, strict=False):
        (tmp_path / patient / "cells").mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / patient / "cells" / "1.png")
        assert _embed(run, f"--input={tmp_path / patient / 'cells'}") == 0
    names = {path.name for path in (run / "embeddings").iterdir()}
    assert names == {
        f"cells{number}{end}" for number in ("", "-2") for end in (".npz", ".csv", ".json", ".html")
    }
    assert _embed(run, f"--input={tmp_path / 'p2' / 'cells'}") == 0
    assert {path.name for path in (run / "embeddings").iterdir()} == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--input=DIR"),
        (["--input={folder}", "--output={tmp}/x.csv"], "ends with none of .npz"),
        (["--input={folder}", "--probe"], "at least 5 labelled images each, and there are: no image"),
        (["--input={tmp}/list.csv", "--output={tmp}/list.npz"], "list.csv is the input and would be lost"),
        (["--input={tmp}/list.csv"], "not one image can be read"),
        (["--input={folder}", "--projection=mds"], "embed.projection='mds'"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(runs, folder, tmp_path, capsys, options, message):
    (tmp_path / "list.csv").write_text("path\nx.png\n")
    assert _embed(runs[1], *(option.format(folder=folder, tmp=tmp_path) for option in options)) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(error) == 1
    assert message in error[0]
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]
    assert not (runs[1] / "embeddings").exists()
