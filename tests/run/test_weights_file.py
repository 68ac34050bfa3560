"""Weights in one file: what half precision keeps, and what is refused."""

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from asae_jax.errors import UserError
from asae_jax.run import build, folder, model_folder, weights_file
from asae_jax.run.run import open_run
from tests.made_runs import random_model
from tests.training.tiny import tiny_config

CLASSES = ("BLA", "EBO", "NGS")
CONFIG = tiny_config(augment__size=16, model__width=4)


@pytest.fixture
def model(tmp_path):
    """A model folder, and its weights before they were stored."""
    return tmp_path / "model", random_model(tmp_path / "model", CONFIG, CLASSES)


def test_weights_come_back_rounded_to_half_precision_and_as_float32(model):
    place, variables = model
    run = open_run(place)
    assert (run.step, run.class_names) == (7, CLASSES)
    assert jax.tree.structure(dict(run.variables)) == jax.tree.structure(variables)
    for found, array in zip(jax.tree.leaves(run.variables), jax.tree.leaves(variables), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, array.astype(np.float16))


def test_the_file_has_dotted_paths_and_says_which_checkpoint(model):
    place, variables = model
    tensors = load_file(place / "weights.safetensors")
    assert {array.dtype for array in tensors.values()} == {np.dtype(np.float16)}
    kernel = variables["params"]["backbone"]["head"]["kernel"]
    np.testing.assert_array_equal(tensors["params.backbone.head.kernel"], kernel.astype(np.float16))
    assert weights_file.checkpoint_of(place) == "best"


@pytest.mark.parametrize("factor", [1e6, 1e-7])
def test_an_array_beyond_half_precision_is_kept_as_it_is(tmp_path, factor):
    """Variances of a few million would be infinite, layer scales of a millionth lose nearly all digits."""
    array = np.linspace(0.5, 1, 7, dtype=np.float32) * np.float32(factor)
    weights_file.write(tmp_path, {"params": {"x": {"y": array}}}, step=1, checkpoint="last")
    record = folder.Record(CLASSES, "", {}, model_folder.weights_digest(tmp_path))
    folder.write(tmp_path, CONFIG, record)
    variables, step = weights_file.read(tmp_path)
    np.testing.assert_array_equal(variables["params"]["x"]["y"], array)
    assert step == 1


def test_a_network_without_statistics_has_an_empty_collection(tmp_path):
    config = tiny_config(augment__size=16, model__width=4, model__norm="group")
    random_model(tmp_path / "model", config, CLASSES)
    assert open_run(tmp_path / "model").variables["batch_stats"] == {}


@pytest.mark.parametrize(
    "change", [lambda raw: raw[:-100], lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), lambda _: b""]
)
def test_damaged_weights_are_refused_by_name(model, change):
    file = model[0] / "weights.safetensors"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(UserError, match=r"weights.safetensors is damaged or of another model: its SHA-256"):
        _ = open_run(model[0]).variables


def test_a_file_of_something_else_is_refused_though_its_digest_is_recorded(model):
    (model[0] / "weights.safetensors").write_bytes(b"not weights at all")
    record = folder.Record(CLASSES, "", {}, model_folder.weights_digest(model[0]))
    folder.write(model[0], CONFIG, record)
    with pytest.raises(UserError, match="is no weight file of a model"):
        _ = open_run(model[0]).variables


def test_another_network_is_refused_and_the_first_array_named(model):
    like = build.variable_shapes(tiny_config(augment__size=16, model__width=8), 3)
    with pytest.raises(UserError, match=r"does not fit .*batch_stats\S+ is \[4\] there and \[8\] here"):
        weights_file.read(model[0], like)


def test_a_model_has_one_checkpoint(model):
    config = tiny_config(augment__size=16, model__width=4, eval__checkpoint="last")
    with pytest.raises(UserError, match=r"one checkpoint: use --config.eval.checkpoint=best, not last"):
        _ = open_run(model[0], config).variables
