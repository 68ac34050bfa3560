"""EfficientNet (Tan and Le 2019) as five named stages.

The seven groups of blocks of EfficientNet-B0, put together by resolution: layer3 is the two at 1/16 of the
image's side, layer4 the two at 1/32 and the last 1 x 1 convolution. Stochastic depth and the dropout in front
of the classifier are left out.

Three kinds are in use, and weights of one do not serve another: `TORCH`, torchvision's and timm's own;
`TENSORFLOW`, the authors' (timm's `tf_efficientnet_b0`, Hugging Face's), which pads one side only at stride 2
and has 1e-3 in its norms; and `LITE` (tensorflow/tpu, "EfficientNet-Lite", 2020), which is that one without
squeeze-excitation and with ReLU6 for SiLU, so that it can be computed in eight bits.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models.backbones.base import Backbone
from asae_jax.models.layers import BatchNorm, Conv, Norm
from asae_jax.models.placement import Shrinking, Window
from asae_jax.types import Array, Features, Key, NextFeatures, at_least_float32

UNSTRIDED = {"imagenet": (), "no_pool": ("stem",), "small": ("stem", "layer1")}
"""What does without its stride of 2, by the name of the stem."""


class Group(NamedTuple):
    """A row of table 1 of the paper."""

    stage: str
    """Name of the stage it belongs to."""
    expansion: int
    """Channels inside of a block per channel that enters it."""
    features: int
    """Channels out."""
    strides: int
    """Of the first block."""
    size: int
    """Side of the depthwise kernel."""


B0 = (
    Group("layer0", 1, 16, 1, 3),
    Group("layer1", 6, 24, 2, 3),
    Group("layer2", 6, 40, 2, 5),
    Group("layer3", 6, 80, 2, 3),
    Group("layer3", 6, 112, 1, 5),
    Group("layer4", 6, 192, 2, 5),
    Group("layer4", 6, 320, 1, 3),
)


class Kind(NamedTuple):
    """What the kinds of EfficientNet do differently."""

    activation: Callable[[Array], Array]
    epsilon: float
    """Added to the variance in batch normalisation."""
    same_padding: bool
    """TensorFlow's padding, see `Conv`; False: equal on all sides."""
    squeeze_excite: bool

    def window(self, size: int, strides: int) -> Window:
        """A convolution that keeps the map's size unless it strides."""
        return Window(size, strides, "same" if self.same_padding else size // 2)


TORCH = Kind(nn.silu, 1e-5, same_padding=False, squeeze_excite=True)
TENSORFLOW = Kind(nn.silu, 1e-3, same_padding=True, squeeze_excite=True)
LITE = Kind(nn.relu6, 1e-3, same_padding=True, squeeze_excite=False)


def scaled(channels: int, width: float) -> int:
    """`channels * width / 64`, rounded to a multiple of 8 that is not more than 10 % smaller."""
    exact = channels * width / 64
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * exact else rounded + 8


def _depthwise_normal(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """He et al. 2015 over the outgoing connections of one channel: a depthwise kernel has its size."""
    return math.sqrt(2 / (shape[0] * shape[1])) * jax.random.normal(key, shape, dtype)


class ConvNorm(nn.Module):
    """Convolution that keeps the map's size unless it strides, norm, and activation unless `linear`."""

    features: int
    size: int
    kind: Kind
    norm: Norm
    dtype: Any
    strides: int = 1
    depthwise: bool = False
    linear: bool = False

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, features]`."""
        conv = partial(Conv, self.features, *self.kind.window(self.size, self.strides))
        if self.depthwise:
            conv = partial(conv, groups=self.features, kernel_init=_depthwise_normal)
        y = self.norm(name="bn")(conv(dtype=self.dtype, name="conv")(x), train=train)
        return y if self.linear else self.kind.activation(y)


class SqueezeExcite(nn.Module):
    """Weighs the channels by their means over the map (Hu et al. 2018), with SiLU inside."""

    squeezed: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """Features of the same shape."""
        linear = partial(Conv, size=1, use_bias=True, dtype=self.dtype)
        means = jnp.mean(at_least_float32(x), axis=(-3, -2), keepdims=True)
        y = nn.silu(linear(self.squeezed, name="reduce")(means))
        return x * nn.sigmoid(linear(x.shape[-1], name="expand")(y))


class Block(nn.Module):
    """Inverted residual: widen, depthwise convolution, weigh the channels, narrow; add where `residual`."""

    group: Group
    features: int
    strides: int
    residual: bool
    kind: Kind
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, features]`."""
        conv = partial(ConvNorm, kind=self.kind, norm=self.norm, dtype=self.dtype)
        inputs = x.shape[-1]
        inside = inputs * self.group.expansion
        y = conv(inside, 1, name="widen")(x, train=train) if inside != inputs else x
        y = conv(inside, self.group.size, strides=self.strides, depthwise=True, name="depthwise")(
            y, train=train
        )
        if self.kind.squeeze_excite:
            y = SqueezeExcite(max(1, inputs // 4), self.dtype, name="se")(y)
        y = conv(self.features, 1, linear=True, name="narrow")(y, train=train)
        return x + y if self.residual else y


class Stage(nn.Module):
    """The groups of blocks of one stage, and the convolutions of the whole network's start and end.

    Attributes:
      groups: rows of table 1 and how many blocks each has.
      width: of the blocks; 64 gives the channels of table 1.
      kind: of EfficientNet.
      norm: constructor of the normalisation layers.
      dtype: of the computation.
      strided: False: no group strides.
      first: channels and strides of the first 3 x 3 convolution; None for all stages but the first.
      last_features: channels of the last 1 x 1 convolution; 0 for all stages but the last.
    """

    groups: Sequence[tuple[Group, int]]
    width: float
    kind: Kind
    norm: Norm
    dtype: Any
    strided: bool = True
    first: tuple[int, int] | None = None
    last_features: int = 0

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height', width', channels']`."""
        conv = partial(ConvNorm, kind=self.kind, norm=self.norm, dtype=self.dtype)
        if self.first is not None:
            features, strides = self.first
            x = conv(features, 3, strides=strides, name="stem")(x, train=train)
        for i, (group, i_in_group) in enumerate((g, j) for g, count in self.groups for j in range(count)):
            strides = group.strides if self.strided and i_in_group == 0 else 1
            block = partial(Block, group, scaled(group.features, self.width), strides, i_in_group > 0)
            x = block(self.kind, self.norm, self.dtype, name=f"block{i}")(x, train=train)
        if self.last_features:
            x = conv(self.last_features, 1, name="last")(x, train=train)
        return x


class EfficientNet(Backbone):
    """EfficientNet; the default is torchvision's EfficientNet-B0.

    Attributes:
      stem: "imagenet", "no_pool" (the first convolution does not stride) or "small" (neither it nor layer1).
      width: 64 has EfficientNet-B0's channels; others are in proportion, rounded to multiples of 8.
      kind: one of `TORCH`, `TENSORFLOW` and `LITE`.
      repeats: blocks of each row of `B0`.
      widening: multiple of the blocks' channels alone; the first and the last convolution keep theirs.
    """

    norm: Norm = BatchNorm
    kind: Kind = TORCH
    repeats: tuple[int, ...] = (1, 2, 2, 3, 3, 4, 1)
    widening: float = 1.0

    stems = UNSTRIDED
    signed = True

    def stages(self) -> tuple[nn.Module, ...]:
        """The groups of `B0` by their stage."""
        unstrided = UNSTRIDED[self.stem]
        return (
            self._stage("layer0", first=(scaled(32, self.width), 1 if "stem" in unstrided else 2)),
            self._stage("layer1", strided="layer1" not in unstrided),
            self._stage("layer2"),
            self._stage("layer3"),
            self._stage("layer4", last_features=scaled(1280, self.width)),
        )

    def shrinking(self, name: str) -> tuple[Shrinking, ...]:
        """The first convolution, and the first block of every group that strides."""
        unstrided = UNSTRIDED[self.stem]
        stem = [(3, 2)] if name == "layer0" and "stem" not in unstrided else []
        groups = [(g.size, g.strides) for g in B0 if g.stage == name and name not in unstrided]
        return tuple(self.kind.window(*one) for one in stem + groups if one[1] > 1)

    def _stage(self, name: str, **options: Any) -> Stage:
        groups = [(g, count) for g, count in zip(B0, self.repeats, strict=True) if g.stage == name]
        norm = partial(self.norm, epsilon=self.kind.epsilon)
        return Stage(groups, self.width * self.widening, self.kind, norm, self.dtype, **options)
