"""Published vision transformers with a class token, under timm's names and in the network's form.

Libraries differ in more than names: query, key and value are one matrix or three, and the positions belong to
the size of image the network was trained at. So the tensors are brought to one form first. A head that looks
at the class token alone gets zeros for the mean of the patches, which `TokenViT` classifies by as well.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

FIRST = {
    "timm": "patch_embed.proj",
    "Hugging Face": "embeddings.patch_embeddings.projection",
    "torchvision": "conv_proj",
}
"""Library -> name of the first layer. The DINOv2 and DinoBloom of their authors have timm's names."""

REGISTERS = re.compile(r"(^|\.)(register_tokens|reg_token)$")
"""Names of tokens beside the patches (Darcet et al. 2024), which `TokenViT` does not have."""

# From transformers (version 4, as files have it, and 5) and torchvision to timm.
_RENAMED = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^(embeddings\.patch_embeddings\.projection|conv_proj)\.", "patch_embed.proj."),
        (r"^(embeddings\.cls_token|class_token)$", "cls_token"),
        (r"^(embeddings\.position_embeddings|encoder\.pos_embedding)$", "pos_embed"),
        (r"^(encoder\.layers?|layers)\.(encoder_layer_)?(\d+)\.", r"blocks.\3."),
        (r"\.(layernorm_before|ln_1)\.", ".norm1."),
        (r"\.(layernorm_after|ln_2)\.", ".norm2."),
        (r"\.attention\.attention\.", ".attn."),
        (r"\.(attention\.output\.dense|attention\.o_proj|self_attention\.out_proj)\.", ".attn.proj."),
        (r"\.self_attention\.in_proj_", ".attn.qkv."),
        (r"\.attention\.q(_proj|uery)\.", ".attn.query."),
        (r"\.attention\.k(_proj|ey)\.", ".attn.key."),
        (r"\.attention\.v(_proj|alue)\.", ".attn.value."),
        (r"^(blocks\.\d+)\.(intermediate\.dense|mlp\.0|mlp\.linear_1)\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.(output\.dense|mlp\.3|mlp\.linear_2)\.", r"\1.mlp.fc2."),
        (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
        (r"^(layernorm|encoder\.ln)\.", "norm."),
        (r"^(classifier|heads\.head)\.", "head."),
    )
)

_PARTS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
    "gamma1": "ls1.gamma",
    "gamma2": "ls2.gamma",
    "query": "attn.query",
    "key": "attn.key",
    "value": "attn.value",
    "out": "attn.proj",
}

_JOINT = (".attn.qkv.weight", ".attn.qkv.bias")
"""Query, key and value in one tensor. Others of these names are of adapters or of quantisation."""


def name(keys: tuple[str, ...], place: Any) -> str:
    """The name of a module, or of an array of its own: see `torch_spellings.Spelling`."""
    if place is not None:
        return f"blocks.{place.in_network}.{_PARTS[keys[-1]]}"
    return {"conv": "patch_embed.proj", "norm": "norm"}.get(keys[-1], keys[-1])


def prepare(tensors: dict[str, np.ndarray], shapes: Mapping[tuple, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A file's tensors in the network's form, by timm's names; class token and positions by ours.

    Args:
      tensors: by the names of any of `FIRST`, without a wrapper's prefix.
      shapes: of the network's arrays by path; they decide the size of the map and of the head.
    """
    prepared: dict[str, np.ndarray] = {}
    for found, tensor in tensors.items():
        renamed = found
        for pattern, by in _RENAMED:
            renamed = pattern.sub(by, renamed)
        if renamed.endswith(_JOINT) and tensor.ndim and len(tensor) % 3 == 0:
            for part, piece in zip(("query", "key", "value"), np.split(tensor, 3), strict=True):
                prepared[renamed.replace("qkv", part)] = piece
        else:
            prepared[renamed] = tensor
    height, width, channels = shapes["params", "backbone", "layer0", "positions"]
    if _embeds(prepared.get("cls_token"), prepared.get("pos_embed")):
        token, positions = _embedding(prepared.pop("cls_token"), prepared.pop("pos_embed"), height, width)
        prepared |= {"token": token, "positions": positions}
    head = prepared.get("head.weight")
    if head is not None and head.ndim == 2 and head.shape[1] == channels:
        prepared["head.weight"] = np.pad(head, ((0, 0), (0, channels)))
    return prepared


def _embeds(token: np.ndarray | None, positions: np.ndarray | None) -> bool:
    """Whether these are a class token of C numbers and positions `[1, N, C]`; others are refused by name."""
    if token is None or positions is None:
        return False
    return (
        positions.ndim == 3
        and len(positions) == 1
        and positions.shape[1] > 0
        and token.size == positions.shape[2]
    )


def _embedding(
    token: np.ndarray, positions: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """The token with its own position, `[channels]`, and positions `[height, width, channels]`."""
    token, positions = token.astype(np.float64).reshape(-1), positions.astype(np.float64)[0]
    side = math.isqrt(len(positions))
    if side**2 != len(positions):  # the first position is the token's
        token, positions, side = token + positions[0], positions[1:], math.isqrt(len(positions) - 1)
    if side**2 != len(positions):
        return token, positions  # of no square image: refused by its shape
    grid = positions.reshape(side, side, -1)
    if (height, width) == (side, side):
        return token, grid
    return token, np.einsum("hi,wj,ijc->hwc", bicubic(side, height), bicubic(side, width), grid)


def bicubic(old: int, new: int) -> np.ndarray:
    """The matrix `[new, old]` of `torch.nn.functional.interpolate(mode="bicubic")` along one axis.

    That is the cubic convolution of Keys (1981) with a = -0.75, borders repeated and no antialiasing.
    """
    places = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(places).astype(int) - 1
    matrix = np.zeros((new, old))
    for tap in range(4):
        distance = np.abs(places - (first + tap))
        near = (1.25 * distance - 2.25) * distance**2 + 1
        far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
        index = np.clip(first + tap, 0, old - 1)
        np.add.at(matrix, (np.arange(new), index), np.where(distance <= 1, near, far))
    return matrix
