"""The vision transformer of published weights: a class token and learnt positions; DINOv2 and DinoBloom too.

Dosovitskiy et al. 2021, as timm, torchvision and Hugging Face have it, and DINOv2 (Oquab et al. 2023), whose
blocks scale what they add (LayerScale) and whose patches have 14 pixels. DinoBloom (Koch et al. 2024) is a
DINOv2 trained on blood and marrow cells. There is no dropout.

Between stages the features are a map, as a layer made for convolutional features needs it: the class token
stands at every position of it, in front of the position's own channels. A stage takes the mean of the copies.
So what a layer does to the positions it does to the token on average; suppressing a fifth of the map shrinks
the token by a fifth, which the norm in front of every block takes out again. Pooled, the last map is the
token and the mean of the patches, what DINOv2's authors classify by; a head of the token alone has zeros for
the rest.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from asae_jax.models.backbones.base import Backbone
from asae_jax.models.backbones.vit import Block, layer_norm
from asae_jax.models.layers import Conv
from asae_jax.models.placement import Shrinking, Window
from asae_jax.types import Features, NextFeatures

_spread = nn.initializers.truncated_normal(0.02)


class Patches(nn.Module):
    """Convolution of patches that do not overlap, their positions, and the class token.

    The positions are those of one size of image; `asae_jax.models.torch_vit` interpolates a file's.
    """

    features: int
    patch_size: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """Images `[..., height, width, 3]` -> `[..., height/patch_size, width/patch_size, 2 features]`."""
        conv = partial(Conv, strides=self.patch_size, use_bias=True, dtype=self.dtype)
        x = conv(self.features, self.patch_size, kernel_init=_spread, name="conv")(x)
        positions = self.param("positions", _spread, x.shape[-3:]).astype(self.dtype)
        token = self.param("token", _spread, (self.features,)).astype(self.dtype)
        x = x + positions.reshape((1,) * (x.ndim - 3) + positions.shape)
        return jnp.concatenate([jnp.broadcast_to(token.reshape((1,) * (x.ndim - 1) + (-1,)), x.shape), x], -1)


class Stage(nn.Module):
    """Some of the blocks, and after the last of them a norm."""

    num_blocks: int
    heads: int
    layer_scale: float
    norm: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """Features of the same shape."""
        token, patches = jnp.split(x, 2, axis=-1)
        token = jnp.mean(token, axis=(-3, -2), keepdims=True)
        # A row of tokens: the blocks take maps of any height and width.
        row = patches.reshape(*patches.shape[:-3], 1, -1, patches.shape[-1])
        row = jnp.concatenate([token, row], axis=-2)
        for i in range(self.num_blocks):
            row = Block(self.dtype, self.heads, self.layer_scale, name=f"block{i}")(row)
        row = layer_norm(dtype=self.dtype, name="norm")(row) if self.norm else row
        token, patches = row[..., :1, :], row[..., 1:, :].reshape(patches.shape)
        return jnp.concatenate([jnp.broadcast_to(token, patches.shape), patches], axis=-1)


class TokenViT(Backbone):
    """Vision transformer with a class token; the default is ViT-S/16.

    Attributes:
      stem: "imagenet": patches of `patch_size`.
      norm: None; a vision transformer has layer normalisation of its own.
      width: channels of each head.
      heads: heads of attention; 6, 12 and 16 in ViT-S, -B and -L.
      patch_size: side of a patch in pixels.
      layer_scale: what the blocks' outputs are multiplied by at the start, learnt; 0: not at all.
      stage_sizes: blocks in layer1 .. layer4.
    """

    norm: None = None
    heads: int = 6
    patch_size: int = 16
    layer_scale: float = 0.0
    stage_sizes: tuple[int, int, int, int] = (3, 3, 3, 3)

    stems: ClassVar[tuple[str, ...]] = ("imagenet",)
    signed = True

    def stages(self) -> tuple[nn.Module, ...]:
        """Patches with the class token, and the blocks; a norm ends the last stage."""
        patches = Patches(self.heads * self.width, self.patch_size, self.dtype)
        stage = partial(Stage, heads=self.heads, layer_scale=self.layer_scale, dtype=self.dtype)
        return patches, *(stage(count, norm=i == 3) for i, count in enumerate(self.stage_sizes))

    def shrinking(self, name: str) -> tuple[Shrinking, ...]:
        """The patches of the first stage."""
        return (Window(self.patch_size, self.patch_size),) if name == "layer0" else ()
