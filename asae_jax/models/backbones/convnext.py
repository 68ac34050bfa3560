"""ConvNeXt (Liu et al. 2022, "A ConvNet for the 2020s") as five named stages.

Layers and their order are those of facebookresearch/ConvNeXt. Stochastic depth is left out: it belongs to
300 epochs of ImageNet.

A LayerNorm stands in front of every later stage, and it takes a factor per position out again. So the branch
that the ASAE layer enhances equals the plain one here, up to the norm's epsilon; suppression acts in full.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from asae_jax.models.backbones.base import Backbone
from asae_jax.models.layers import Conv
from asae_jax.models.placement import Shrinking, Window
from asae_jax.types import Features, Logits, NextFeatures, at_least_float32

PATCH_SIZES = {"imagenet": 4, "no_pool": 2, "small": 1}
"""Pixels of the first convolution's patches by the name of the stem."""

_spread = nn.initializers.truncated_normal(0.02)
# The variance as a mean of squared differences: E[x^2] - E[x]^2 would lose digits of large features.
_layer_norm = partial(nn.LayerNorm, epsilon=1e-6, use_fast_variance=False)


class Block(nn.Module):
    """Depthwise 7 x 7 convolution and two linear layers, scaled and added to the input."""

    layer_scale: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """Features of the same shape."""
        channels = x.shape[-1]
        linear = partial(nn.Dense, kernel_init=_spread, dtype=self.dtype)
        conv = partial(Conv, groups=channels, use_bias=True, kernel_init=_spread, dtype=self.dtype)
        y = conv(channels, 7, padding=3, name="dwconv")(x)
        y = _layer_norm(dtype=self.dtype, name="norm")(y)
        y = nn.gelu(linear(4 * channels, name="pwconv1")(y), approximate=False)
        y = linear(channels, name="pwconv2")(y)
        scale = self.param("gamma", nn.initializers.constant(self.layer_scale), (channels,))
        return x + y * scale.astype(self.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


class Stage(nn.Module):
    """Blocks of one resolution; where the channels change a norm and a 2 x 2 stride 2 convolution first."""

    num_blocks: int
    features: int
    layer_scale: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height/2, width/2, features]`, or the same shape."""
        if x.shape[-1] != self.features:
            conv = partial(Conv, strides=2, use_bias=True, kernel_init=_spread, dtype=self.dtype)
            x = _layer_norm(dtype=self.dtype, name="downsample_norm")(x)
            x = conv(self.features, 2, name="downsample_conv")(x)
        for i in range(self.num_blocks):
            x = Block(self.layer_scale, self.dtype, name=f"block{i}")(x)
        return x


class Stem(nn.Module):
    """Convolution of patches that do not overlap, and a norm."""

    features: int
    patch_size: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """Images `[..., height, width, 3]` -> `[..., height/patch_size, width/patch_size, features]`."""
        size = self.patch_size
        conv = partial(Conv, strides=size, use_bias=True, kernel_init=_spread, dtype=self.dtype)
        return _layer_norm(dtype=self.dtype, name="norm")(conv(self.features, size, name="conv")(x))


class ConvNeXt(Backbone):
    """ConvNeXt; the default is ConvNeXt-Tiny.

    Attributes:
      stem: patches of 4 ("imagenet"), 2 ("no_pool") or 1 pixel ("small").
      norm: None; ConvNeXt has layer normalisation of its own.
      width: 64 has ConvNeXt-Tiny's channels (96 in layer0); others are in proportion.
      stage_sizes: blocks in layer1 .. layer4.
      layer_scale: what the blocks' outputs are multiplied by at the start; learnt.
    """

    norm: None = None
    stage_sizes: tuple[int, int, int, int] = (3, 3, 9, 3)
    layer_scale: float = 1e-6

    stems = PATCH_SIZES
    signed = True
    has_class_maps = False

    def setup(self) -> None:
        """Build the stages, the head and the norm in front of it."""
        super().setup()
        self.norm_head = _layer_norm()

    def stages(self) -> tuple[nn.Module, ...]:
        """Patches, and four stages whose channels double."""
        stage = partial(Stage, layer_scale=self.layer_scale, dtype=self.dtype)
        features = 3 * self.width // 2
        stem = Stem(features, PATCH_SIZES[self.stem], self.dtype)
        return stem, *(stage(blocks, features * 2**i) for i, blocks in enumerate(self.stage_sizes))

    def shrinking(self, name: str) -> tuple[Shrinking, ...]:
        """The patches, and the 2 x 2 convolution at the start of all later stages but the first."""
        if name == "layer0":
            return (Window(PATCH_SIZES[self.stem], PATCH_SIZES[self.stem]),)
        return () if name == "layer1" else (Window(2, 2),)

    def classify(self, x: Features) -> Logits:
        """The last stage's features, pooled and normalised -> float32 logits `[..., batch, num_classes]`."""
        pooled = jnp.mean(at_least_float32(x), axis=(-3, -2), keepdims=True)
        return self.head(self.norm_head(pooled))
