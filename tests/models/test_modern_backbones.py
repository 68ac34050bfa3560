"""ConvNeXt, EfficientNet and ViT against Hugging Face transformers: stages and logits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax.models import create_model
from asae_jax.models.backbones.efficientnet import scaled
from asae_jax.models.backbones.vit import positions
from tests.models.branches import run_in_branches
from tests.quick import quick_options
from tests.reference import huggingface

CLASSES = 7
OPTIONS = {
    "convnext_tiny": {"stage_sizes": huggingface.ConvNext.stage_sizes},
    "efficientnet_b0": {"repeats": huggingface.EfficientNet.repeats},
    "vit_small": {"stage_sizes": huggingface.ViT.stage_sizes},
}


def _model(name, **options):
    return create_model(name, CLASSES, width=huggingface.WIDTH, **OPTIONS[name], **options)


@functools.cache
def _oracle(name):
    """The oracle, and its variables."""
    oracle = huggingface.make(name, CLASSES).double()
    return oracle, oracle.variables(oracle.state_dict())


def _images():
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3))
    return images, torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", OPTIONS)
def test_stages_and_logits_agree_with_transformers(name):
    images, torch_images = _images()
    oracle, variables = _oracle(name)
    model = _model(name, dtype=jnp.float64)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    assert jax.tree.map(np.shape, variables) == jax.tree.map(jnp.shape, shapes)

    endpoints, logits = run_in_branches(model, variables, images)
    with torch.no_grad():
        expected = {stage: x.numpy() for stage, x in oracle.endpoints(torch_images).items()}
    _assert_close(logits, np.stack([expected["logits"], expected.pop("logits")[::-1]]))
    assert endpoints.keys() == expected.keys()
    for stage, features in expected.items():
        features = features.transpose(0, 2, 3, 1)
        in_branches = stage in ("layer3", "layer4")
        _assert_close(endpoints[stage], np.stack([features, features[::-1]]) if in_branches else features)


def _assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, atol=1e-11 * abs(expected).max(), rtol=0)


@pytest.mark.usefixtures("float64")
def test_after_layer3_of_convnext_the_enhanced_branch_is_the_plain_one_and_the_suppressed_is_not():
    """The norm in front of layer4 takes out what the enhancement multiplied each cell by."""
    branches = {"branches": ("plain", "enhance", "suppress"), "area": 4}
    options = {"stage_sizes": (0, 0, 0, 1), "branching": "asae", "branching_options": branches}
    model = create_model("convnext_tiny", CLASSES, width=huggingface.WIDTH, dtype=jnp.float64, **options)
    apply = functools.partial(model.apply, train=True, rngs={"asae": jax.random.key(0)})
    run = jax.jit(apply, compiler_options=quick_options())
    plain, enhanced, suppressed = run(_oracle("convnext_tiny")[1], _images()[0])
    np.testing.assert_allclose(enhanced, plain, atol=1e-4)
    assert abs(suppressed - plain).max() > 0.05


def test_positions_are_sines_and_cosines_of_column_and_row():
    grid = positions(3, 5, 12)
    assert grid.shape == (3, 5, 12)
    assert grid.dtype == np.float32
    for row in range(3):
        for col in range(5):
            expected = [wave(c * f) for c in (col, row) for wave in (np.sin, np.cos) for f in (1, 1e-2, 1e-4)]
            np.testing.assert_allclose(grid[row, col], expected, rtol=1e-6)


def test_a_vision_transformer_takes_any_image_size_and_the_positions_matter():
    model = create_model("vit_small", CLASSES, width=4, stage_sizes=(1, 0, 0, 0), stem="small")
    variables = jax.tree.map(
        lambda leaf: np.random.default_rng(0).normal(0, 0.2, leaf.shape).astype(np.float32),
        jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), train=False)),
    )
    images = np.random.default_rng(1).normal(size=(1, 8, 12, 3)).astype(np.float32)
    apply = jax.jit(functools.partial(model.apply, train=False), compiler_options=quick_options())
    assert abs(apply(variables, images) - apply(variables, images[:, ::-1])).max() > 1e-3


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    # The second: 36 would round to 32, which is more than 10 % off.
    [(32, 64, 32), (144, 16, 40), (16, 32, 8), (16, 4, 8), (1280, 80, 1600)],
)
def test_channels_of_efficientnet_are_rounded_to_multiples_of_8(channels, width, expected):
    assert scaled(channels, width) == expected
