"""What `create_model` makes: exact sizes, map sizes per stem, and refusals."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import pytest

from asae_jax.config import SIGNED
from asae_jax.errors import UserError
from asae_jax.models import MODELS, create_model
from tests.inference.explain.made import random_variables


def _vgg16_parameters(*, norm):
    """3 x 3 convolutions with biases, two numbers per channel and norm, 512 -> 1000 with biases."""
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    convs = sum(9 * a * b + b for a, b in pairwise(widths))
    return convs + norm * 2 * sum(widths[1:]) + 512 * 1000 + 1000


def _nonlocal_parameters(*widths):
    """Three linear maps to half the channels, one back, all with biases; scale and bias of the norm."""
    return sum(3 * (c + 1) * (c // 2) + (c // 2 + 1) * c + 2 * c for c in widths)


def _convs_and_norms(*convs):
    """(side, channels in, channels out) of each convolution without bias, and the norm after it."""
    return sum(side**2 * a * b + 2 * b for side, a, b in convs)


def _linear(*widths):
    return sum((a + 1) * b for a, b in pairwise(widths))


def _wbcnet_parameters():
    alexnet = _convs_and_norms((11, 3, 96), (5, 96, 256), (3, 256, 384), (3, 384, 384), (3, 384, 256))
    residuals = _convs_and_norms((3, 96, 96), (3, 256, 256), (3, 256, 256))
    return alexnet + residuals + _linear(256, 4096, 4096, 1000)


def _cell3net_parameters():
    pairs = ((64, 128), (128, 256), (256, 512))
    residuals = (_convs_and_norms((3, a, b), (3, b, b), (1, a, b)) for a, b in pairs)
    return _convs_and_norms((7, 3, 64)) + sum(residuals) + _linear(512, 1024, 1024, 1000)


# With 1000 classes. ResNet, EfficientNet: torchvision's published numbers, as ConvNeXt's; SE-ResNet: timm's;
# ViT: timm's without its class token and the 197 positions.
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "se_resnet18": 11_778_592,
    "se_resnet50": 28_088_024,
    "nl_resnet18": 11_689_512 + _nonlocal_parameters(128, 256),
    "nl_resnet50": 25_557_032 + _nonlocal_parameters(512, 512, 1024, 1024, 1024),
    "adl_resnet18": 11_689_512,
    "adl_resnet50": 25_557_032,
    "vgg16": _vgg16_parameters(norm=False),
    "vgg16_bn": _vgg16_parameters(norm=True),
    "wbcnet": _wbcnet_parameters(),
    "cell3net": _cell3net_parameters(),
    "convnext_tiny": 28_589_128,
    "efficientnet_b0": 5_288_548,
    "tf_efficientnet_b0": 5_288_548,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "vit_small": 22_050_664 - 384 - 197 * 384,
    # timm's, for the map of 64 px, the token with its position in one, the head of token and patches.
    "vit_small16": 22_050_664 - 197 * 384 + 16 * 384 + 384 * 1000,
    "vit_base16": 86_567_656 - 197 * 768 + 16 * 768 + 768 * 1000,
    # DINOv2's (the authors' without mask token), with such a head.
    "vit_small14": 22_056_576 - 384 - 1370 * 384 + 16 * 384 + (2 * 384 + 1) * 1000,
    "vit_base14": 86_580_480 - 768 - 1370 * 768 + 16 * 768 + (2 * 768 + 1) * 1000,
    "vit_large14": 304_368_640 - 1024 - 1370 * 1024 + 16 * 1024 + (2 * 1024 + 1) * 1000,
}


def test_no_model_is_missing_from_the_parameter_table():
    assert PARAMETERS.keys() == MODELS.keys()


def _shapes(model, size):
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images), images


@pytest.mark.parametrize(("name", "branching"), [*((name, "asae") for name in MODELS), ("resnet50", None)])
def test_parameter_counts_are_exact_with_and_without_the_layer(name, branching):
    params = _shapes(create_model(name, 1000, branching=branching), 64)[0]["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == PARAMETERS[name]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}


OTHERS = ["wbcnet", "cell3net", "convnext_tiny", "efficientnet_b0", "efficientnet_lite2", "vit_small"]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16", "vgg16_bn", *OTHERS])
@pytest.mark.parametrize(("stem", "side"), [("imagenet", 4), ("no_pool", 8), ("small", 16)])
def test_stems_decide_the_map_after_layer3(name, stem, side):
    model = create_model(name, 5, stem=stem, width=8)
    variables, images = _shapes(model, 64)
    apply = partial(model.apply, train=False, return_endpoints=True)
    logits, endpoints = jax.eval_shape(apply, variables, images)
    assert endpoints["layer3"].shape[1:3] == (side, side)
    assert logits.shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "width", "size"),
    [
        *((name, 8, 32) for name in (
            "resnet18", "resnet50", "se_resnet18", "nl_resnet18", "adl_resnet18", "vgg16", "vgg16_bn",
            "wbcnet", "cell3net", "convnext_tiny", "efficientnet_b0", "tf_efficientnet_b0",
            "efficientnet_lite0",
        )),
        ("vit_small", 48, 32), ("vit_small16", 48, 32), ("vit_small14", 48, 28),
    ],
)  # fmt: skip
def test_attention_is_a_mean_of_magnitudes_where_signs_would_cancel(name, width, size):
    """Of features that are not negative the mean and the mean of the magnitudes are the same."""
    model = create_model(name, 3, width=width, stem="imagenet", branching="asae")
    images = jax.random.normal(jax.random.key(0), (2, size, size, 3))
    variables = random_variables(model, size)
    endpoints = jax.jit(partial(model.apply, train=False, return_endpoints=True))(variables, images)[1]
    for stage in ("layer0", "layer3"):
        features = endpoints[stage]
        cancelled = abs(features.mean()) < 0.5 * abs(features).mean()
        assert model.attention == model.branching.attention == ("magnitude" if cancelled else "mean")
    assert name.startswith(SIGNED) == (model.attention == "magnitude")
    assert create_model(name, 3, width=width, attention="mean", branching="asae").shown_attention == "mean"


def test_class_maps_have_both_signs_in_every_network_and_the_mean_is_the_paper_s():
    for name in ("resnet18", "efficientnet_lite0"):
        model = create_model(name, 3, width=8, branching="asae", insert_after="class_maps")
        assert model.attention == model.branching.attention == "mean"
        assert model.watched_stage == "layer4"


def test_what_is_shown_is_the_layer_s_attention():
    options = {"attention": "magnitude"}
    model = create_model("resnet18", 3, width=8, branching="asae", branching_options=options)
    assert model.shown_attention == model.branching.attention == "magnitude"
    assert create_model("resnet18", 3, width=8, attention="magnitude").shown_attention == "magnitude"


def test_unknown_names_are_refused_with_the_list():
    with pytest.raises(UserError, match="resnet18, resnet34, resnet50"):
        create_model("resnet19", 5)
    with pytest.raises(UserError, match="asae"):
        create_model("resnet18", 5, branching="cutout")
    with pytest.raises(UserError, match="layer0, layer1, layer2, layer3, layer4"):
        create_model("resnet18", 5, insert_after="layer5")
    with pytest.raises(UserError, match="skip, enhance, mean"):
        create_model("resnet18", 5, test_mode="both")
    for name in ("resnet18", "vgg16"):
        with pytest.raises(UserError, match="no_pool"):
            create_model(name, 5, stem="tiny")
    with pytest.raises(UserError, match="vgg16_bn"):
        create_model("vgg16", 5, norm="group")


def test_unknown_options_are_not_swallowed():
    with pytest.raises(TypeError, match="depth"):
        create_model("resnet18", 5, depth=3)
    with pytest.raises(TypeError, match="radius"):
        create_model("resnet18", 5, branching="asae", branching_options={"radius": 5})
