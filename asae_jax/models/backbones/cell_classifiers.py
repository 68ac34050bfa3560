"""Classifiers of white blood cells before ASAE-Net, reconstructed: WBCNet and Cell3Net.

No layer table of either is public.

WBCNet (Jiang et al. 2018, "White blood cells classification with deep convolutional neural networks"): the
abstract says 33 layers, combining batch normalisation, residual convolutions and an improved activation
function; section 2.1 of the ASAE paper adds that it refers to AlexNet. Read here as AlexNet's five
convolutions, with a residual convolution at each of its three resolutions, counted the way Caffe lists
layers: 8 convolutions, 8 normalisations, 8 activations, 3 pools, 2 hidden linear layers with their
activations, the output layer and the softmax make 33. The activation is a leaky ReLU with slope 0.1; that and
the place of the residual convolutions are ours.

Cell3Net (Qin et al. 2018, "Fine-grained leukocyte classification with deep residual learning"): section 2.1
of the ASAE paper counts "seven convolutional layers, three pooling layers, three residual layers, two
fully-connected layers and an output layer". Read here as a first convolution and three residual blocks of two
convolutions (1 + 3 x 2 = 7; the 1 x 1 projections of shortcuts are not counted, as in ResNet), a pool after
the first three of these four, and 1024 units in each hidden layer. Widths, kernel sizes and batch
normalisation are ours.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from asae_jax.models.backbones.base import Backbone
from asae_jax.models.backbones.resnet import BasicBlock
from asae_jax.models.layers import BatchNorm, Conv, Norm
from asae_jax.models.placement import GLOBAL_MEAN, Shrinking, Window
from asae_jax.models.pooling import max_pool
from asae_jax.types import Array, Features, NextFeatures, at_least_float32


class FullyConnected(nn.Module):
    """The hidden linear layers of both networks: mean over the map, then linear layers with an activation.

    AlexNet flattens the map here, which ties the parameters to one image size; pooling keeps any size.

    Attributes:
      features: channels out of each layer.
      activation: after each layer.
      dtype: of the computation.
    """

    features: tuple[int, ...]
    activation: Callable[[Array], Array]
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., 1, 1, features[-1]]`."""
        x = jnp.mean(at_least_float32(x), axis=(-3, -2), keepdims=True)
        for i, features in enumerate(self.features):
            x = self.activation(Conv(features, 1, use_bias=True, dtype=self.dtype, name=f"fc{i}")(x))
        return x


# Kernel and strides of the first convolution.
WBCNET_STEMS = {"imagenet": (11, 4), "no_pool": (7, 2), "small": (3, 1)}

activation = partial(nn.leaky_relu, negative_slope=0.1)


class WBCNetUnit(nn.Module):
    """Convolution that keeps the map's size unless it strides, normalisation, activation."""

    features: int
    size: int
    norm: Norm
    dtype: Any
    strides: int = 1

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, features]`."""
        conv = partial(Conv, strides=self.strides, padding=self.size // 2, dtype=self.dtype)
        return activation(self.norm(name="bn")(conv(self.features, self.size, name="conv")(x), train=train))


class WBCNetStage(nn.Module):
    """Units, a pool before or after them, and a residual 3 x 3 convolution.

    Attributes:
      units: (channels, kernel size) of each.
      pool: "before" or "after" the units, or "none".
      norm: constructor of the normalisation layers.
      dtype: of the computation.
    """

    units: tuple[tuple[int, int], ...]
    pool: str
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height', width', channels']`."""
        x = _pool(x) if self.pool == "before" else x
        for i, (features, size) in enumerate(self.units):
            x = WBCNetUnit(features, size, self.norm, self.dtype, name=f"unit{i}")(x, train=train)
        x = _pool(x) if self.pool == "after" else x
        return x + WBCNetUnit(x.shape[-1], 3, self.norm, self.dtype, name="residual")(x, train=train)


def _pool(x: Features) -> NextFeatures:
    """AlexNet's overlapping 3 x 3 max-pool with stride 2; padded, so that it halves the map exactly."""
    return max_pool(x, 3, strides=2, padding=1)


class WBCNet(Backbone):
    """WBCNet; layer4 is the last pool and the hidden linear layers, on a map of 1 x 1.

    Attributes:
      stem: "imagenet" (11 x 11 stride 4), "no_pool" (7 x 7 stride 2) or "small" (3 x 3 stride 1).
      width: 64 has AlexNet's channels (96, 256, 384, 4096); others are in proportion.
    """

    norm: Norm = BatchNorm

    stems = WBCNET_STEMS
    has_class_maps = False

    def stages(self) -> tuple[nn.Module, ...]:
        """AlexNet's convolutions by resolution, and the hidden layers."""
        width, stage = self.width, partial(WBCNetStage, norm=self.norm, dtype=self.dtype)
        size, strides = WBCNET_STEMS[self.stem]
        return (
            WBCNetUnit(3 * width // 2, size, self.norm, self.dtype, strides),
            stage((), "before"),
            stage(((4 * width, 5),), "after"),
            stage(((6 * width, 3), (6 * width, 3), (4 * width, 3)), "none"),
            FullyConnected((64 * width, 64 * width), activation, self.dtype),
        )

    def shrinking(self, name: str) -> tuple[Shrinking, ...]:
        """The first convolution, a pool in each of layer1, layer2 and layer4, and the mean over the map."""
        size, strides = WBCNET_STEMS[self.stem]
        pool = Window(3, 2, padding=1)
        windows: dict[str, tuple[Shrinking, ...]] = {
            "layer0": (Window(size, strides, padding=size // 2),),
            "layer1": (pool,),
            "layer2": (pool,),
            "layer4": (pool, GLOBAL_MEAN),
        }
        return windows.get(name, ())

    def apply_stage(self, name: str, x: Features, *, train: bool) -> NextFeatures:
        """As in the base; the last pool precedes the hidden layers."""
        return super().apply_stage(name, _pool(x) if name == "layer4" else x, train=train)


# Kernel and strides of the first convolution, and whether a pool follows it.
CELL3NET_STEMS = {"imagenet": (7, 2, True), "no_pool": (7, 2, False), "small": (3, 1, False)}


class Cell3NetStem(nn.Module):
    """First convolution, and its pool where `kind` has one."""

    features: int
    kind: str
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """Images `[..., height, width, 3]` -> features."""
        size, strides, pool = CELL3NET_STEMS[self.kind]
        x = Conv(self.features, size, strides=strides, padding=size // 2, dtype=self.dtype, name="conv")(x)
        x = nn.relu(self.norm(name="bn")(x, train=train))
        return max_pool(x, 2, strides=2) if pool else x


class Cell3NetStage(nn.Module):
    """Two 3 x 3 convolutions with a shortcut, and the 2 x 2 max-pool after them."""

    features: int
    pool: bool
    norm: Norm
    dtype: Any

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> NextFeatures:
        """`[..., height, width, channels]` -> `[..., height/2, width/2, features]`."""
        block = BasicBlock(features=self.features, strides=1, norm=self.norm, dtype=self.dtype, name="block")
        x = block(x, train=train)
        return max_pool(x, 2, strides=2) if self.pool else x


class Cell3Net(Backbone):
    """Cell3Net; layer4 is the hidden linear layers, on a map of 1 x 1.

    Attributes:
      stem: "imagenet" (7 x 7 stride 2, max-pool), "no_pool" (without that pool) or "small" (3 x 3 stride 1,
        no pool).
      width: channels of layer0.
    """

    norm: Norm = BatchNorm

    stems = CELL3NET_STEMS
    has_class_maps = False

    def stages(self) -> tuple[nn.Module, ...]:
        """First convolution, three residual blocks, and the hidden layers."""
        width, norm, dtype = self.width, self.norm, self.dtype
        return (
            Cell3NetStem(width, self.stem, norm, dtype),
            Cell3NetStage(2 * width, True, norm, dtype),
            Cell3NetStage(4 * width, True, norm, dtype),
            Cell3NetStage(8 * width, False, norm, dtype),
            FullyConnected((16 * width, 16 * width), nn.relu, dtype),
        )

    def shrinking(self, name: str) -> tuple[Shrinking, ...]:
        """The first convolution and its pool, the pools of layer1 and layer2, and the mean over the map."""
        size, strides, pooled = CELL3NET_STEMS[self.stem]
        first, pool = Window(size, strides, padding=size // 2), Window(2, 2)
        windows: dict[str, tuple[Shrinking, ...]] = {
            "layer0": (first, pool) if pooled else (first,),
            "layer1": (pool,),
            "layer2": (pool,),
            "layer4": (GLOBAL_MEAN,),
        }
        return windows.get(name, ())
