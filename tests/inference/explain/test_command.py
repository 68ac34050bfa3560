"""`explain` as a user calls it, on runs with weights they would start from."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asae_jax import cli
from asae_jax.inference.explain.examples import evenly_spaced, spread_over_classes
from asae_jax.inference.explain.report import percent
from asae_jax.run import folder
from asae_jax.run.run import new_run
from tests.edited import edited
from tests.made_runs import untrained_run
from tests.training.tiny import tiny_config

DEMO = Path(__file__).parents[3] / "data" / "demo" / "images"


def _run(workdir, **changes):
    config = tiny_config(
        data__num_examples=84,
        data__stored_size=20,
        augment__size=16,
        data__hue="none",
        model__width=4,
        **changes,
    )
    config.eval.batch_size = 8
    run = new_run(config, workdir)
    run.start()
    return untrained_run(workdir, config, run.class_names, folder.record_of(run.data.index))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return _run(tmp_path_factory.mktemp("runs") / "asae", model__name="vgg16")


def _without_layer(run, copy):
    """The layer has no parameters: the same checkpoint serves."""
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("explain"))
    with edited(copy / "config.json") as config:
        config["model"]["branching"] = "none"
    return copy


def _explain(workdir, *options):
    return cli.main(["explain", f"--workdir={workdir}", *map(str, options)])


def test_the_runs_own_images(run, capsys):
    options = (
        "--num_images=3",
        "--faithfulness_images=10",
        "--random_regions=2",
        "--config.eval.bootstrap=20",
    )
    assert _explain(run, *options) == 0
    folder = run / "explain"
    assert len(list((folder / "images").glob("*.png"))) == 3
    assert {path.name for path in folder.iterdir()} == {
        "images", "index.html", "fig3.png", "class_maps.png", "faithfulness.json", "faithfulness.csv",
        "made_from.json",
    }  # fmt: skip
    found = json.loads((folder / "faithfulness.json").read_text())
    assert found["method"].endswith("Probabilities are those before calibration.")
    assert found["overall"]["num_images"] == 10
    assert found["fill"] == "border"
    assert found["map"] == [4, 4]
    page = (folder / "index.html").read_text()
    assert "For research, not a diagnosis" in page
    assert page.count("<article>") == 3
    assert "Grad-CAM of" in page
    assert "One image&#39;s way through the layer" in page or "One image's way through the layer" in page
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) > 3
    assert all("width=" in picture and "height=" in picture for picture in pictures)
    assert not re.search(r"[-\N{MINUS SIGN}]0\.000", page)
    assert "written to" in capsys.readouterr().out


def test_a_second_call_replaces_all_of_the_first_or_nothing(run, tmp_path, monkeypatch):
    output = tmp_path / "out"
    options = [f"--output={output}", "--random_regions=1", "--config.eval.bootstrap=20"]

    def stop(*_, **__):
        raise KeyboardInterrupt

    def stopped(*more):
        with monkeypatch.context() as patched:
            patched.setattr("asae_jax.inference.explain.report.write_page", stop)
            assert _explain(run, *options, *more) == 130

    stopped("--num_images=1", "--faithfulness_images=0")
    assert _explain(run, *options, "--num_images=3", "--faithfulness_images=4") == 0
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    stopped("--num_images=1", "--faithfulness_images=0")
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    assert _explain(run, *options, "--num_images=1", "--faithfulness_images=0") == 0
    assert {path.name for path in output.iterdir()} == {
        "images", "index.html", "fig3.png", "class_maps.png", "made_from.json",
    }  # fmt: skip
    assert len(list((output / "images").iterdir())) == 1


def test_a_run_without_the_layer_on_a_list_of_images(run, tmp_path, capsys):
    run = _without_layer(run, tmp_path / "plain")
    names = folder.read_record(run).class_names
    rng = np.random.default_rng(0)
    strange = "<b>&1 $x$.png"
    for name in ("a.png", strange):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"no")
    table = tmp_path / "list.csv"
    table.write_text(f"path,label\na.png,{names[2]}\n{strange},\nbad.png,{names[0]}\n")
    output = tmp_path / "out"
    assert _explain(run, f"--input={table}", f"--output={output}", "--fill=blur", "--random_regions=1") == 0
    page = (output / "index.html").read_text()
    assert "<b>&1" not in page
    assert "&lt;b&gt;&amp;1 $x$.png" in page
    assert "trained without the layer" in page
    assert "activation (mean over the channels)" in page
    for words in ("enhancement", "peaks by rank", "way through the layer", "self-attention"):
        assert words not in page, words
    assert not (output / "fig3.png").exists()
    assert "1 image could not be read" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert json.loads((output / "faithfulness.json").read_text())["num_images"] == 1
    table.write_text(f"path,label\nbad.png,\na.png,{names[2]}\n")
    assert _explain(run, f"--input={table}", "--num_images=1") == 2
    assert "not one image that was chosen to be shown can be read" in capsys.readouterr().err
    table.write_text("path,label\na.png,nonsense\n")
    assert _explain(run, f"--input={table}") == 2
    assert "does not know class nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--fill=red", "border, mean, blur"),
        ("--num_images=0", "at least 1"),
        ("--input=nowhere", "not exist"),
    ],
)
def test_mistakes_end_in_one_line(run, capsys, option, message):
    assert _explain(run, option) == 2
    assert message in capsys.readouterr().err


def test_samples_are_spread():
    labels = np.array([0] * 10 + [1] * 2 + [2] * 10)
    chosen = spread_over_classes(np.arange(22), labels, 9)
    np.testing.assert_array_equal(np.bincount(labels[chosen]), [4, 2, 3])
    np.testing.assert_array_equal(spread_over_classes(np.arange(22), labels, 99), np.arange(22))
    np.testing.assert_array_equal(evenly_spaced(np.arange(10), 2), [2, 7])
    assert len(evenly_spaced(np.arange(10), 0)) == 0


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.9951, ">99 %"), (0.9949, "99 %"), (0.825, "83 %"), (0.0, "0 %")]
)
def test_what_is_not_certain_is_not_said_to_be(share, text):
    assert percent(share) == text.replace(" ", "\N{NO-BREAK SPACE}")


def test_probabilities_are_those_of_predict(tmp_path):
    cells = tmp_path / "cells"
    cells.mkdir()
    for name in ("BA/BA_107876.jpg", "PMY/" + sorted(p.name for p in (DEMO / "PMY").iterdir())[0]):
        shutil.copy(DEMO / name, cells)
    options = ["--model=blood11", f"--workdir={tmp_path / 'run'}", f"--input={cells}"]
    assert cli.main(["predict", *options, f"--output={tmp_path / 'cells.csv'}", "--nopage"]) == 0
    assert cli.main(["explain", *options, f"--output={tmp_path / 'out'}"]) == 0
    with (tmp_path / "cells.csv").open() as file:
        wanted = [percent(float(row["probability"])) for row in csv.DictReader(file)]
    page = (tmp_path / "out" / "index.html").read_text()
    assert sorted(re.findall(r'<h3>predicted [^<]*<span class="quiet">(?:&gt;)?(\d+\xa0%)', page)) == sorted(
        one.lstrip(">") for one in wanted
    )
    assert "calibrated, as those of predict" in page
