"""ResNet v1.5 (He et al. 2016, with the stride on the 3 x 3 convolution) as five named stages.

Layers, paddings and parameter names follow torchvision, so that weights convert one to one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models.choices import check_choice
from asae_jax.models.conv import Conv
from asae_jax.models.head import Head
from asae_jax.models.norm import BatchNorm, Norm
from asae_jax.models.squeeze_excitation import SqueezeExcitation
from asae_jax.types import Features

STEMS = ("imagenet", "no_pool", "small")
StageSizes = tuple[int, int, int, int]
"""Blocks in layer1 .. layer4."""


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (ResNet-18 and -34)."""

    features: int
    strides: int
    norm: Norm
    dtype: Any
    squeeze: int = 0
    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, features]`."""
        conv = partial(Conv, self.features, 3, padding=1, dtype=self.dtype)
        y = conv(strides=self.strides, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y, train=train))
        y = conv(name="conv2")(y)
        y = self.norm(name="bn2")(y, train=train)
        if self.squeeze:
            y = SqueezeExcitation(self.squeeze, name="se")(y)
        return nn.relu(
            y + Shortcut(self.strides, self.norm, self.dtype, name="downsample")(x, y, train=train)
        )


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions and a shortcut (ResNet-50 and deeper)."""

    features: int
    strides: int
    norm: Norm
    dtype: Any
    squeeze: int = 0
    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, 4 * features]`."""
        conv = partial(Conv, dtype=self.dtype)
        y = conv(self.features, 1, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y, train=train))
        y = conv(self.features, 3, strides=self.strides, padding=1, name="conv2")(y)
        y = nn.relu(self.norm(name="bn2")(y, train=train))
        y = conv(self.features * self.expansion, 1, name="conv3")(y)
        y = self.norm(name="bn3")(y, train=train)
        if self.squeeze:
            y = SqueezeExcitation(self.squeeze, name="se")(y)
        return nn.relu(
            y + Shortcut(self.strides, self.norm, self.dtype, name="downsample")(x, y, train=train)
        )


class Shortcut(nn.Module):
    """The input itself, or, where the shape changes, its strided 1 x 1 projection."""

    strides: int
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, y: Features, *, train: bool) -> Features:
        """`x` in the shape of `y`."""
        if x.shape == y.shape:
            return x
        x = Conv(y.shape[-1], 1, strides=self.strides, dtype=self.dtype, name="conv")(x)
        return self.norm(name="bn")(x, train=train)


class Stem(nn.Module):
    """First convolution and pooling: "imagenet" shrinks by 4, "no_pool" by 2, "small" not at all."""

    features: int
    kind: str
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """Images `[..., height, width, 3]` -> features."""
        size, strides = (3, 1) if self.kind == "small" else (7, 2)
        x = Conv(self.features, size, strides=strides, padding=size // 2, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(self.norm(name="bn1")(x, train=train))
        if self.kind == "imagenet":
            x = nn.max_pool(x, (3, 3), (2, 2), [(1, 1), (1, 1)])
        return x


class Stage(nn.Module):
    """Blocks of one resolution, the first one strides; `extra` follows the blocks `extra_after`."""

    block: type[BasicBlock] | type[Bottleneck]
    num_blocks: int
    features: int
    strides: int
    norm: Norm
    dtype: Any
    squeeze: int = 0
    extra: Callable[..., nn.Module] | None = None
    extra_after: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, channels']`."""
        for i in range(self.num_blocks):
            strides = self.strides if i == 0 else 1
            block = self.block(self.features, strides, self.norm, self.dtype, self.squeeze, name=f"block{i}")
            x = block(x, train=train)
            if self.extra is not None and i in self.extra_after:
                x = self.extra(name=f"after_block{i}")(x, train=train)
        return x


class ResNet(nn.Module):
    """ResNet whose stages can be run one by one, on features with or without a branch axis.

    Attributes:
      num_classes: logits out.
      block: `BasicBlock` or `Bottleneck`.
      stage_sizes: blocks in layer1 .. layer4.
      stem: "imagenet" (7 x 7 stride 2, max-pool), "no_pool" (without the pool) or "small" (3 x 3 stride 1,
        no pool). After layer3 the map is the image's side divided by 16, 8 and 4: the ASAE layer wants at
        least 7 x 7.
      norm: what `asae_jax.models.norm.make_norm` gives.
      dtype: of the computation; parameters, statistics and logits are float32.
      width: channels of layer0 and layer1's blocks.
      squeeze: ratio of the squeeze-and-excitation that ends every block before the sum; 0: without.
      extra: constructor of a module called as `module(features, train=...)`, or None.
      extra_after: the stages and, counted from 0, the blocks in them that it follows.
    """

    num_classes: int
    block: type[BasicBlock] | type[Bottleneck]
    stage_sizes: StageSizes
    stem: str = "imagenet"
    norm: Norm = BatchNorm
    dtype: Any = jnp.float32
    width: int = 64
    squeeze: int = 0
    extra: Callable[..., nn.Module] | None = None
    extra_after: tuple[tuple[str, int], ...] = ()

    stage_names: ClassVar[tuple[str, ...]] = ("layer0", "layer1", "layer2", "layer3", "layer4")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("stem", self.stem, STEMS)

    def setup(self) -> None:
        """Build the stages."""
        self.layer0 = Stem(self.width, self.stem, self.norm, self.dtype)
        self.layer1 = self._stage(1, strides=1)
        self.layer2 = self._stage(2, strides=2)
        self.layer3 = self._stage(3, strides=2)
        self.layer4 = self._stage(4, strides=2)
        self.head = Head(self.num_classes)

    def _stage(self, number: int, *, strides: int) -> Stage:
        return Stage(
            self.block,
            self.stage_sizes[number - 1],
            2 ** (number - 1) * self.width,
            strides,
            self.norm,
            self.dtype,
            squeeze=self.squeeze,
            extra=self.extra,
            extra_after=tuple(i for stage, i in self.extra_after if stage == f"layer{number}"),
        )

    def apply_stage(self, name: str, x: Features, *, train: bool) -> Features:
        """Run the stage `name` of `stage_names` on features `[..., batch, height, width, channels]`."""
        return getattr(self, name)(x, train=train)

    def classify(self, x: Features) -> jax.Array:
        """Features of the last stage -> float32 logits `[..., batch, num_classes]`."""
        return self.head(x)

    def class_maps(self, x: Features) -> jax.Array:
        """Features of the last stage -> float32 class maps `[..., height, width, num_classes]`."""
        return self.head(x, pool=False)
