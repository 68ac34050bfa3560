"""Cell3Net (Qin et al. 2018, "Fine-grained leukocyte classification with deep residual learning").

Reconstructed from descriptions: no layer table is public. The paper's section 2.1 counts "seven
convolutional layers, three pooling layers, three residual layers, two fully-connected layers and an output
layer". Read here as a first convolution and three residual blocks of two convolutions (1 + 3 x 2 = 7; the
1 x 1 projections of shortcuts are not counted, as in ResNet), a pool after the first three of these four,
and 1024 units in each hidden layer. Widths, kernel sizes and batch normalisation are ours.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models.choices import check_choice
from asae_jax.models.conv import Conv
from asae_jax.models.fully_connected import FullyConnected
from asae_jax.models.head import Head
from asae_jax.models.norm import BatchNorm, Norm
from asae_jax.models.resnet import BasicBlock
from asae_jax.types import Features

# Kernel and strides of the first convolution, and whether a pool follows it.
STEMS = {"imagenet": (7, 2, True), "no_pool": (7, 2, False), "small": (3, 1, False)}


class Stem(nn.Module):
    """First convolution, and its pool where `kind` has one."""

    features: int
    kind: str
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """Images `[..., height, width, 3]` -> features."""
        size, strides, pool = STEMS[self.kind]
        x = Conv(self.features, size, strides=strides, padding=size // 2, dtype=self.dtype, name="conv")(x)
        x = nn.relu(self.norm(name="bn")(x, train=train))
        return nn.max_pool(x, (2, 2), (2, 2)) if pool else x


class Residual(nn.Module):
    """Two 3 x 3 convolutions with a shortcut, and the 2 x 2 max-pool after them."""

    features: int
    pool: bool
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> `[..., height/2, width/2, features]`."""
        block = BasicBlock(features=self.features, strides=1, norm=self.norm, dtype=self.dtype, name="block")
        x = block(x, train=train)
        return nn.max_pool(x, (2, 2), (2, 2)) if self.pool else x


class Cell3Net(nn.Module):
    """Cell3Net as five named stages; layer4 is the hidden linear layers, on a map of 1 x 1.

    Attributes:
      num_classes: logits out.
      stem: "imagenet" (7 x 7 stride 2, max-pool), "no_pool" (without that pool) or "small" (3 x 3 stride 1,
        no pool). After layer3 the map is the image's side divided by 16, 8 and 4.
      norm: what `asae_jax.models.norm.make_norm` gives.
      dtype: of the computation; parameters, statistics and logits are float32.
      width: channels of layer0.
    """

    num_classes: int
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
        width = self.width
        self.layer0 = Stem(width, self.stem, self.norm, self.dtype)
        self.layer1 = Residual(2 * width, True, self.norm, self.dtype)
        self.layer2 = Residual(4 * width, True, self.norm, self.dtype)
        self.layer3 = Residual(8 * width, False, self.norm, self.dtype)
        self.layer4 = FullyConnected((16 * width, 16 * width), nn.relu, self.dtype)
        self.head = Head(self.num_classes)

    def apply_stage(self, name: str, x: Features, *, train: bool) -> Features:
        """Run the stage `name` of `stage_names` on features `[..., batch, height, width, channels]`."""
        return self.layer4(x) if name == "layer4" else getattr(self, name)(x, train=train)

    def classify(self, x: Features) -> jax.Array:
        """Features of the last stage -> float32 logits `[..., batch, num_classes]`."""
        return self.head(x)
