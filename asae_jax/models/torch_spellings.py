"""How PyTorch libraries name the arrays of EfficientNet, ConvNeXt and vision transformers.

ResNet and VGG have one set of names (`torch_names`); here every library has its own, and a file is told by
the name of its first layer. `to_torch` writes those of EfficientNets as timm has them (`TIMM`), of no others.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from asae_jax.models import torch_vit
from asae_jax.models.backbones.efficientnet import B0
from asae_jax.models.torch_names import COUNTER, LEAVES, Path

Shapes = Mapping[Path, tuple[int, ...]]
"""Shapes of a network's arrays by their path."""


class Place(NamedTuple):
    """Where a block stands, each number counted from 0."""

    stage: int
    in_stage: int
    """Among the blocks of its stage."""
    in_network: int
    """Among all blocks."""
    group: int
    """Of EfficientNet: the row of `B0` that the block belongs to."""
    in_group: int
    widens: bool
    """Of EfficientNet: has the 1 x 1 convolution in front of the depthwise one."""


class Spelling(NamedTuple):
    """How one library names the arrays of a network."""

    source: str
    """The library, for messages."""
    first: str
    """Name of the first layer, which tells the library."""
    module: Callable[[tuple[str, ...], Place | None], str]
    """`(keys within the backbone without the block's own two, place of the block) -> name of the module`."""
    prepare: Callable[[dict[str, np.ndarray], Shapes], dict[str, np.ndarray]] = lambda tensors, _: tensors
    """What has to be made of the tensors first: `(tensors by name, shapes of the network) -> tensors`."""

    def name(self, path: Path, places: Mapping[tuple[str, str], Place]) -> str:
        """The library's name of the array at `path`.

        Args:
          path: collection and keys, from `"params"` or `"batch_stats"` on.
          places: of the network's blocks, as `places_of` gives them.
        """
        collection, _, *keys, leaf = path
        place = places.get((keys[0], keys[1])) if len(keys) > 1 else None
        inside = tuple(keys[2:] if place else keys)
        if (collection, leaf) not in LEAVES:  # an array of its own, not of a module
            return self.module((*inside, leaf), place)
        return f"{self.module(inside, place)}.{LEAVES[collection, leaf]}"


def places_of(shapes: Shapes) -> dict[tuple[str, str], Place]:
    """The place of every block, by its stage's and its own key.

    The two rows of `B0` in one stage are told by the side of their depthwise kernels: the channels out, by
    which they differ too, are equal in narrow networks, where they are rounded.
    """
    blocks = {path[2:4] for path in shapes if len(path) > 4 and path[3].startswith("block")}
    rows = [(row.stage, row.size) for row in B0]
    places: dict[tuple[str, str], Place] = {}
    group, in_group = 0, -1
    for in_network, (stage, block) in enumerate(sorted(blocks, key=_numbers)):
        inside = ("params", "backbone", stage, block)
        depthwise = shapes.get((*inside, "depthwise", "conv", "kernel"))
        row = rows.index((stage, depthwise[0])) if depthwise else 0
        group, in_group = row, in_group + 1 if row == group else 0
        widens = (*inside, "widen", "conv", "kernel") in shapes
        places[stage, block] = Place(*_numbers((stage, block)), in_network, group, in_group, widens)
    return places


def _numbers(keys: tuple[str, ...]) -> tuple[int, int]:
    """`("layer3", "block10")` -> (3, 10)."""
    stage, block = (int(re.sub(r"\D", "", key)) for key in keys)
    return stage, block


_BLOCK_PARTS = ("widen", "depthwise", "se", "narrow")


def _efficientnet_torchvision(keys: tuple[str, ...], place: Place | None) -> str:
    if place is None:
        ends = {"stem": "features.0", "last": "features.8", "head": "classifier.1"}
        return ends[keys[0]] if keys == ("head",) else f"{ends[keys[1]]}.{'01'[keys[2] == 'bn']}"
    number = _BLOCK_PARTS.index(keys[0]) - (not place.widens)
    leaf = {"conv": "0", "bn": "1", "reduce": "fc1", "expand": "fc2"}[keys[1]]
    return f"features.{place.group + 1}.{place.in_group}.block.{number}.{leaf}"


def _efficientnet_timm(keys: tuple[str, ...], place: Place | None) -> str:
    if place is None:
        ends = {"head": "classifier", "stem.conv": "conv_stem", "stem.bn": "bn1", "last.conv": "conv_head"}
        return (ends | {"last.bn": "bn2"})[".".join(keys[-2:])]
    if keys[0] == "se":
        leaf = f"se.conv_{keys[1]}"
    elif place.widens:
        leaf = {"widen": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "narrow": ("conv_pwl", "bn3")}[
            keys[0]
        ][keys[1] == "bn"]
    else:
        leaf = {"depthwise": ("conv_dw", "bn1"), "narrow": ("conv_pw", "bn2")}[keys[0]][keys[1] == "bn"]
    return f"blocks.{place.group}.{place.in_group}.{leaf}"


def _efficientnet_lukemelas(keys: tuple[str, ...], place: Place | None) -> str:
    if place is None:
        ends = {"head": "_fc", "stem.conv": "_conv_stem", "stem.bn": "_bn0", "last.conv": "_conv_head"}
        return (ends | {"last.bn": "_bn1"})[".".join(keys[-2:])]
    if keys[0] == "se":
        return f"_blocks.{place.in_network}._se_{keys[1]}"
    leaves = {
        "widen": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "narrow": ("_project_conv", "_bn2"),
    }
    return f"_blocks.{place.in_network}.{leaves[keys[0]][keys[1] == 'bn']}"


def _efficientnet_transformers(keys: tuple[str, ...], place: Place | None) -> str:
    if place is None:
        ends = {
            "head": "classifier",
            "stem.conv": "embeddings.convolution",
            "stem.bn": "embeddings.batchnorm",
            "last.conv": "encoder.top_conv",
            "last.bn": "encoder.top_bn",
        }
        return ends[".".join(keys[-2:])]
    leaves = {
        "widen.conv": "expansion.expand_conv",
        "widen.bn": "expansion.expand_bn",
        "depthwise.conv": "depthwise_conv.depthwise_conv",
        "depthwise.bn": "depthwise_conv.depthwise_norm",
        "se.reduce": "squeeze_excite.reduce",
        "se.expand": "squeeze_excite.expand",
        "narrow.conv": "projection.project_conv",
        "narrow.bn": "projection.project_bn",
    }
    return f"encoder.blocks.{place.in_network}.{leaves['.'.join(keys)]}"


def _convnext(
    ends: Mapping[str, str], downsample: str, block: str, parts: Mapping[str, str]
) -> Callable[[tuple[str, ...], Place | None], str]:
    """A spelling by patterns: `s` is the stage from 0, `twice` 2 s, `behind` 2 s + 1, `i` the block."""

    def module(keys: tuple[str, ...], place: Place | None) -> str:
        if place is not None:
            s, part = place.stage - 1, parts[keys[0]]
            return f"{block.format(s=s, behind=2 * s + 1, i=place.in_stage)}.{part}"
        if keys[-1].startswith("downsample"):
            s = int(keys[0][-1]) - 1
            return f"{downsample.format(s=s, twice=2 * s)}.{'01'[keys[-1] == 'downsample_conv']}"
        return ends[keys[-1]]

    return module


def _flat_scales(tensors: dict[str, np.ndarray], _: Shapes) -> dict[str, np.ndarray]:
    """Torchvision's ConvNeXt has the scales of a block as `[channels, 1, 1]`."""
    return {n: t.reshape(-1) if n.endswith("layer_scale") else t for n, t in tensors.items()}


def _parts(dwconv: str, norm: str, pwconv1: str, pwconv2: str, gamma: str) -> dict[str, str]:
    return {"dwconv": dwconv, "norm": norm, "pwconv1": pwconv1, "pwconv2": pwconv2, "gamma": gamma}


def _ends(conv: str, norm: str, norm_head: str, head: str) -> dict[str, str]:
    return {"conv": conv, "norm": norm, "norm_head": norm_head, "head": head}


_TIMM_EFFICIENTNET = Spelling("timm", "conv_stem", _efficientnet_timm)
_TENSORFLOW = (
    Spelling("lukemelas", "_conv_stem", _efficientnet_lukemelas),
    _TIMM_EFFICIENTNET,
    Spelling("Hugging Face", "embeddings.convolution", _efficientnet_transformers),
)
SPELLINGS: dict[str, tuple[Spelling, ...]] = {
    "efficientnet_b0": (
        Spelling("torchvision", "features.0.0", _efficientnet_torchvision),
        _TIMM_EFFICIENTNET,
    ),
    "tf_efficientnet_b0": _TENSORFLOW,
    "efficientnet_lite0": _TENSORFLOW[:2],
    "efficientnet_lite1": _TENSORFLOW[:2],
    "efficientnet_lite2": _TENSORFLOW[:2],
    "convnext_tiny": (
        Spelling(
            "torchvision",
            "features.0.0",
            _convnext(
                _ends("features.0.0", "features.0.1", "classifier.0", "classifier.2"),
                "features.{twice}",
                "features.{behind}.{i}",
                _parts("block.0", "block.2", "block.3", "block.5", "layer_scale"),
            ),
            _flat_scales,
        ),
        Spelling(
            "timm",
            "stem.0",
            _convnext(
                _ends("stem.0", "stem.1", "head.norm", "head.fc"),
                "stages.{s}.downsample",
                "stages.{s}.blocks.{i}",
                _parts("conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"),
            ),
        ),
        Spelling(
            "Hugging Face",
            "embeddings.patch_embeddings",
            _convnext(
                _ends("embeddings.patch_embeddings", "embeddings.layernorm", "layernorm", "classifier"),
                "encoder.stages.{s}.downsampling_layer",
                "encoder.stages.{s}.layers.{i}",
                _parts("dwconv", "layernorm", "pwconv1", "pwconv2", "layer_scale_parameter"),
            ),
        ),
        Spelling(
            "facebookresearch",
            "downsample_layers.0.0",
            _convnext(
                _ends("downsample_layers.0.0", "downsample_layers.0.1", "norm", "head"),
                "downsample_layers.{s}",
                "stages.{s}.{i}",
                _parts("dwconv", "norm", "pwconv1", "pwconv2", "gamma"),
            ),
        ),
    ),
    **dict.fromkeys(
        ("vit_small16", "vit_base16", "vit_small14", "vit_base14", "vit_large14"),
        tuple(Spelling(s, first, torch_vit.name, torch_vit.prepare) for s, first in torch_vit.FIRST.items()),
    ),
}
"""Libraries whose files each model can start from. An EfficientNet of TensorFlow pads another way than one of
torchvision, and its weights do not say so: timm's files `tf_efficientnet_*` belong to the former."""


TIMM = {
    "efficientnet_b0": "efficientnet_b0",
    "tf_efficientnet_b0": "tf_efficientnet_b0",
    **{name: f"tf_{name}" for name in ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")},
}
"""Models that are written for PyTorch under timm's names -> what timm calls them."""


def timm_namer(shapes: Shapes) -> Callable[[Path], str]:
    """Timm's name of the array at a path of an EfficientNet with these shapes."""
    places = places_of(shapes)
    return lambda path: _TIMM_EFFICIENTNET.name(path, places)


def recognised(model: str, names: Mapping[str, Any]) -> tuple[Spelling, dict[str, str]]:
    """Whose names these are, and the name without a wrapper's prefix -> the name as found.

    Where no library is recognised the first one is taken, so that the misfit is told in its names.
    """
    for spelling in SPELLINGS[model]:
        suffix = f"{spelling.first}.weight"
        # The shortest where there are several networks, as a student and its teacher.
        ends = sorted((name for name in names if f".{name}".endswith(f".{suffix}")), key=len)
        if ends:
            inner = ends[0].removesuffix(suffix)  # such as "module.convnext."; the head has "module." alone
            outer = inner.rpartition(".")[0].rpartition(".")[0]
            prefixes = (inner, f"{outer}." if outer else "")
            return spelling, {_without(prefixes, name): name for name in names}
    return SPELLINGS[model][0], {name: name for name in names}


def _without(prefixes: tuple[str, ...], name: str) -> str:
    """`name` without the first of the prefixes that it has."""
    return next((name.removeprefix(prefix) for prefix in prefixes if name.startswith(prefix)), name)


_BLOCKS = re.compile(r"(encoder\.)?(_?blocks|features|stages|downsample_layers|layers?)\.")


def is_part_of_backbone(name: str) -> bool:
    """Whether a name without prefix is a weight of a block: a network that does not use it is another one."""
    return _BLOCKS.match(name) is not None and not name.endswith(COUNTER)
