"""Torchvision's name of every array of a ResNet or VGG, and how timm and transformers spell it.

The names are those of torchvision's `resnet18` .. `resnet101`, `vgg16` and `vgg16_bn`. The VGGs here have one
linear layer after global average pooling, which is torchvision's model after
`model.avgpool = AdaptiveAvgPool2d(1)` and `model.classifier = Linear(512, classes)`.
"""

import re
from collections.abc import Iterable

from asae_jax.errors import UserError

Path = tuple[str, ...]
"""Collection and keys of an array in the variables, such as `("params", "backbone", "head", "kernel")`."""

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "adl_resnet18", "adl_resnet50")
"""Models with exactly torchvision's parameters (ADL has none)."""
VGGS = ("vgg16", "vgg16_bn")

COUNTER = "num_batches_tracked"
"""Torch's counter in every batch normalisation; it is unused at a fixed momentum."""

LEAVES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("params", "bias"): "bias",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}
"""Torch's name of an array within its module, by its collection and own key."""
_CONVS_PER_STAGE = (2, 2, 3, 3, 3)


def torch_name(model: str, path: Path) -> str:
    """Torchvision's name of the array at `path`.

    Args:
      model: one of `asae_jax.models.MODELS`.
      path: collection and keys, from `"params"` or `"batch_stats"` on.

    Raises:
      UserError: torchvision has no such model.
    """
    check_has_names(model)
    collection, _, *module, leaf = path
    name = _vgg_module(model, module) if model in VGGS else _resnet_module(module)
    return f"{name}.{LEAVES[collection, leaf]}"


def check_has_names(model: str, *, also: Iterable[str] = ()) -> None:
    """Raises a UserError unless `model` has torchvision's names, or is one of `also`."""
    if model not in (known := (*RESNETS, *VGGS, *also)):
        raise UserError(
            f"weights of {model} cannot be exchanged with PyTorch: names are known for {', '.join(known)}."
        )


def is_head(path: Path) -> bool:
    """Whether the array at `path` belongs to the last linear layer."""
    return path[2] == "head"


_RANK = {
    **dict.fromkeys(("stem", "widen", "reduce", "downsample_norm", "downsample_conv"), -1),
    **dict.fromkeys(("narrow", "last", "norm_head"), 1),
}
"""What stands in front of and behind its neighbours, whatever their numbers."""


def place_in_network(path: Path) -> tuple:
    """Sorts paths by stage, block and layer, convolutions before their norms, the head last."""
    pieces = [(re.sub(r"\d", "", name), int("0" + re.sub(r"\D", "", name))) for name in path[2:-1]]
    order = [(_RANK.get(kind, 0), number, kind in ("bn", "downsample"), kind) for kind, number in pieces]
    return is_head(path), order, path[0] != "params", path[-1] != "kernel", path[-1]


def _resnet_module(module: list[str]) -> str:
    """`[layer2, block0, downsample, bn]` -> "layer2.0.downsample.1"."""
    if module[0] in ("layer0", "head"):
        return {"conv1": "conv1", "bn1": "bn1", "head": "fc"}[module[-1]]
    numbers = {"conv": "0", "bn": "1"}
    stage, block, *rest = module
    return ".".join([stage, block.removeprefix("block"), *(numbers.get(name, name) for name in rest)])


def _vgg_module(model: str, module: list[str]) -> str:
    """`[layer1, conv0]` -> "features.5": torchvision numbers convolutions, norms, ReLUs and pools."""
    if module == ["head"]:
        return "classifier"
    stage, i = int(module[0][-1]), int(module[1][-1])
    before = vgg_pool(model, stage - 1) + 1
    return f"features.{before + i * _per_conv(model) + module[1].startswith('bn')}"


def vgg_pool(model: str, stage: int) -> int:
    """Place of the pool behind a stage (0..4) in `features` of torchvision's `model`; -1 for stage -1."""
    return sum(convs * _per_conv(model) + 1 for convs in _CONVS_PER_STAGE[: stage + 1]) - 1


def _per_conv(model: str) -> int:
    """Modules of a convolution with what follows it: norm, ReLU."""
    return 3 if model == "vgg16_bn" else 2


# First layers of a torchvision or timm ResNet, a VGG, and a ResNet of Hugging Face transformers.
_FIRST_LAYER = re.compile(r"(|.*\.)(conv1|features\.0|embedder\.embedder\.convolution)\.weight")
_INSIDE_A_BLOCK = re.compile(r"(^|\.)layers?\d*\.")
_HEAD = re.compile(r"(fc|last_linear|head|head\.fc|classifier|classifier\.1)\.(weight|bias)")
_BACKBONE = re.compile(r"(conv1|bn1|layer\d+|features)\.")


def torchvision_spelling(model: str, found: Iterable[str]) -> dict[str, str]:
    """Torchvision's spelling -> the name as found, for every name in `found`.

    The names of torchvision, timm and Hugging Face transformers are understood, below any prefix that a
    wrapper added (`module.`, `model.`, `backbone.`). Other names are kept.
    """
    names = list(found)
    prefix = _prefix(names)
    return {_respelt(model, name.removeprefix(prefix)): name for name in names}


def is_part_of_backbone(name: str) -> bool:
    """Whether a name in torchvision's spelling is a weight of a ResNet's or VGG's convolutional part."""
    return _BACKBONE.match(name) is not None and not name.endswith(COUNTER)


def _prefix(names: list[str]) -> str:
    """The prefix of the first layer's name; the shortest where there are several networks."""
    matches = [match[1] for name in names if (match := _FIRST_LAYER.fullmatch(name))]
    outside = [match for match in matches if not _INSIDE_A_BLOCK.search(match)]
    return min(outside, key=lambda prefix: (len(prefix), prefix), default="")


def _respelt(model: str, name: str) -> str:
    if _HEAD.fullmatch(name):
        return f"{'classifier' if model in VGGS else 'fc'}.{name.rpartition('.')[2]}"
    return _from_transformers(name)


def _from_transformers(name: str) -> str:
    """`encoder.stages.1.layers.0.layer.2.convolution.weight` -> "layer2.0.conv3.weight"."""
    name = re.sub(r"^embedder\.embedder\.convolution", "conv1", name)
    name = re.sub(r"^embedder\.embedder\.normalization", "bn1", name)
    match = re.fullmatch(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(shortcut|layer\.\d+)\.(\w+)\.(\w+)", name)
    if match is None:
        return name
    stage, block, layer, kind, leaf = match.groups()
    if layer == "shortcut":
        module = f"downsample.{'01'[kind == 'normalization']}"
    else:
        module = f"{'bn' if kind == 'normalization' else 'conv'}{int(layer[6:]) + 1}"
    return f"layer{int(stage) + 1}.{block}.{module}.{leaf}"
