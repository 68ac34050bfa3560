"""What every backbone other than ResNet and VGG has to do, and the two reconstructed cell classifiers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax.errors import UserError
from asae_jax.models import create_model
from tests.models.branches import run_in_branches
from tests.reference import cell_classifiers

CLASSES = 5
OPTIONS = {
    "wbcnet": {},
    "cell3net": {},
    "convnext_tiny": {"stage_sizes": (1, 1, 1, 1)},
    "efficientnet_b0": {"repeats": (1,) * 7},
    "efficientnet_lite2": {"repeats": (1,) * 7},
    "vit_small": {"stage_sizes": (1, 1, 1, 1)},
}
STAGES = ("layer0", "layer1", "layer2", "layer3", "layer4")


def _model(name, **options):
    return create_model(name, CLASSES, width=8, **OPTIONS[name], **options)


def _images(*leading, side=32):
    return np.random.default_rng(0).normal(size=(*leading, side, side, 3)).astype(np.float32)


def _shapes(model, images):
    return jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))


@pytest.mark.parametrize("insert_after", ["layer0", "layer4"])
@pytest.mark.parametrize("name", OPTIONS)
def test_the_layer_fits_after_any_stage_in_bfloat16_too(name, insert_after):
    images = _images(3)
    model = _model(name, stem="no_pool", branching="asae", insert_after=insert_after, dtype=jnp.bfloat16)
    variables = _shapes(model, images)
    apply = partial(
        model.apply,
        train=True,
        return_endpoints=True,
        mutable=["batch_stats"],
        rngs={"asae": jax.random.key(0)},
    )
    (logits, endpoints), updated = jax.eval_shape(apply, variables, images)
    assert (logits.shape, logits.dtype) == ((2, 3, CLASSES), jnp.float32)
    for stage in STAGES:
        assert endpoints[stage].ndim == (5 if stage > insert_after else 4)
        assert endpoints[stage].dtype == jnp.bfloat16
    assert updated.get("batch_stats", {}) == variables.get("batch_stats", {})
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", cell_classifiers.MODELS)
def test_reconstructed_classifiers_agree_with_torch(name):
    oracle = cell_classifiers.make(name, CLASSES).double()
    images, variables = _images(2, side=64).astype(np.float64), oracle.variables()
    model = _model(name, dtype=jnp.float64)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(jnp.shape, _shapes(model, images))
    with torch.no_grad():
        expected = oracle(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    _, logits = run_in_branches(model, variables, images)
    np.testing.assert_allclose(logits, np.stack([expected, expected[::-1]]), atol=1e-11, rtol=0)


def test_what_a_backbone_cannot_do_is_refused_in_one_line():
    for name in ("convnext_tiny", "vit_small"):
        with pytest.raises(UserError, match=r"norm is 'group', but .* of its own: leave it at 'batch'"):
            create_model(name, CLASSES, norm="group")
    with pytest.raises(UserError, match=r"width is 7.*even"):
        create_model("vit_small", CLASSES, width=7)
    with pytest.raises(UserError, match="nothing is left of 16 x 16 images after layer4"):
        _shapes(_model("convnext_tiny"), _images(1, side=16))
    for name in OPTIONS:
        with pytest.raises(UserError, match="no_pool"):
            create_model(name, CLASSES, stem="tiny")
