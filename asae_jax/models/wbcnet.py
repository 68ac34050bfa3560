"""WBCNet (Jiang et al. 2018, "White blood cells classification with deep convolutional neural networks").

Reconstructed from the abstract: no layer table is public. It says 33 layers, combining batch
normalisation, residual convolutions and an improved activation function; the paper's section 2.1 adds that
it refers to AlexNet. Read here as AlexNet's five convolutions, with a residual convolution at each of its
three resolutions, counted the way Caffe lists layers: 8 convolutions, 8 normalisations, 8 activations,
3 pools, 2 hidden linear layers with their activations, the output layer and the softmax make 33. The
activation is a leaky ReLU with slope 0.1; that and the place of the residual convolutions are ours.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models.choices import check_choice
from asae_jax.models.conv import Conv
from asae_jax.models.fully_connected import FullyConnected
from asae_jax.models.head import Head
from asae_jax.models.norm import BatchNorm, Norm
from asae_jax.types import Features

# Kernel and strides of the first convolution.
STEMS = {"imagenet": (11, 4), "no_pool": (7, 2), "small": (3, 1)}

activation = partial(nn.leaky_relu, negative_slope=0.1)


class Unit(nn.Module):
    """Convolution that keeps the map's size unless it strides, normalisation, activation."""

    features: int
    size: int
    norm: Norm
    dtype: Any
    strides: int = 1

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> `[..., height/strides, width/strides, features]`."""
        conv = partial(Conv, strides=self.strides, padding=self.size // 2, dtype=self.dtype)
        return activation(self.norm(name="bn")(conv(self.features, self.size, name="conv")(x), train=train))


class Stage(nn.Module):
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
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> `[..., height', width', channels']`."""
        x = _pool(x) if self.pool == "before" else x
        for i, (features, size) in enumerate(self.units):
            x = Unit(features, size, self.norm, self.dtype, name=f"unit{i}")(x, train=train)
        x = _pool(x) if self.pool == "after" else x
        return x + Unit(x.shape[-1], 3, self.norm, self.dtype, name="residual")(x, train=train)


def _pool(x: Features) -> Features:
    """AlexNet's overlapping 3 x 3 max-pool with stride 2; padded, so that it halves the map exactly."""
    # With padding flax pools a single leading axis only.
    y = nn.max_pool(x.reshape(-1, *x.shape[-3:]), (3, 3), (2, 2), [(1, 1), (1, 1)])
    return y.reshape(*x.shape[:-3], *y.shape[1:])


class WBCNet(nn.Module):
    """WBCNet as five named stages; layer4 is the last pool and the hidden linear layers, on a map of 1 x 1.

    Attributes:
      num_classes: logits out.
      stem: "imagenet" (11 x 11 stride 4), "no_pool" (7 x 7 stride 2) or "small" (3 x 3 stride 1). After
        layer3 the map is the image's side divided by 16, 8 and 4.
      norm: what `asae_jax.models.norm.make_norm` gives.
      dtype: of the computation; parameters, statistics and logits are float32.
      width: 64 has AlexNet's channels (96, 256, 384, 4096); others are in proportion.
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
        width, stage = self.width, partial(Stage, norm=self.norm, dtype=self.dtype)
        size, strides = STEMS[self.stem]
        self.layer0 = Unit(3 * width // 2, size, self.norm, self.dtype, strides)
        self.layer1 = stage((), "before")
        self.layer2 = stage(((4 * width, 5),), "after")
        self.layer3 = stage(((6 * width, 3), (6 * width, 3), (4 * width, 3)), "none")
        self.layer4 = FullyConnected((64 * width, 64 * width), activation, self.dtype)
        self.head = Head(self.num_classes)

    def apply_stage(self, name: str, x: Features, *, train: bool) -> Features:
        """Run the stage `name` of `stage_names` on features `[..., batch, height, width, channels]`."""
        return self.layer4(_pool(x)) if name == "layer4" else getattr(self, name)(x, train=train)

    def classify(self, x: Features) -> jax.Array:
        """Features of the last stage -> float32 logits `[..., batch, num_classes]`."""
        return self.head(x)
