"""A run with every published variation on the layer: trained, resumed, scored, started from, and refused."""

import csv
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from asae_jax import cli
from asae_jax.config import copy_with
from asae_jax.evaluation.scoring import Scorer
from asae_jax.evaluation.uncertainty_files import read_matching_uncertainty
from asae_jax.json_files import read_json, write_json
from asae_jax.run import model_folder
from asae_jax.run.checkpoint import Checkpoints
from asae_jax.run.run import open_run
from asae_jax.synthetic import render
from tests.quick import blank_pictures

CONFIG = Path(__file__).with_name("tiny_config_file.py")
AUXILIARY = [
    "--config.model.branch_affine=separate",
    "--config.model.running_statistics=plain",
    "--config.asae.branches=plain,suppress,enhance",
    "--config.asae.ramp_epochs=1.5",
    "--config.asae.enhancement=residual",
    "--config.asae.rescale=True",
    "--config.asae.place=random",
    "--config.optimizer.ema_decay=0.5",
]


pytestmark = pytest.mark.usefixtures("shallow_networks", "blank_pictures")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


def _train(cache, workdir, *options):
    common = ["train", f"--config={CONFIG}", f"--config.data.cache_dir={cache}", f"--workdir={workdir}"]
    return cli.main([*common, *options])


@pytest.fixture(scope="module")
def finished(cache, tmp_path_factory):
    """An uninterrupted run of 6 steps, the ramp over the first four of them."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    with blank_pictures():
        assert _train(cache, workdir, *AUXILIARY) == 0
    return workdir


def _saved(workdir):
    checkpoints = Checkpoints(workdir)
    try:
        return checkpoints.read(checkpoints.newest)
    finally:
        checkpoints.close()


def _norms(params):
    return params["backbone"]["layer4"]["block0"]["bn1"]


def test_branches_learn_scales_of_their_own_and_the_test_takes_the_plain_one(finished):
    saved, run = _saved(finished), open_run(finished)
    norm = _norms(saved["params"])
    assert norm["auxiliary_scale"].shape == (2, *norm["scale"].shape)
    suppressed, enhanced = norm["auxiliary_scale"]  # all started at one
    for one, other in ((suppressed, norm["scale"]), (enhanced, norm["scale"]), (suppressed, enhanced)):
        assert (one != other).mean() > 0.5
    assert _norms(run.variables["params"]).keys() == {"scale", "bias"}
    np.testing.assert_array_equal(
        _norms(run.variables["params"])["scale"], _norms(saved["average"]["params"])["scale"]
    )
    plain = run.network.clone(branching=None)
    image = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    scores = [
        jax.jit(lambda v, n=n: n.apply(v, image, train=False))(run.variables) for n in (run.network, plain)
    ]
    np.testing.assert_array_equal(*scores)


def test_a_run_stopped_on_the_ramp_ends_as_if_it_had_not_been(finished, cache, tmp_path):
    workdir = tmp_path / "parts"
    assert _train(cache, workdir, *AUXILIARY, "--config.train.max_steps=2") == 0
    assert _train(cache, workdir, *AUXILIARY) == 0
    jax.tree.map(np.testing.assert_array_equal, _saved(workdir), _saved(finished))


def test_a_second_look_is_scored_as_another_way_of_testing(finished):
    options = ["--test_mode=second_look", "--look_threshold=0.8", "--name=twice", f"--workdir={finished}"]
    assert cli.main(["evaluate", *options]) == 0
    twice = json.loads((finished / "evaluation" / "twice.json").read_text())
    once = json.loads((finished / "evaluation" / "test.json").read_text())
    assert twice["test_mode"] == "second_look at 0.8"
    assert (twice["num_examples"], once["test_mode"]) == (once["num_examples"], "skip")
    assert twice["nll"] != once["nll"]


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated")  # of this way of testing
def test_predict_looks_twice_as_evaluate_does(finished, tmp_path):
    looks = {"eval.test_mode": "second_look", "eval.look_threshold": 0.5}
    run = open_run(finished, copy_with(open_run(finished).config, looks))
    indices = run.data.indices("test")[:3]
    wanted = np.exp(Scorer(run)(run.variables, indices))
    folder, output = tmp_path / "cells", tmp_path / "cells.csv"
    folder.mkdir()
    for place, index in enumerate(indices):
        image = render(run.config.data.synthetic_seed, int(index), size=run.config.data.stored_size)
        Image.fromarray(image).save(folder / f"{place}.png")
    options = ["--page=False", *(f"--config.{name}={value}" for name, value in looks.items())]
    options += [f"--input={folder}", f"--output={output}"]
    assert cli.main(["predict", f"--workdir={finished}", *options]) == 0
    with output.open() as file:
        rows = list(csv.DictReader(file))
    found = [[float(row[f"p_{name}"]) for name in run.class_names] for row in rows]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.fixture
def drawn(finished, tmp_path):
    """Three test images of the run in a folder, and what their views are for its network."""
    run = open_run(finished)
    folder = tmp_path / "cells"
    folder.mkdir()
    raw = []
    for place, index in enumerate(run.data.indices("test")[:3]):
        raw.append(render(run.config.data.synthetic_seed, int(index), size=run.config.data.stored_size))
        Image.fromarray(raw[-1]).save(folder / f"{place}.png")
    upright = np.asarray(run.preprocess(np.stack([run.preparation(image) for image in raw])))
    square = [np.rot90(start, k, (1, 2)) for start in (upright, upright[:, :, ::-1]) for k in range(4)]
    logits = [np.asarray(run.network.apply(run.variables, view.copy(), train=False)) for view in square]
    return folder, np.mean([softmax(view.astype(float), -1) for view in logits], axis=0)


def _predicted(output, class_names):
    with output.open() as file:
        return [[float(row[f"p_{name}"]) for name in class_names] for row in csv.DictReader(file)]


def test_the_mean_over_views_is_scored_calibrated_packed_and_predicted(finished, drawn, tmp_path, capsys):
    cells, wanted = drawn
    workdir = shutil.copytree(finished, tmp_path / "run")
    names = open_run(workdir).class_names
    own = read_json(workdir / "uncertainty.json", remedy="")
    command = ["predict", f"--input={cells}", "--page=False", "--tta"]
    assert cli.main([*command, f"--workdir={workdir}", f"--output={tmp_path / 'before.csv'}"]) == 0
    assert "Several views were averaged" in capsys.readouterr().out, "as they were fitted to one view"

    assert cli.main(["evaluate", f"--workdir={workdir}", "--tta"]) == 0
    scores = read_json(workdir / "evaluation" / "test-tta.json", remedy="")
    assert (scores["test_mode"], scores["split"]) == ("skip-tta", "test")
    assert read_json(workdir / "evaluation" / "test.json", remedy="")["test_mode"] == "skip"
    assert read_json(workdir / "uncertainty.json", remedy="") == own
    fitted = read_json(workdir / "uncertainty-skip-tta.json", remedy="")
    assert fitted["conditions"]["test_mode"] == "skip-tta"
    run = open_run(workdir, copy_with(open_run(workdir).config, {"eval.tta": True}))
    np.testing.assert_allclose(
        np.exp(Scorer(run)(run.variables, run.data.indices("test")[:3])), wanted, atol=2e-5
    )

    softened = softmax(np.log(wanted) / fitted["temperature"]["value"], -1)
    capsys.readouterr()
    assert cli.main([*command, f"--workdir={workdir}", f"--output={tmp_path / 'after.csv'}"]) == 0
    assert "were averaged" not in capsys.readouterr().out
    np.testing.assert_allclose(_predicted(tmp_path / "after.csv", names), softened, atol=2e-5)

    packed = tmp_path / "packed"
    assert cli.main(["export", f"--workdir={workdir}", "--formats=model", f"--output={packed}"]) == 0
    model = packed / "model"
    assert read_json(model / "evaluation" / "test-tta.json", remedy="")["nll"] == scores["nll"]
    assert (
        "With `--tta`, the mean over the eight flips and quarter turns: accuracy "
        in (model / "README.md").read_text()
    )
    assert not (model / "uncertainty-tta").exists(), "features of training images are there once"
    there = tmp_path / "there"
    capsys.readouterr()
    assert cli.main(
        [*command, f"--model={model}", f"--workdir={there}", f"--output={tmp_path / 'model.csv'}"]
    ) == 0  # fmt: skip
    assert "were averaged" not in capsys.readouterr().out
    np.testing.assert_allclose(_predicted(tmp_path / "model.csv", names), softened, atol=2e-3)
    assert {"uncertainty-tta.json", "uncertainty.json"} <= {path.name for path in there.iterdir()}


def test_estimates_of_another_sample_keep_their_own_features_in_a_model(finished, tmp_path):
    """Outliers are told by distances to training images: those of half the sample are larger."""
    workdir = shutil.copytree(finished, tmp_path / "run")
    fewer = ["--tta", "--config.uncertainty.images_per_class=2"]
    assert cli.main(["evaluate", f"--workdir={workdir}", *fewer]) == 0
    packed = tmp_path / "packed"
    assert cli.main(["export", f"--workdir={workdir}", "--formats=model", f"--output={packed}"]) == 0
    several = _estimates(packed / "model", tta=True)
    assert len(several.outliers.reference[0]) == 2 * len(several.class_names)
    assert len(_estimates(packed / "model").outliers.reference[0]) > len(several.outliers.reference[0])
    there = tmp_path / "there"
    model_folder.unpack(packed / "model", there)
    np.testing.assert_array_equal(
        _estimates(there, tta=True).outliers.reference[0], several.outliers.reference[0]
    )


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated")  # of one view
def test_a_run_that_records_views_is_packed_with_its_estimates_and_scored_by_one_view_beside(
    finished, tmp_path
):
    workdir = shutil.copytree(finished, tmp_path / "run")
    assert cli.main(["evaluate", f"--workdir={workdir}", "--tta"]) == 0
    config = read_json(workdir / "config.json", remedy="")
    config["eval"]["tta"] = True
    write_json(
        workdir / "config.json", {name: value for name, value in config.items() if "sha256" not in name}
    )
    shutil.move(workdir / "uncertainty-skip-tta.json", workdir / "uncertainty.json")
    for ending in (".json", "_predictions.csv"):
        shutil.move(workdir / f"evaluation/test-tta{ending}", workdir / f"evaluation/test{ending}")
    shutil.rmtree(workdir / "uncertainty")
    shutil.move(workdir / "uncertainty-skip-tta", workdir / "uncertainty")
    packed, one_view = tmp_path / "packed", "--config.eval.tta=False"
    command = ["export", f"--workdir={workdir}", "--formats=model", f"--output={packed}", one_view]
    assert cli.main(command) == 0
    assert _estimates(packed / "model", tta=True).conditions["test_mode"] == "skip-tta"
    assert cli.main(["evaluate", f"--workdir={workdir}", one_view]) == 0
    assert read_json(workdir / "evaluation" / "test.json", remedy="")["test_mode"] == "skip-tta"
    assert read_json(workdir / "evaluation" / "test-one-view.json", remedy="")["test_mode"] == "skip"


def _estimates(folder, *, tta=False):
    run = open_run(folder)
    return read_matching_uncertainty(open_run(folder, copy_with(run.config, {"eval.tta": tta})))


@pytest.mark.parametrize("several", ["test_mode=second_look", "tta=True"])
@pytest.mark.parametrize("command", ["explain", "export"])
def test_commands_of_one_pass_refuse_several_before_anything_is_written(
    finished, command, several, capsys, tmp_path
):
    options = [f"--config.eval.{several}", f"--output={tmp_path / 'out'}"]
    assert cli.main([command, f"--workdir={finished}", *options]) == 2
    assert f"cannot be used by `{command}`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_runs_start_from_each_other_with_and_without_auxiliary_norms(finished, cache, tmp_path):
    start = [f"--config.init.pretrained={finished}", "--config.optimizer.learning_rate=0.0",
             "--config.optimizer.weight_decay=0.0", "--config.train.max_steps=1"]  # fmt: skip
    source = open_run(finished).variables["params"]
    assert _train(cache, tmp_path / "with", *AUXILIARY, *start) == 0
    assert _train(cache, tmp_path / "without", *start) == 0
    for name in ("with", "without"):
        norm = _norms(_saved(tmp_path / name)["params"])
        np.testing.assert_array_equal(norm["scale"], _norms(source)["scale"])
        for other in norm.get("auxiliary_scale", ()):
            np.testing.assert_array_equal(other, norm["scale"])
    assert "auxiliary_scale" not in norm
