"""The same weights give the same numbers in PyTorch: every stage, the logits, and one training step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax.models import create_model
from tests.quick import thorough_options
from tests.reference import torch_models
from tests.reference.torch_weights import variables_from_torch

pytestmark = pytest.mark.usefixtures("float64")

CLASSES = 7
SIDES = {"resnet101": 32}
"""Pixels, where not 64: ResNet-101 has ResNet-50's blocks, only more of them."""


def _images(batch, side=64):
    images = np.random.default_rng(0).normal(size=(batch, side, side, 3))
    return images, torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("name", torch_models.MODELS)
def test_every_stage_and_the_logits_agree_with_torch(name):
    images, torch_images = _images(2, SIDES.get(name, 64))
    oracle = torch_models.make(name, CLASSES).double().eval()
    variables = variables_from_torch(name, oracle.state_dict())
    model = create_model(name, CLASSES, dtype=jnp.float64)
    expected_shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    assert jax.tree.map(np.shape, variables) == jax.tree.map(jnp.shape, expected_shapes)

    apply = functools.partial(model.apply, train=False, return_endpoints=True)
    logits, endpoints = jax.jit(apply, compiler_options=thorough_options())(variables, images)
    with torch.no_grad():
        expected = {k: v.numpy() for k, v in oracle.endpoints(torch_images).items()}
    np.testing.assert_allclose(logits, expected.pop("logits"), atol=1e-10, rtol=0)
    assert endpoints.keys() == expected.keys()
    for stage, features in expected.items():
        np.testing.assert_allclose(endpoints[stage], features.transpose(0, 2, 3, 1), atol=1e-10, rtol=0)


def test_a_training_step_of_resnet18_agrees_with_torch():
    images, torch_images = _images(4)
    labels = np.array([0, 2, 5, 6])
    oracle = torch_models.make("resnet18", CLASSES).double()
    variables = variables_from_torch("resnet18", oracle.state_dict())
    expected_loss = torch.nn.functional.cross_entropy(oracle.train()(torch_images), torch.from_numpy(labels))
    expected_loss.backward()
    gradients = {key: parameter.grad for key, parameter in oracle.named_parameters()}
    expected_gradients = variables_from_torch("resnet18", gradients)["params"]
    expected_stats = variables_from_torch("resnet18", oracle.state_dict())["batch_stats"]

    loss, gradients, stats = _jax_step(variables, images, labels)
    np.testing.assert_allclose(loss, expected_loss.item(), rtol=1e-11)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), stats, expected_stats)
    assert jax.tree.structure(gradients) == jax.tree.structure(expected_gradients)
    errors = jax.tree.map(_relative_error, gradients, expected_gradients)
    # In float32 a ReLU input may round to the other side of zero, which costs 1e-3; here none is that near.
    assert max(jax.tree.leaves(errors)) < 1e-10


def _jax_step(variables, images, labels):
    model = create_model("resnet18", CLASSES, dtype=jnp.float64)

    def loss(params):
        logits, updated = model.apply(
            {"params": params, "batch_stats": variables["batch_stats"]},
            images,
            train=True,
            mutable=["batch_stats"],
        )
        log_probs = jax.nn.log_softmax(logits)
        return -jnp.mean(log_probs[jnp.arange(len(labels)), labels]), updated["batch_stats"]

    step = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=thorough_options())
    (value, stats), gradients = step(variables["params"])
    return value, gradients, stats


def _relative_error(actual, expected):
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
