"""VGG-16 (Simonyan and Zisserman 2015), with and without batch normalisation, as five named stages.

The convolutions are torchvision's. Its three fully connected layers are replaced by global average
pooling and one linear layer: the same head as every other backbone here, for any image size.
"""

from typing import Any

import flax.linen as nn

from asae_jax.models.backbones.base import Backbone
from asae_jax.models.layers import Conv, Norm
from asae_jax.models.placement import Shrinking, Window
from asae_jax.models.pooling import max_pool
from asae_jax.types import Features, NextFeatures

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
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height/2, width/2, features]`."""
        for i in range(self.num_convs):
            x = Conv(self.features, 3, padding=1, use_bias=True, dtype=self.dtype, name=f"conv{i}")(x)
            if self.norm is not None:
                x = self.norm(name=f"bn{i}")(x, train=train)
            x = nn.relu(x)
        return max_pool(x, 2, strides=2) if self.pool else x


class VGG(Backbone):
    """VGG-16.

    Attributes:
      stem: "imagenet" pools after every stage, "no_pool" not after layer0, "small" neither after layer0 nor
        layer1.
      norm: after every convolution (torchvision's vgg16_bn), or None (vgg16).
      width: channels of layer0.
    """

    stems = UNPOOLED

    def stages(self) -> tuple[nn.Module, ...]:
        """Five groups of convolutions, each with its pool."""
        sizes = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
        unpooled = UNPOOLED[self.stem]
        return tuple(
            Stage(num_convs, factor * self.width, name not in unpooled, self.norm, self.dtype)
            for name, (num_convs, factor) in zip(self.stage_names, sizes, strict=True)
        )

    def shrinking(self, name: str) -> tuple[Shrinking, ...]:
        """The pool after the stage's convolutions."""
        return () if name in UNPOOLED[self.stem] else (Window(2, 2),)
