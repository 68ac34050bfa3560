"""EfficientNet, ConvNeXt and vision transformers under the names of the libraries that publish them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from asae_jax.errors import UserError
from asae_jax.models import create_model
from asae_jax.models.torch_spellings import SPELLINGS, TIMM, places_of
from asae_jax.models.weights import from_torch, to_torch
from tests.models.branches import run_in_branches
from tests.reference import huggingface

CLASSES = 7
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")

# Some names of each library's state dict (torchvision 0.28, timm 1.0.31, transformers 5, lukemelas 0.7), with
# the tensor's shape, and how many tensors there are (without the counters of batch normalisation).
KNOWN = {
    ("efficientnet_b0", "torchvision"): (
        311,
        {
            "features.0.0.weight": (32, 3, 3, 3),
            "features.1.0.block.0.0.weight": (32, 1, 3, 3),
            "features.1.0.block.1.fc1.bias": (8,),
            "features.1.0.block.2.1.running_var": (16,),
            "features.4.2.block.3.0.weight": (80, 480, 1, 1),
            "features.5.0.block.1.0.weight": (480, 1, 5, 5),
            "features.7.0.block.2.fc2.weight": (1152, 48, 1, 1),
            "features.8.1.running_mean": (1280,),
            "classifier.1.weight": (1000, 1280),
        },
    ),
    ("efficientnet_b0", "timm"): (
        311,
        {
            "blocks.0.0.bn1.running_mean": (32,),
            "blocks.0.0.conv_pw.weight": (16, 32, 1, 1),
            "blocks.0.0.se.conv_reduce.weight": (8, 32, 1, 1),
            "blocks.3.2.conv_pwl.weight": (80, 480, 1, 1),
            "blocks.6.0.se.conv_expand.bias": (1152,),
        },
    ),
    ("efficientnet_lite0", "timm"): (
        247,
        {
            "conv_stem.weight": (32, 3, 3, 3),
            "bn1.weight": (32,),
            "blocks.0.0.bn2.running_mean": (16,),
            "blocks.1.0.conv_pw.weight": (96, 16, 1, 1),
            "blocks.1.0.bn2.weight": (96,),
            "blocks.6.0.conv_pwl.weight": (320, 1152, 1, 1),
            "blocks.6.0.bn3.running_mean": (320,),
            "conv_head.weight": (1280, 320, 1, 1),
            "bn2.bias": (1280,),
            "classifier.weight": (1000, 1280),
        },
    ),
    ("efficientnet_lite0", "lukemelas"): (
        247,
        {
            "_conv_stem.weight": (32, 3, 3, 3),
            "_bn0.weight": (32,),
            "_blocks.0._depthwise_conv.weight": (32, 1, 3, 3),
            "_blocks.0._bn1.bias": (32,),
            "_blocks.15._bn2.running_var": (320,),
            "_conv_head.weight": (1280, 320, 1, 1),
            "_bn1.running_mean": (1280,),
            "_fc.bias": (1000,),
        },
    ),
    ("convnext_tiny", "torchvision"): (
        182,
        {
            "features.0.0.weight": (96, 3, 4, 4),
            "features.1.0.block.0.weight": (96, 1, 7, 7),
            "features.1.2.block.3.weight": (384, 96),
            "features.2.1.weight": (192, 96, 2, 2),
            "features.7.2.block.2.bias": (768,),
            "classifier.0.bias": (768,),
            "classifier.2.weight": (1000, 768),
        },
    ),
    ("convnext_tiny", "timm"): (
        182,
        {
            "stem.0.bias": (96,),
            "stem.1.weight": (96,),
            "stages.0.blocks.0.gamma": (96,),
            "stages.1.downsample.0.weight": (96,),
            "stages.1.downsample.1.weight": (192, 96, 2, 2),
            "stages.3.blocks.2.conv_dw.weight": (768, 1, 7, 7),
            "stages.3.blocks.1.mlp.fc2.bias": (768,),
            "head.norm.weight": (768,),
            "head.fc.weight": (1000, 768),
        },
    ),
    ("convnext_tiny", "facebookresearch"): (
        182,
        {
            "downsample_layers.0.0.weight": (96, 3, 4, 4),
            "downsample_layers.3.1.weight": (768, 384, 2, 2),
            "stages.2.8.pwconv1.weight": (1536, 384),
            "stages.0.0.gamma": (96,),
            "norm.weight": (768,),
            "head.bias": (1000,),
        },
    ),
}


def _shapes(model):
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {tuple(key.key for key in path): leaf.shape for path, leaf in leaves}


@pytest.mark.parametrize(("model", "source"), KNOWN)
def test_names_and_shapes_are_the_library_s(model, source):
    count, known = KNOWN[model, source]
    shapes = _shapes(create_model(model, 1000))
    spelling = next(spelling for spelling in SPELLINGS[model] if spelling.source == source)
    named = {spelling.name(path, places_of(shapes)): shape for path, shape in shapes.items()}
    assert len(named) == len(shapes) == count
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    for name, shape in known.items():
        assert tuple(named[name][axis] for axis in order[len(shape)]) == shape


@pytest.mark.parametrize("model", TIMM)
def test_efficientnets_are_written_under_timm_s_names_and_come_back(model):
    network = create_model(model, CLASSES)
    images = np.zeros((1, 64, 64, 3), np.float32)
    like = jax.eval_shape(lambda: network.init(jax.random.key(0), images, train=False))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda array: rng.uniform(0.5, 1, array.shape).astype(np.float32), like)
    tensors = to_torch(variables["params"], variables["batch_stats"], model)
    counters = {name for name in tensors if name.endswith("num_batches_tracked")}
    assert {name.replace("num_batches_tracked", "running_var") for name in counters} <= tensors.keys()
    known = KNOWN.get((model, "timm"), (len(tensors) - len(counters), {}))
    assert len(tensors) - len(counters) == known[0]
    assert known[1].keys() <= tensors.keys()
    weights = from_torch(tensors, like, model)
    assert weights.missing == weights.unused == ()
    jax.tree.map(np.testing.assert_array_equal, weights.put_into(like), variables)


@pytest.mark.parametrize("width", [8, 16, 40, 64])
@pytest.mark.parametrize("model", TIMM)
def test_narrow_efficientnets_have_the_groups_of_wide_ones(model, width):
    """Rounded to multiples of 8, the channels of neighbouring groups may be equal."""
    repeats = (1, 2, 2, 3, 3, 4, 1) if model.endswith("0") else (1, 3, 3, 4, 4, 5, 1)
    places = places_of(_shapes(create_model(model, CLASSES, width=width))).values()
    wanted = [(group, number) for group, count in enumerate(repeats) for number in range(count)]
    assert [(place.group, place.in_group) for place in places] == wanted


def _from_transformers(name, model):
    """Names of Hugging Face transformers, below the oracle's `model.`, as timm has them."""
    if model == "convnext_tiny":
        name = re.sub(r"model\.(convnext\.)?", "", name)
        for there, here in (
            (r"embeddings\.patch_embeddings", "stem.0"),
            (r"embeddings\.layernorm", "stem.1"),
            (r"encoder\.stages\.(\d)\.downsampling_layer", r"stages.\1.downsample"),
            (r"encoder\.stages\.(\d)\.layers\.(\d)\.", r"stages.\1.blocks.\2."),
            (r"dwconv", "conv_dw"),
            (r"pwconv", "mlp.fc"),
            (r"layer_scale_parameter", "gamma"),
            (r"(blocks.*)\.layernorm", r"\1.norm"),
            (r"^layernorm", "head.norm"),
            (r"^classifier", "head.fc"),
        ):
            name = re.sub(there, here, name)
    return name


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("wrapped", ["", "module."])
@pytest.mark.parametrize("source", ["Hugging Face", "timm"])
def test_convnext_of_transformers_gives_its_logits(source, wrapped):
    oracle = huggingface.make("convnext_tiny", CLASSES).double()
    rename = (lambda name, _: name) if source == "Hugging Face" else _from_transformers
    tensors = {wrapped + rename(n, "convnext_tiny"): t.numpy() for n, t in oracle.state_dict().items()}
    sizes = {"stage_sizes": huggingface.ConvNext.stage_sizes}
    _assert_logits(oracle, tensors, "convnext_tiny", **sizes)


@pytest.mark.usefixtures("float64")
def test_an_efficientnet_of_tensorflow_gives_the_logits_of_transformers():
    """One-sided padding, and 1e-3 in the norms."""
    oracle = huggingface.make("tf_efficientnet_b0", CLASSES).double()
    tensors = {re.sub("^fc", "classifier", name): t.numpy() for name, t in oracle.state_dict().items()}
    _assert_logits(oracle, tensors, "tf_efficientnet_b0", repeats=huggingface.EfficientNet.repeats)


def _assert_logits(oracle, tensors, name, **options):
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3))
    model = create_model(name, CLASSES, width=huggingface.WIDTH, dtype=jnp.float64, **options)
    like = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    weights = from_torch(tensors, like, name)
    assert weights.missing == weights.unused == ()
    variables = jax.tree.map(np.float64, weights.put_into(like))
    _, logits = run_in_branches(model, variables, images)
    with torch.no_grad():
        expected = oracle.endpoints(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))["logits"].numpy()
    # The weights became float32 on their way.
    np.testing.assert_allclose(logits[0], expected, atol=1e-5 * abs(expected).max(), rtol=0)


def test_a_deeper_convnext_and_another_architecture_are_refused_by_the_first_difference():
    def tensors(model, source):
        shapes = _shapes(model)
        spelling = next(s for s in SPELLINGS["convnext_tiny"] if s.source == source)
        order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
        return {
            spelling.name(path, places_of(shapes)): np.zeros([shape[axis] for axis in order[len(shape)]])
            for path, shape in shapes.items()
        }

    def refuse(like, found, name, match):
        variables = jax.eval_shape(
            lambda: like.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)
        )
        with pytest.raises(UserError, match=f"^the weights does not fit {name}: {match}"):
            from_torch(found, variables, name)

    small = create_model("convnext_tiny", 5, width=8, stage_sizes=(1, 1, 1, 1))
    deep = create_model("convnext_tiny", 5, width=8, stage_sizes=(1, 2, 1, 1))
    for source, name in (("timm", "stages.1.blocks.1"), ("torchvision", "features.3.1")):
        refuse(small, tensors(deep, source), "convnext_tiny", rf"{name}.* has no place in this network")
        refuse(deep, tensors(small, source), "convnext_tiny", rf"{name}.* is missing there")
    lite = create_model("efficientnet_lite0", 5, width=8)
    refuse(lite, tensors(small, "timm"), "efficientnet_lite0", "_conv_stem.weight is missing there")


def _dinov2():
    """A small DINOv2 whose parameters all differ, for images of 70 px."""
    config = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=6, image_size=70, num_labels=CLASSES
    )
    return _random(transformers.Dinov2ForImageClassification(config))


def _random(oracle):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.normal_(0, 0.5)
    return oracle.double().eval()


def _assert_vit_logits(oracle, name, side, tensors):
    images = np.random.default_rng(0).normal(size=(2, side, side, 3))
    options = {"width": 4, "stage_sizes": (1, 1, 1, 1), "dtype": jnp.float64}
    model = create_model(name, CLASSES, **options)
    like = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    weights = from_torch(tensors, like, name)
    assert weights.missing == ()
    variables = jax.tree.map(np.float64, weights.put_into(like))
    endpoints, logits = run_in_branches(model, variables, images)
    with torch.no_grad():
        arguments = {"interpolate_pos_encoding": True} if name.endswith("16") else {}
        torch_images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        expected = oracle(torch_images, output_hidden_states=True, **arguments)
    wanted = expected.logits.numpy()
    # The weights became float32 on their way, and the oracle interpolates in it.
    np.testing.assert_allclose(logits[0], wanted, atol=2e-5 * abs(wanted).max(), rtol=0)
    hidden = expected.hidden_states[2].numpy()  # behind the second block
    token, patches = np.split(np.asarray(endpoints["layer2"]), 2, axis=-1)
    atol = 2e-5 * abs(hidden).max()
    np.testing.assert_allclose(patches.reshape(2, -1, 24), hidden[:, 1:], atol=atol, rtol=0)
    np.testing.assert_allclose(token, np.broadcast_to(hidden[:, :1, None], token.shape), atol=atol, rtol=0)
    return weights


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("side", [70, 98, 42])
def test_dinov2_gives_features_and_logits_of_transformers_at_any_size(side):
    """As trained, and with positions interpolated to a larger and to a smaller map."""
    oracle = _dinov2()
    tensors = {key: value.numpy() for key, value in oracle.state_dict().items()}
    assert _assert_vit_logits(oracle, "vit_small14", side, tensors).unused == (
        "dinov2.embeddings.mask_token",
    )


@pytest.mark.parametrize(
    "name", ["dinov2_with_registers.embeddings.register_tokens", "register_tokens", "reg_token"]
)
def test_dinov2_with_registers_is_refused(name):
    """Whatever the names of the library; without the registers every other weight would fit."""
    tensors = {key: value.numpy() for key, value in _dinov2().state_dict().items()}
    model = create_model("vit_small14", CLASSES, width=4, stage_sizes=(1, 1, 1, 1))
    like = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 70, 70, 3)), train=False))
    assert from_torch(tensors, like, "vit_small14").missing == ()
    with pytest.raises(
        UserError, match=r"^x\.pth is a vision transformer with registers.* give the weights without"
    ):
        from_torch(tensors | {name: np.ones((1, 4, 24))}, like, "vit_small14", origin="x.pth")


@pytest.mark.usefixtures("float64")
def test_a_checkpoint_of_dinobloom_s_form_gives_the_same_network():
    oracle = _dinov2()
    tensors = _of_the_authors(oracle) | {"dino_head.mlp.0.weight": np.ones((3, 3))}
    weights = _assert_vit_logits(oracle, "vit_small14", 56, tensors)
    assert weights.unused == ("backbone.mask_token", "dino_head.mlp.0.weight")


@pytest.mark.parametrize(
    ("name", "tensor", "fault"),
    [
        (
            "blocks.0.attn.qkv.lora_A.weight",
            np.ones((4, 24)),
            r"blocks\.0\.attn\.qkv\.lora_A\.weight has no place",
        ),
        (
            "blocks.0.attn.qkv.linear_a_q.weight",
            np.ones((6, 24)),
            r"blocks\.0\.attn\.qkv\.linear_a_q\.weight has no place",
        ),
        ("blocks.0.attn.qkv.weight_scale", np.array(2.0), r"blocks\.0\.attn\.qkv\.weight_scale has no place"),
        ("pos_embed", np.ones((1, 26, 12)), "positions is missing there"),
        ("pos_embed", np.ones((1, 24, 5, 5)), "positions is missing there"),
        ("pos_embed", np.ones((1, 0, 24)), "positions is missing there"),
        ("pos_embed", np.ones(24), "positions is missing there"),
        ("pos_embed", np.array(0.0), "positions is missing there"),
    ],
)
def test_adapters_and_odd_positions_of_a_vision_transformer_are_refused_by_name(name, tensor, fault):
    model = create_model("vit_small14", CLASSES, width=4, stage_sizes=(1, 1, 1, 1))
    like = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 70, 70, 3)), train=False))
    tensors = _of_the_authors(_dinov2())
    assert from_torch(tensors, like, "vit_small14").missing == ()
    with pytest.raises(UserError, match=f"^x.pth does not fit vit_small14: {fault}"):
        from_torch(tensors | {f"backbone.{name}": tensor}, like, "vit_small14", origin="x.pth")


def _of_the_authors(oracle):
    """Names of DINOv2's authors below `backbone.`, and one matrix for query, key and value."""
    tensors = {}
    for key, value in oracle.state_dict().items():
        for there, here in (
            (
                r"^dinov2\.(encoder\.layer\.(\d+)\.)?",
                lambda m: f"backbone.blocks.{m[2]}." if m[1] else "backbone.",
            ),
            (r"embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
            (r"embeddings\.cls_token", "cls_token"),
            (r"embeddings\.mask_token", "mask_token"),
            (r"embeddings\.position_embeddings", "pos_embed"),
            (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
            (r"attention\.o_proj", "attn.proj"),
            (r"backbone\.layernorm", "backbone.norm"),
            (r"^classifier", "backbone.head"),
        ):
            key = re.sub(there, here, key)
        tensors[key] = value.numpy()
    for i in range(4):
        for leaf in ("weight", "bias"):
            names = [f"backbone.blocks.{i}.attention.{part}_proj.{leaf}" for part in "qkv"]
            tensors[f"backbone.blocks.{i}.attn.qkv.{leaf}"] = np.concatenate([tensors.pop(n) for n in names])
    return tensors


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("version", [4, 5])
def test_a_vision_transformer_of_transformers_gives_its_logits(version):
    """Its head sees the class token alone. Files still have the names of version 4."""
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=6, intermediate_size=96, image_size=80,
        num_labels=CLASSES, layer_norm_eps=1e-6,
    )  # fmt: skip
    oracle = _random(transformers.ViTForImageClassification(config))
    tensors = {key: value.numpy() for key, value in oracle.state_dict().items()}
    if version == 4:
        for there, here in (
            (r"vit\.layers", "vit.encoder.layer"),
            (r"attention\.q_proj", "attention.attention.query"),
            (r"attention\.k_proj", "attention.attention.key"),
            (r"attention\.v_proj", "attention.attention.value"),
            (r"attention\.o_proj", "attention.output.dense"),
            (r"mlp\.fc1", "intermediate.dense"),
            (r"mlp\.fc2", "output.dense"),
        ):
            tensors = {re.sub(there, here, key): value for key, value in tensors.items()}
    assert _assert_vit_logits(oracle, "vit_small16", 64, tensors).unused == ()


def test_a_deeper_vision_transformer_and_one_without_layer_scale_are_refused():
    tensors = {key: value.numpy() for key, value in _dinov2().state_dict().items()}
    for name, depth, first in (
        ("vit_small14", 3, r"blocks\.3\.\S+ has no place in this network"),
        ("vit_small14", 5, r"blocks\.4\.\S+ is missing there"),
        ("vit_small16", 4, r"patch_embed\.proj\.weight is 24 x 3 x 14 x 14 there and 24 x 3 x 16 x 16 here"),
    ):
        model = create_model(name, CLASSES, width=4, stage_sizes=(1, 1, 1, depth - 3))
        like = jax.eval_shape(
            lambda m=model: m.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)
        )
        with pytest.raises(UserError, match=f"does not fit {name}: {first}"):
            from_torch(tensors, like, name)
    plain = create_model("vit_small14", CLASSES, width=4, stage_sizes=(1, 1, 1, 1), layer_scale=0.0)
    like = jax.eval_shape(lambda: plain.init(jax.random.key(0), jnp.zeros((1, 70, 70, 3)), train=False))
    with pytest.raises(UserError, match=r"blocks\.0\.ls1\.gamma has no place in this network"):
        from_torch(tensors, like, "vit_small14")
