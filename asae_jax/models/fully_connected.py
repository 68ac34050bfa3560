"""The two hidden linear layers at the end of the older classifiers."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models.conv import Conv
from asae_jax.precision import at_least_float32
from asae_jax.types import Features


class FullyConnected(nn.Module):
    """Mean over the map, then linear layers with an activation.

    AlexNet flattens the map here, which ties the parameters to one image size; pooling keeps any size.

    Attributes:
      features: channels out of each layer.
      activation: after each layer.
      dtype: of the computation.
    """

    features: tuple[int, ...]
    activation: Callable[[jax.Array], jax.Array]
    dtype: Any

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """`[..., height, width, channels]` -> `[..., 1, 1, features[-1]]`."""
        x = jnp.mean(at_least_float32(x), axis=(-3, -2), keepdims=True)
        for i, features in enumerate(self.features):
            x = self.activation(Conv(features, 1, use_bias=True, dtype=self.dtype, name=f"fc{i}")(x))
        return x
