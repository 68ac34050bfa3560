"""Squeeze-and-excitation (Hu et al., CVPR 2018): channels weighted by what the whole map holds."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.precision import at_least_float32
from asae_jax.types import Features


class SqueezeExcitation(nn.Module):
    """Mean over the map, two linear layers with biases (ReLU, sigmoid), one weight per channel.

    Attributes:
      reduction: r of the paper: the hidden layer has channels / r values, at least one.
    """

    reduction: int = 16

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """`[..., height, width, channels]` -> the same, each channel times its weight within 0..1."""
        channels = x.shape[-1]
        pooled = jnp.mean(at_least_float32(x), axis=(-3, -2), keepdims=True)
        hidden = nn.relu(nn.Dense(max(1, channels // self.reduction), name="reduce")(pooled))
        weights = jax.nn.sigmoid(nn.Dense(channels, name="expand")(hidden))
        return x * weights.astype(x.dtype)
