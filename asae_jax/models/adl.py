"""ADL, the attention-based dropout layer (Choe and Shim, CVPR 2019).

As its authors' PyTorch code has it (clovaai/wsolevaluation, `wsol/method/adl.py`): one draw for the whole
batch decides whether all cells near the maximum are hidden or the features are weighted by their
attention. Gradients flow through the attention.
"""

import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.errors import UserError
from asae_jax.models.training_layer import TrainingLayer
from asae_jax.precision import at_least_float32
from asae_jax.types import AttentionMap, Features, Key


def drop_mask(attention: AttentionMap, *, threshold: float = 0.8) -> AttentionMap:
    """1 where the map lies below `threshold` times its maximum, else 0.

    Args:
      attention: `[..., height, width]`.
      threshold: gamma of the paper.

    Returns:
      float32 of the same shape, without gradient. Taken literally: a map whose maximum is zero is hidden
      everywhere, one whose maximum is negative nowhere.
    """
    attention = lax.stop_gradient(attention)
    highest = jnp.max(attention, axis=(-2, -1), keepdims=True)
    return (attention < threshold * highest).astype(jnp.float32)


def importance_map(attention: AttentionMap) -> AttentionMap:
    """Sigmoid of the map."""
    return jax.nn.sigmoid(attention)


class ADL(TrainingLayer):
    """Features times the drop mask or, more rarely, the importance map; the same choice for all images.

    It takes features with any number of leading axes.

    Attributes:
      rate: probability of the drop mask (the paper's drop_rate of 75 %).
      threshold: gamma of the paper, relative to the maximum of each map.
    """

    rate: float = 0.75
    threshold: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("rate", "threshold"):
            value = getattr(self, option)
            if not 0 <= value <= 1:
                raise UserError(f"{option} of ADL is {value}: give a number within 0..1")

    def disturb(self, key: Key, features: Features) -> Features:
        """Draw once for the batch, the same on every device, and multiply."""
        attention = jnp.mean(at_least_float32(features), axis=-1)
        drops = jax.random.bernoulli(key, self.rate)
        spatial = jnp.where(drops, drop_mask(attention, threshold=self.threshold), importance_map(attention))
        return (at_least_float32(features) * spatial[..., None]).astype(features.dtype)
