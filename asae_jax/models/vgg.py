"""VGG-16 (Simonyan and Zisserman 2015), with and without batch normalisation, as five named stages.

The convolutions are torchvision's. Its three fully connected layers are replaced by global average
pooling and one linear layer: the same head as every other backbone here, for any image size.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models.choices import check_choice
from asae_jax.models.conv import Conv
from asae_jax.models.head import Head
from asae_jax.models.norm import Norm
from asae_jax.types import Features

# Which stages do without their pooling, so that the maps have the size they have in a ResNet with that stem.
UNPOOLED = {"imagenet": (), "no_pool": ("layer0",), "small": ("layer0", "layer1")}


class Stage(nn.Module):
    """3 x 3 convolutions of one resolution, and the 2 x 2 max-pool after them."""

    num_convs: int
    features: int
    pool: bool
    norm: Norm | None
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> `[..., height/2, width/2, features]`."""
        for i in range(self.num_convs):
            x = Conv(self.features, 3, padding=1, use_bias=True, dtype=self.dtype, name=f"conv{i}")(x)
            if self.norm is not None:
                x = self.norm(name=f"bn{i}")(x, train=train)
            x = nn.relu(x)
        return nn.max_pool(x, (2, 2), (2, 2)) if self.pool else x


class VGG(nn.Module):
    """VGG-16 whose stages can be run one by one, on features with or without a branch axis.

    Attributes:
      num_classes: logits out.
      stem: "imagenet" pools after every stage, "no_pool" not after layer0, "small" neither after layer0 nor
        layer1. After layer3 the map is the image's side divided by 16, 8 and 4.
      norm: what `asae_jax.models.norm.make_norm` gives, after every convolution (torchvision's vgg16_bn), or
        None (vgg16).
      dtype: of the computation; parameters, statistics and logits are float32.
      width: channels of layer0.
    """

    num_classes: int
    stem: str = "imagenet"
    norm: Norm | None = None
    dtype: Any = jnp.float32
    width: int = 64

    stage_names: ClassVar[tuple[str, ...]] = ("layer0", "layer1", "layer2", "layer3", "layer4")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("stem", self.stem, UNPOOLED)

    def setup(self) -> None:
        """Build the stages."""
        width = self.width
        self.layer0 = self._stage("layer0", 2, width)
        self.layer1 = self._stage("layer1", 2, 2 * width)
        self.layer2 = self._stage("layer2", 3, 4 * width)
        self.layer3 = self._stage("layer3", 3, 8 * width)
        self.layer4 = self._stage("layer4", 3, 8 * width)
        self.head = Head(self.num_classes)

    def _stage(self, name: str, num_convs: int, features: int) -> Stage:
        pool = name not in UNPOOLED[self.stem]
        return Stage(num_convs, features, pool, self.norm, self.dtype)

    def apply_stage(self, name: str, x: Features, *, train: bool) -> Features:
        """Run the stage `name` of `stage_names` on features `[..., batch, height, width, channels]`."""
        return getattr(self, name)(x, train=train)

    def classify(self, x: Features) -> jax.Array:
        """Features of the last stage -> float32 logits `[..., batch, num_classes]`."""
        return self.head(x)

    def class_maps(self, x: Features) -> jax.Array:
        """Features of the last stage -> float32 class maps `[..., height, width, num_classes]`."""
        return self.head(x, pool=False)
