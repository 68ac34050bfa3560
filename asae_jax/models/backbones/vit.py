"""Vision transformer (Dosovitskiy et al. 2021) as five named stages.

The variant of Beyer, Zhai and Kolesnikov 2022 ("Better plain ViT baselines for ImageNet-1k",
google-research/big_vision): fixed sine and cosine positions, and the mean over all tokens in place of a class
token. Between stages the tokens are a map `[..., height, width, channels]`, so that a layer made for
convolutional features, such as ASAE, can stand there. There is no dropout.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from asae_jax.errors import UserError
from asae_jax.models.backbones.base import Backbone
from asae_jax.models.layers import Conv
from asae_jax.models.placement import Shrinking, Window
from asae_jax.types import Features, NextFeatures, at_least_float32

PATCH_SIZES = {"imagenet": 16, "no_pool": 8, "small": 4}
"""Pixels of a patch by the name of the stem."""

HEADS = 6

# The variance as a mean of squared differences: E[x^2] - E[x]^2 would lose digits of large features.
layer_norm = partial(nn.LayerNorm, epsilon=1e-6, use_fast_variance=False)


def positions(height: int, width: int, channels: int) -> np.ndarray:
    """Sines and cosines of column and row at frequencies from 1 to 1/10,000 (Chen et al. 2021, MoCo v3).

    Args:
      height: rows of the map.
      width: columns of the map.
      channels: a multiple of 4, at least 8.

    Returns:
      float32 `[height, width, channels]`: sine and cosine of the column, then of the row.
    """
    frequencies = 10_000.0 ** -np.linspace(0, 1, channels // 4)
    rows, cols = np.mgrid[:height, :width]
    angles = [coordinate[..., None] * frequencies for coordinate in (cols, rows)]
    return np.concatenate([wave(a) for a in angles for wave in (np.sin, np.cos)], -1).astype(np.float32)


class Attention(nn.Module):
    """Every position of a map attends to every other, in several heads."""

    dtype: Any
    heads: int = HEADS

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """Features of the same shape."""
        *leading, height, width, channels = x.shape
        heads = (*leading, height * width, self.heads, channels // self.heads)
        linear = partial(nn.Dense, channels, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype)
        query, key, value = (linear(name=name)(x).reshape(heads) for name in ("query", "key", "value"))
        scores = jnp.einsum("...qhc,...khc->...hqk", query * heads[-1] ** -0.5, key)
        weights = jax.nn.softmax(at_least_float32(scores)).astype(self.dtype)
        y = jnp.einsum("...hqk,...khc->...qhc", weights, value).reshape(x.shape)
        return linear(name="out")(y)


class Block(nn.Module):
    """Attention and two linear layers, each normalised in front and added to its input.

    With a `layer_scale` what is added is multiplied by learnt numbers, one per channel, that start there.
    """

    dtype: Any
    heads: int = HEADS
    layer_scale: float = 0.0

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """Features of the same shape."""
        channels = x.shape[-1]
        linear = partial(nn.Dense, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype)
        y = layer_norm(dtype=self.dtype, name="norm1")(x)
        x = x + self._scaled("gamma1", Attention(self.dtype, self.heads, name="attention")(y))
        y = layer_norm(dtype=self.dtype, name="norm2")(x)
        y = nn.gelu(linear(4 * channels, name="fc1")(y), approximate=False)
        return x + self._scaled("gamma2", linear(channels, name="fc2")(y))

    def _scaled(self, name: str, y: Features) -> Features:
        if not self.layer_scale:
            return y
        scale = self.param(name, nn.initializers.constant(self.layer_scale), y.shape[-1:])
        return y * scale.astype(self.dtype).reshape((1,) * (y.ndim - 1) + (-1,))


class Stage(nn.Module):
    """Some of the blocks, and after the last of them a norm."""

    num_blocks: int
    norm: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """Features of the same shape."""
        for i in range(self.num_blocks):
            x = Block(self.dtype, name=f"block{i}")(x)
        return layer_norm(dtype=self.dtype, name="norm")(x) if self.norm else x


class PatchEmbedding(nn.Module):
    """Convolution of patches that do not overlap, and their positions."""

    features: int
    patch_size: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """Images `[..., height, width, 3]` -> `[..., height/patch_size, width/patch_size, features]`."""
        conv = partial(Conv, strides=self.patch_size, use_bias=True, dtype=self.dtype)
        init = nn.initializers.lecun_normal()
        x = conv(self.features, self.patch_size, kernel_init=init, name="conv")(x)
        grid = positions(*x.shape[-3:])
        return x + grid.astype(self.dtype).reshape((1,) * (x.ndim - 3) + grid.shape)


class ViT(Backbone):
    """Vision transformer; the default is ViT-S, its twelve blocks in four stages of one resolution.

    Attributes:
      stem: patches of 16 ("imagenet"), 8 ("no_pool") or 4 pixels ("small"): the map's side is the image's
        divided by that. Attention costs the fourth power of the side.
      norm: None; a vision transformer has layer normalisation of its own.
      width: channels of each of the six heads, even.
      stage_sizes: blocks in layer1 .. layer4.
    """

    norm: None = None
    stage_sizes: tuple[int, int, int, int] = (3, 3, 3, 3)

    stems = PATCH_SIZES
    signed = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 2:
            raise UserError(f"width is {self.width}: the positions of a vision transformer need an even one")

    def stages(self) -> tuple[nn.Module, ...]:
        """Patches with their positions, and the blocks; a norm ends the last stage."""
        patches = PatchEmbedding(HEADS * self.width, PATCH_SIZES[self.stem], self.dtype)
        blocks = (Stage(count, i == 3, self.dtype) for i, count in enumerate(self.stage_sizes))
        return patches, *blocks

    def shrinking(self, name: str) -> tuple[Shrinking, ...]:
        """The patches of the first stage."""
        patch = PATCH_SIZES[self.stem]
        return (Window(patch, patch),) if name == "layer0" else ()
