"""ResNet v1.5 (He et al. 2016, with the stride on the 3 x 3 convolution) as five named stages.

Layers, paddings and parameter names follow torchvision, so that weights convert one to one.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models.choices import check_choice
from asae_jax.models.conv import Conv
from asae_jax.models.head import Head
from asae_jax.models.norm import BatchNorm, Norm
from asae_jax.types import Features

STEMS = ("imagenet", "no_pool", "small")


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (ResNet-18 and -34)."""

    features: int
    strides: int
    norm: Norm
    dtype: Any
    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, features]`."""
        conv = partial(Conv, self.features, 3, padding=1, dtype=self.dtype)
        y = conv(strides=self.strides, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y, train=train))
        y = conv(name="conv2")(y)
        y = self.norm(name="bn2")(y, train=train)
        return nn.relu(
            y + Shortcut(self.strides, self.norm, self.dtype, name="downsample")(x, y, train=train)
        )


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions and a shortcut (ResNet-50 and deeper)."""

    features: int
    strides: int
    norm: Norm
    dtype: Any
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
    """Blocks of one resolution; the first one strides."""

    block: type[BasicBlock] | type[Bottleneck]
    num_blocks: int
    features: int
    strides: int
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, channels']`."""
        for i in range(self.num_blocks):
            strides = self.strides if i == 0 else 1
            x = self.block(self.features, strides, self.norm, self.dtype, name=f"block{i}")(x, train=train)
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
    """

    num_classes: int
    block: type[BasicBlock] | type[Bottleneck]
    stage_sizes: tuple[int, int, int, int]
    stem: str = "imagenet"
    norm: Norm = BatchNorm
    dtype: Any = jnp.float32
    width: int = 64

    stage_names: ClassVar[tuple[str, ...]] = ("layer0", "layer1", "layer2", "layer3", "layer4")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("stem", self.stem, STEMS)

    def setup(self) -> None:
        """Build the stages."""
        stage = partial(Stage, self.block, norm=self.norm, dtype=self.dtype)
        sizes, width = self.stage_sizes, self.width
        self.layer0 = Stem(width, self.stem, self.norm, self.dtype)
        self.layer1 = stage(sizes[0], width, strides=1)
        self.layer2 = stage(sizes[1], 2 * width, strides=2)
        self.layer3 = stage(sizes[2], 4 * width, strides=2)
        self.layer4 = stage(sizes[3], 8 * width, strides=2)
        self.head = Head(self.num_classes)

    def apply_stage(self, name: str, x: Features, *, train: bool) -> Features:
        """Run the stage `name` of `stage_names` on features `[..., batch, height, width, channels]`."""
        return getattr(self, name)(x, train=train)

    def classify(self, x: Features) -> jax.Array:
        """Features of the last stage -> float32 logits `[..., batch, num_classes]`."""
        return self.head(x)
