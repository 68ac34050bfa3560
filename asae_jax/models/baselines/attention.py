"""ResNets with another method's attention inside: the baselines of the paper's Table 5.

Squeeze-and-excitation (Hu et al., CVPR 2018) weights channels by what the whole map holds. In the non-local
block (Wang et al., CVPR 2018) every position attends to all positions of its map; it is the embedded Gaussian
version as its authors' code has it (facebookresearch/video-nonlocal-net, `lib/models/nonlocal_helper.py`):
half the channels inside, keys and values from a map halved by max-pooling, similarities scaled by the inner
channels' root, and a last norm whose scale starts at zero, so that the block starts as the identity.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models.backbones.resnet import ResNet, StageSizes
from asae_jax.models.baselines.drop_layers import ADL
from asae_jax.models.layers import BatchNorm, Norm
from asae_jax.models.pooling import max_pool
from asae_jax.types import Array, Features, NextFeatures, at_least_float32


class SqueezeExcitation(nn.Module):
    """Mean over the map, two linear layers with biases (ReLU, sigmoid), one weight per channel.

    Attributes:
      reduction: r of the paper: the hidden layer has channels / r values, at least one.
    """

    reduction: int = 16

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """`[..., height, width, channels]` -> the same, each channel times its weight within 0..1."""
        channels = x.shape[-1]
        pooled = jnp.mean(at_least_float32(x), axis=(-3, -2), keepdims=True)
        hidden = nn.relu(nn.Dense(max(1, channels // self.reduction), name="reduce")(pooled))
        weights = jax.nn.sigmoid(nn.Dense(channels, name="expand")(hidden))
        return x * weights.astype(x.dtype)


class NonLocalBlock(nn.Module):
    """x + norm(out(softmax(theta(x) phi(x)^T / sqrt(inner)) g(x))).

    Attributes:
      norm: what `make_norm` gives.
      dtype: of the computation; the similarities and their softmax are float32.
    """

    norm: Norm = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> the same shape and dtype."""
        inner = max(1, x.shape[-1] // 2)
        linear = partial(nn.Dense, kernel_init=nn.initializers.normal(0.01), dtype=self.dtype)
        halved = _halve(x)
        queries = _flat(linear(inner, name="theta")(x))
        keys = _flat(linear(inner, name="phi")(halved))
        values = _flat(linear(inner, name="g")(halved))
        precise = jnp.promote_types(queries.dtype, jnp.float32)
        similarity = jnp.einsum("...qc,...kc->...qk", queries, keys, preferred_element_type=precise)
        weights = jax.nn.softmax(similarity * inner**-0.5).astype(values.dtype)
        y = jnp.einsum("...qk,...kc->...qc", weights, values).reshape(*x.shape[:-1], inner)
        y = linear(x.shape[-1], name="out")(y)
        return x + self.norm(name="bn", scale_init=nn.initializers.zeros)(y, train=train)


def _halve(x: Features) -> NextFeatures:
    """2 x 2 max-pooling; a map of one row or column stays as it is."""
    return max_pool(x, 2, strides=2) if min(x.shape[-3:-1]) > 1 else x


def _flat(x: Features) -> Array:
    """`[..., height, width, channels]` -> `[..., positions, channels]`."""
    return x.reshape(*x.shape[:-3], -1, x.shape[-1])


def se_resnet(**options: Any) -> ResNet:
    """SENet: squeeze-and-excitation with ratio 16 in every block of the `ResNet` with these fields."""
    return ResNet(excitation=partial(SqueezeExcitation, 16), **options)


def nl_resnet(*, stage_sizes: StageSizes, norm: Norm, **options: Any) -> ResNet:
    """NLNet: a non-local block after every second block of layer2 and layer3 (res3 and res4).

    In ResNet-50 these are the authors' five (`lib/models/resnet_helper.py`), in ResNet-18 the rule gives two.

    Args:
      stage_sizes: blocks in layer1 .. layer4.
      norm: also of the non-local blocks.
      **options: other fields of `ResNet`.
    """
    sizes = {"layer2": stage_sizes[1], "layer3": stage_sizes[2]}
    places = tuple((stage, i) for stage, blocks in sizes.items() for i in range(1, blocks, 2))
    layer = partial(NonLocalBlock, norm=norm, dtype=options.get("dtype", ResNet.dtype))
    return ResNet(stage_sizes=stage_sizes, norm=norm, extra=layer, extra_after=places, **options)


def adl_resnet(
    *, stage_sizes: StageSizes, adl_rate: float = 0.75, adl_threshold: float = 0.8, **options: Any
) -> ResNet:
    """ADL after the first block of layer3, and the first and the last block of layer4.

    In ResNet-50 these are the places of the authors' code (clovaai/wsolevaluation, `wsol/resnet.py`). ADL has
    no parameters and is absent at test: the variables are those of the plain ResNet.

    Args:
      stage_sizes: blocks in layer1 .. layer4.
      adl_rate: `rate` of `ADL`.
      adl_threshold: `threshold` of `ADL`.
      **options: other fields of `ResNet`.
    """
    places = (("layer3", 0), ("layer4", 0), ("layer4", stage_sizes[3] - 1))
    layer = partial(ADL, rate=adl_rate, threshold=adl_threshold)
    return ResNet(stage_sizes=stage_sizes, extra=layer, extra_after=places, **options)
