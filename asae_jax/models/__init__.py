"""Models by name: `create_model("resnet50", 14, branching="asae")`."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from asae_jax.errors import UserError
from asae_jax.models.asae import ASAE
from asae_jax.models.backbones.base import Backbone
from asae_jax.models.backbones.cell_classifiers import Cell3Net, WBCNet
from asae_jax.models.backbones.convnext import ConvNeXt
from asae_jax.models.backbones.efficientnet import LITE, TENSORFLOW, EfficientNet
from asae_jax.models.backbones.resnet import BasicBlock, Bottleneck, ResNet
from asae_jax.models.backbones.token_vit import TokenViT
from asae_jax.models.backbones.vgg import VGG
from asae_jax.models.backbones.vit import ViT
from asae_jax.models.baselines.attention import adl_resnet, nl_resnet, se_resnet
from asae_jax.models.baselines.drop_layers import (
    ADL,
    DiversificationBlock,
    DropBlock,
    Dropout,
    MaxDrop,
    SpatialDropout,
    TrainingLayer,
)
from asae_jax.models.layers import Norm, check_choice, make_norm
from asae_jax.models.network import CLASS_MAPS, Network

# Rows of blocks of EfficientNet-Lite1 and -Lite2: the first and the last one keep their single block.
_DEEPER = (1, 3, 3, 4, 4, 5, 1)

_DINOV2: dict[str, Any] = {"patch_size": 14, "layer_scale": 1e-5}

# Called with num_classes, norm (what `make_norm` gives, or None) and the backbone's own options.
MODELS: dict[str, Callable[..., Backbone]] = {
    "resnet18": partial(ResNet, block=BasicBlock, stage_sizes=(2, 2, 2, 2)),
    "resnet34": partial(ResNet, block=BasicBlock, stage_sizes=(3, 4, 6, 3)),
    "resnet50": partial(ResNet, block=Bottleneck, stage_sizes=(3, 4, 6, 3)),
    "resnet101": partial(ResNet, block=Bottleneck, stage_sizes=(3, 4, 23, 3)),
    "se_resnet18": partial(se_resnet, block=BasicBlock, stage_sizes=(2, 2, 2, 2)),
    "se_resnet50": partial(se_resnet, block=Bottleneck, stage_sizes=(3, 4, 6, 3)),
    "nl_resnet18": partial(nl_resnet, block=BasicBlock, stage_sizes=(2, 2, 2, 2)),
    "nl_resnet50": partial(nl_resnet, block=Bottleneck, stage_sizes=(3, 4, 6, 3)),
    "adl_resnet18": partial(adl_resnet, block=BasicBlock, stage_sizes=(2, 2, 2, 2)),
    "adl_resnet50": partial(adl_resnet, block=Bottleneck, stage_sizes=(3, 4, 6, 3)),
    "vgg16": VGG,
    "vgg16_bn": VGG,
    "wbcnet": WBCNet,
    "cell3net": Cell3Net,
    "convnext_tiny": ConvNeXt,
    "efficientnet_b0": EfficientNet,
    "tf_efficientnet_b0": partial(EfficientNet, kind=TENSORFLOW),
    "efficientnet_lite0": partial(EfficientNet, kind=LITE),
    "efficientnet_lite1": partial(EfficientNet, kind=LITE, repeats=_DEEPER),
    "efficientnet_lite2": partial(EfficientNet, kind=LITE, repeats=_DEEPER, widening=1.1),
    "vit_small": ViT,
    "vit_small16": TokenViT,
    "vit_base16": partial(TokenViT, heads=12),
    "vit_small14": partial(TokenViT, **_DINOV2),
    "vit_base14": partial(TokenViT, heads=12, **_DINOV2),
    "vit_large14": partial(TokenViT, heads=16, stage_sizes=(6, 6, 6, 6), **_DINOV2),
}
# Models without a choice of normalisation, and what to do about it.
WITHOUT_NORM = {
    "vgg16": "has no normalisation layers: use vgg16_bn",
    "convnext_tiny": "has layer normalisation of its own: leave it at 'batch'",
    **dict.fromkeys(
        ("vit_small", "vit_small16", "vit_base16", "vit_small14", "vit_base14", "vit_large14"),
        "has layer normalisation of its own: leave it at 'batch'",
    ),
}
BRANCHINGS: dict[str, Callable[..., ASAE | TrainingLayer]] = {
    "asae": ASAE,
    "dropout": Dropout,
    "spatial_dropout": SpatialDropout,
    "maxdrop": MaxDrop,
    "dropblock": DropBlock,
    "adl": ADL,
    "diversification": DiversificationBlock,
}


def create_model(
    name: str,
    num_classes: int,
    *,
    norm: str = "batch",
    branch_statistics: str = "separate",
    running_branch: int | None = None,
    branch_affine: str = "shared",
    branching: str | None = None,
    branching_options: Mapping[str, Any] | None = None,
    insert_after: str = "layer3",
    test_mode: str = "skip",
    freeze_until: str | None = None,
    look_threshold: float = 0.3,
    attention: str = "auto",
    axis_name: str | None = None,
    **options: Any,
) -> Network:
    """A network whose `apply(variables, images, train=False)` gives logits `[batch, num_classes]`.

    Args:
      name: one of `MODELS`.
      num_classes: number of logits.
      norm: "batch", "frozen_batch" or "group", see `make_norm`.
      branch_statistics: "separate" or "joint": batch statistics per branch or over all of them.
      running_branch: number of the branch whose statistics are kept for the test; None: all of them.
      branch_affine: "separate": every other branch has its own scale and bias too, see `BatchNorm`.
      branching: None for the plain backbone, or one of `BRANCHINGS`.
      branching_options: fields of that layer, such as `num_candidates` of `ASAE` or `rate` of `Dropout`.
      insert_after: stage after which the layer is put, or "class_maps".
      test_mode: "skip", "enhance" or "mean" for "asae", or "second_look"; other layers are absent at test.
      freeze_until: last of the stages that training leaves as they are.
      look_threshold: of a second look; this and the three before are those of `Network`.
      attention: see `self_attention_map`; "auto": "magnitude" where features have both signs, else "mean".
      axis_name: device axis of the training step: batch statistics are synchronised over it, and random
        choices do not depend on how the batch is spread. Not used at test.
      **options: fields of the backbone: `stem`, `dtype`, `width`.

    Raises:
      UserError: an unknown model, layer, stage or mode.
      TypeError: an option that the backbone or the layer does not have.
    """
    check_choice("model", name, MODELS)
    norm_layer = _norm_for(name, norm, branch_statistics=branch_statistics, running_branch=running_branch,
                           branch_affine=branch_affine, axis_name=axis_name)  # fmt: skip
    backbone = MODELS[name](num_classes=num_classes, norm=norm_layer, **options)
    attention = _attention(attention, backbone, insert_after)
    layer = _layer(branching, {"axis_name": axis_name} | dict(branching_options or {}), attention)
    network = Network(backbone, layer, insert_after, test_mode, freeze_until)
    return network.clone(look_threshold=look_threshold, attention=attention)


def _attention(given: str, backbone: Backbone, insert_after: str) -> str:
    """Class maps have both signs in every network: "auto" leaves them the paper's mean."""
    if given != "auto":
        return given
    return "magnitude" if backbone.signed and insert_after != CLASS_MAPS else "mean"


def _layer(name: str | None, options: dict[str, Any], attention: str) -> ASAE | TrainingLayer | None:
    if name is None:
        return None
    check_choice("branching", name, BRANCHINGS)
    own = {"attention": attention} if name == "asae" else {}
    return BRANCHINGS[name](**own | options)


def _norm_for(name: str, norm: str, **settings: Any) -> Norm | None:
    if name not in WITHOUT_NORM:
        return make_norm(norm, **settings)
    if norm != "batch":
        raise UserError(f"norm is {norm!r}, but {name} {WITHOUT_NORM[name]}")
    if settings["branch_affine"] != "shared":
        raise UserError(
            f"branch_affine is {settings['branch_affine']!r}, but {name} has no batch normalisation: "
            "leave it at 'shared'"
        )
    return None
