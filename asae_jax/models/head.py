"""The classifier at the end of every backbone."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.precision import at_least_float32
from asae_jax.types import Features

# Uniform within +-1/sqrt(channels), torch's default for a linear layer.
_torch_linear = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Head(nn.Module):
    """Global average pooling and a linear layer, in float32 whatever the dtype of the features."""

    num_classes: int

    @nn.compact
    def __call__(self, x: Features, *, pool: bool = True) -> jax.Array:
        """`[..., height, width, channels]` -> float32 logits `[..., num_classes]`.

        Without `pool` the class maps `[..., height, width, num_classes]`, whose mean over the cells is the
        logits.
        """
        x = at_least_float32(x)
        x = jnp.mean(x, axis=(-3, -2)) if pool else x
        kernel = self.param("kernel", _torch_linear, (x.shape[-1], self.num_classes))
        bias = self.param("bias", nn.initializers.zeros, (self.num_classes,))
        # Full precision: on TPUs and recent GPUs the default would round the features to fewer bits.
        logits = jnp.matmul(x, kernel, precision="highest")
        return logits + bias.reshape((1,) * (logits.ndim - 1) + (-1,))
