"""Every rival of the layer by its name in the configuration: in the step, and gone where the test looks."""

import functools

import jax
import numpy as np
import pytest

from asae_jax.models import BRANCHINGS
from asae_jax.run import build, parallel, steps
from tests.inference.explain.made import random_variables
from tests.training.tiny import NUM_CLASSES, tiny_config

RIVALS = [name for name in BRANCHINGS if name != "asae"]
IMAGES = np.zeros((2, 32, 32, 3), np.float32)


def _small(network):
    return network.clone(backbone=network.backbone.clone(stage_sizes=(1, 1, 1, 1)))


def _variables(network):
    return jax.eval_shape(lambda: network.init(jax.random.key(0), IMAGES, train=False))


@pytest.mark.parametrize("branching", RIVALS)
def test_its_settings_reach_the_layer_and_it_takes_the_streams_of_the_step(branching):
    config = tiny_config(model__branching=branching)
    options = {"drop": {"rate": 0.25, "block_size": 3.0}, "adl": {"threshold": 0.6}}
    config.update(options | {"diversification": {"peak_rate": 0.25}})
    network = _small(build.create_network(config, NUM_CLASSES, axis_name=parallel.AXIS))
    shown = str(network.branching)
    assert any(f"{setting}" in shown for setting in ("rate = 0.25", "threshold = 0.6"))
    assert "block_size = 3.0" in shown or branching != "dropblock"

    rngs = {stream: jax.random.key(0) for stream in steps.LAYER_STREAMS}
    apply = functools.partial(network.apply, train=True, mutable=["batch_stats"], rngs=rngs)
    spread = jax.pmap(apply, axis_name=parallel.AXIS, in_axes=(None, 0), devices=jax.devices()[:2])
    logits, _ = jax.eval_shape(spread, _variables(network), np.stack([IMAGES, IMAGES]))
    assert logits.shape == (2, 2, NUM_CLASSES)


@pytest.mark.parametrize(("name", "branching"), [("resnet18", "dropout"), ("adl_resnet18", "none")])
def test_batch_statistics_are_taken_again_without_it(name, branching):
    """The network that measures them draws nothing, and has the variables of the trained one."""
    config = tiny_config(model__name=name, model__branching=branching)
    trained = _small(build.create_network(config, NUM_CLASSES))
    measuring = _small(build.create_test_network(config, NUM_CLASSES, axis_name=parallel.AXIS))
    apply = functools.partial(measuring.apply, train=True, mutable=["batch_stats"])
    spread = jax.pmap(apply, axis_name=parallel.AXIS, in_axes=(None, 0), devices=jax.devices()[:1])
    variables = _variables(trained)
    _, updated = jax.eval_shape(spread, variables, IMAGES[None])
    assert jax.tree.structure(updated["batch_stats"]) == jax.tree.structure(variables["batch_stats"])


@pytest.mark.parametrize(("mode", "branches"), [("skip", 1), ("enhance", 1), ("mean", 3), ("second_look", 1)])
def test_batch_statistics_are_taken_again_over_the_branches_of_the_test(mode, branches):
    config = tiny_config(asae__branches="plain,suppress,enhance", eval__test_mode=mode)
    measuring = _small(build.create_test_network(config, NUM_CLASSES, axis_name=parallel.AXIS))
    rngs = {"asae": jax.random.key(0)}
    apply = functools.partial(measuring.apply, train=True, mutable=["batch_stats"], rngs=rngs)
    spread = jax.pmap(apply, axis_name=parallel.AXIS, in_axes=(None, 0), devices=jax.devices()[:1])
    logits, _ = jax.eval_shape(spread, _variables(measuring), IMAGES[None])
    assert logits.shape[1] == branches


@pytest.mark.parametrize("mode", ["skip", "enhance", "mean"])
def test_what_measures_the_statistics_computes_what_the_test_does(mode):
    """Without batch statistics both are the same function, whatever is drawn."""
    config = tiny_config(asae__branches="plain,suppress,enhance", eval__test_mode=mode, model__norm="group")
    config.asae.update(p_top1=0.0, window=1)  # in training never the highest of many peaks
    tested = _small(build.create_network(config, NUM_CLASSES))
    measuring = _small(build.create_test_network(config, NUM_CLASSES, axis_name=None))
    images = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32)
    variables = random_variables(tested, 32)
    expected = jax.nn.log_softmax(tested.apply(variables, images, train=False))
    for seed in range(2):
        rngs = {"asae": jax.random.key(seed)}
        logits, _ = measuring.apply(variables, images, train=True, mutable=["batch_stats"], rngs=rngs)
        found = np.log(np.mean(jax.nn.softmax(logits), axis=0))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_adl_models_take_their_settings_from_the_section():
    config = tiny_config(model__name="adl_resnet18", model__branching="none", adl__rate=0.5)
    assert build.create_network(config, NUM_CLASSES).backbone.extra.keywords == {
        "rate": 0.5,
        "threshold": 0.8,
    }


@pytest.mark.parametrize(
    ("name", "attention", "label"),
    [
        ("resnet18", "auto", "second_look at 0.4"),
        ("efficientnet_lite0", "auto", "second_look at 0.4 above the mean"),
        ("efficientnet_lite0", "mean", "second_look at 0.4"),
        ("resnet18", "magnitude", "second_look at 0.4 above the mean"),
    ],
)
@pytest.mark.parametrize("branching", ["none", "asae"])
def test_scores_name_what_the_threshold_of_a_second_look_is_a_share_of(name, attention, label, branching):
    config = tiny_config(model__name=name, model__branching=branching, asae__attention=attention,
                         eval__test_mode="second_look", eval__look_threshold=0.4)  # fmt: skip
    assert build.tested_as(config) == label
