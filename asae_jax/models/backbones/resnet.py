"""ResNet v1.5 (He et al. 2016, with the stride on the 3 x 3 convolution) as five named stages.

Layers, paddings and parameter names follow torchvision, so that weights convert one to one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn

from asae_jax.models.backbones.base import Backbone
from asae_jax.models.layers import BatchNorm, Conv, Norm
from asae_jax.models.placement import Shrinking, Window
from asae_jax.models.pooling import max_pool
from asae_jax.types import Features, NextFeatures

StageSizes = tuple[int, int, int, int]
"""Blocks in layer1 .. layer4."""


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (ResNet-18 and -34)."""

    features: int
    strides: int
    norm: Norm
    dtype: Any
    excitation: Callable[..., nn.Module] | None = None
    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, features]`."""
        conv = partial(Conv, self.features, 3, padding=1, dtype=self.dtype)
        y = conv(strides=self.strides, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y, train=train))
        y = conv(name="conv2")(y)
        y = self.norm(name="bn2")(y, train=train)
        if self.excitation is not None:
            y = self.excitation(name="se")(y)
        return nn.relu(
            y + Shortcut(self.strides, self.norm, self.dtype, name="downsample")(x, y, train=train)
        )


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions and a shortcut (ResNet-50 and deeper)."""

    features: int
    strides: int
    norm: Norm
    dtype: Any
    excitation: Callable[..., nn.Module] | None = None
    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, 4 * features]`."""
        conv = partial(Conv, dtype=self.dtype)
        y = conv(self.features, 1, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y, train=train))
        y = conv(self.features, 3, strides=self.strides, padding=1, name="conv2")(y)
        y = nn.relu(self.norm(name="bn2")(y, train=train))
        y = conv(self.features * self.expansion, 1, name="conv3")(y)
        y = self.norm(name="bn3")(y, train=train)
        if self.excitation is not None:
            y = self.excitation(name="se")(y)
        return nn.relu(
            y + Shortcut(self.strides, self.norm, self.dtype, name="downsample")(x, y, train=train)
        )


class Shortcut(nn.Module):
    """The input itself, or, where the shape changes, its strided 1 x 1 projection."""

    strides: int
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, y: NextFeatures, *, train: bool) -> NextFeatures:
        """`x` in the shape of `y`."""
        if x.shape == y.shape:
            return x
        x = Conv(y.shape[-1], 1, strides=self.strides, dtype=self.dtype, name="conv")(x)
        return self.norm(name="bn")(x, train=train)


STEMS = {
    "imagenet": (Window(7, 2, padding=3), Window(3, 2, padding=1)),
    "no_pool": (Window(7, 2, padding=3),),
    "small": (),
}
"""What shrinks the map in the first stage, by the name of the stem."""


class Stem(nn.Module):
    """First convolution and pooling: "imagenet" shrinks by 4, "no_pool" by 2, "small" not at all."""

    features: int
    kind: str
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """Images `[..., height, width, 3]` -> features."""
        size, strides = (3, 1) if self.kind == "small" else (7, 2)
        x = Conv(self.features, size, strides=strides, padding=size // 2, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(self.norm(name="bn1")(x, train=train))
        if self.kind == "imagenet":
            x = max_pool(x, 3, strides=2, padding=1)
        return x


class Stage(nn.Module):
    """Blocks of one resolution, the first one strides; `extra` follows the blocks `extra_after`."""

    block: type[BasicBlock] | type[Bottleneck]
    num_blocks: int
    features: int
    strides: int
    norm: Norm
    dtype: Any
    excitation: Callable[..., nn.Module] | None = None
    extra: Callable[..., nn.Module] | None = None
    extra_after: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, channels']`."""
        for i in range(self.num_blocks):
            strides = self.strides if i == 0 else 1
            block = self.block(
                self.features, strides, self.norm, self.dtype, self.excitation, name=f"block{i}"
            )
            x = block(x, train=train)
            if self.extra is not None and i in self.extra_after:
                x = self.extra(name=f"after_block{i}")(x, train=train)
        return x


class ResNet(Backbone):
    """ResNet; the default is ResNet-18.

    Attributes:
      stem: "imagenet" (7 x 7 stride 2, max-pool), "no_pool" (without the pool) or "small" (3 x 3 stride 1,
        no pool).
      width: channels of layer0 and of layer1's blocks.
      block: `BasicBlock` or `Bottleneck`.
      stage_sizes: blocks in layer1 .. layer4.
      excitation: constructor of a module that takes every block's features before the sum, or None.
      extra: constructor of a module called as `module(features, train=...)`, or None.
      extra_after: the stages and, counted from 0, the blocks in them that it follows.
    """

    norm: Norm = BatchNorm
    block: type[BasicBlock] | type[Bottleneck] = BasicBlock
    stage_sizes: StageSizes = (2, 2, 2, 2)
    excitation: Callable[..., nn.Module] | None = None
    extra: Callable[..., nn.Module] | None = None
    extra_after: tuple[tuple[str, int], ...] = ()

    stems = STEMS

    def stages(self) -> tuple[nn.Module, ...]:
        """Stem, and four stages of which all but the first halve the map."""
        stem = Stem(self.width, self.stem, self.norm, self.dtype)
        return stem, *(self._stage(number) for number in (1, 2, 3, 4))

    def shrinking(self, name: str) -> tuple[Shrinking, ...]:
        """The stem, and a strided 3 x 3 convolution in all later stages but the first."""
        if name == "layer0":
            return STEMS[self.stem]
        return () if name == "layer1" else (Window(3, 2, padding=1),)

    def _stage(self, number: int) -> Stage:
        return Stage(
            self.block,
            self.stage_sizes[number - 1],
            2 ** (number - 1) * self.width,
            1 if number == 1 else 2,
            self.norm,
            self.dtype,
            excitation=self.excitation,
            extra=self.extra,
            extra_after=tuple(i for stage, i in self.extra_after if stage == f"layer{number}"),
        )
