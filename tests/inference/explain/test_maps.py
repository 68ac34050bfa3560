"""Grad-CAM against a linear head and PyTorch's gradients; the layer's maps against the layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax.config import base_config
from asae_jax.inference.explain.maps import grad_cams, layer_maps, weighted_sum
from asae_jax.models import create_model
from asae_jax.models.asae import asae_maps
from tests.inference.explain.made import random_variables
from tests.reference import torch_models
from tests.reference.torch_weights import variables_from_torch

LABELS = np.array([2, -1])
STAGES = ("layer3", "layer4")


def _cams(network, variables, images):
    return jax.jit(lambda v, x: grad_cams(network, v, x, STAGES, jnp.asarray(LABELS)))(variables, images)


@pytest.mark.usefixtures("float64")
def test_of_a_linear_head_it_is_the_class_map_without_bias_over_the_positions():
    network = create_model("vgg16", 4, stem="small", width=4, dtype=jnp.float64)
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    variables = random_variables(network, images.shape[1])
    logits, endpoints, cams = _cams(network, variables, images)
    kernel = np.asarray(variables["params"]["backbone"]["head"]["kernel"])
    predicted = np.asarray(logits).argmax(1)
    for number, classes in enumerate((predicted, np.where(LABELS < 0, predicted, LABELS))):
        expected = np.einsum("bhwc,cb->bhw", endpoints["layer4"], kernel[:, classes]) / 16
        assert cams["layer4"].shape == (2, 2, 4, 4)
        np.testing.assert_allclose(cams["layer4"][:, number], expected, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_it_agrees_with_torch_at_both_stages():
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3))
    oracle = torch_models.make("resnet18", 5).eval().double()
    stages = {"layer3": oracle.layer3, "layer4": oracle.layer4}
    kept = {}
    for name, stage in stages.items():
        stage.register_forward_hook(lambda _, __, y, name=name: kept.update({name: y}))
    scores = oracle(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    chosen = torch.stack([scores[0, 2], scores[1].max()]).sum()
    gradients = dict(zip(kept, torch.autograd.grad(chosen, list(kept.values())), strict=True))

    network = create_model("resnet18", 5, dtype=jnp.float64)
    variables = variables_from_torch("resnet18", oracle.state_dict())
    _, _, cams = _cams(network, variables, images)
    for name, features in kept.items():
        expected = (gradients[name].mean((2, 3), keepdim=True) * features).sum(1).detach().numpy()
        np.testing.assert_allclose(cams[name][:, 1], expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_gradients_pass_the_layer_where_it_is_there_at_test():
    network = create_model("vgg16", 3, stem="small", width=4, branching="asae", test_mode="mean")
    images = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    logits, endpoints, cams = _cams(network, random_variables(network, 16), images)
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, rtol=1e-5)
    assert endpoints["layer4"].shape[:4] == (2, 2, 2, 2)  # branches first
    assert cams["layer3"].shape == (2, 2, 4, 4)
    assert cams["layer4"].shape == (2, 2, 2, 2)
    assert np.abs(cams["layer3"]).max() > 0


@pytest.mark.usefixtures("float64")
def test_maps_of_branches_are_added():
    features, gradients = np.random.default_rng(0).normal(size=(2, 3, 2, 4, 4, 5))
    parts = [weighted_sum(f, g) for f, g in zip(features, gradients, strict=True)]
    np.testing.assert_allclose(weighted_sum(features, gradients), sum(parts), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("attention", ["mean", "magnitude"])
def test_ranks_and_regions_are_the_layers(attention):
    settings = base_config().asae
    settings.window, settings.area = 3, 9.0
    features = jax.random.normal(jax.random.key(0), (3, 7, 7, 4))
    own = jax.jit(lambda f: asae_maps(None, f, window=3, ratio=0.8, area=9.0, attention=attention))(features)
    maps = jax.jit(lambda f: layer_maps(f, settings, attention))(features)
    np.testing.assert_array_equal(maps.attention, own.attention)
    np.testing.assert_array_equal(maps.peaks[:, 0], np.stack([own.rows, own.cols], 1))
    np.testing.assert_array_equal(maps.regions[:, 0], own.mask == 0)
    for number in range(3):
        rows, cols = np.asarray(maps.peaks[number, : int(maps.num_peaks[number])]).T
        values = np.asarray(maps.attention[number])[rows, cols]
        assert np.all(np.diff(values) <= 0)
        assert np.asarray(own.peaks[number])[rows, cols].all()
    np.testing.assert_array_equal(maps.num_peaks, np.minimum(np.asarray(own.peaks).sum((1, 2)), 5))
