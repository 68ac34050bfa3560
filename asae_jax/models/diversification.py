"""The Diversification Block (Sun et al., AAAI 2020, arXiv 1912.06842).

It weakens, per channel, the peak and random patches. In its paper the channels are class maps, one per
class, in front of global average pooling (`insert_after="class_maps"`); behind a stage every channel of
the features is treated so. Values are multiplied by a factor, not rescaled.
"""

import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.errors import UserError
from asae_jax.models.training_layer import TrainingLayer
from asae_jax.types import Features, Key


def diversification_mask(
    image_keys: Key,
    features: Features,
    *,
    peak_rate: float = 0.5,
    patch_rate: float = 0.5,
    patch_size: int = 3,
) -> jax.Array:
    """Which values of each map are weakened: boolean, in the shape of `features`.

    The map is tiled by patches from its upper left corner, those at the far border may be smaller. The peak
    follows its own draw alone; all cells that equal the maximum are the peak.

    Args:
      image_keys: one key per image, `[batch]`.
      features: `[batch, height, width, channels]`.
      peak_rate: probability that the peak of a map is chosen.
      patch_rate: probability for each patch of each map.
      patch_size: side of a patch in cells.
    """
    features = lax.stop_gradient(features)
    height, width, channels = features.shape[1:]
    rows, cols = -(-height // patch_size), -(-width // patch_size)
    # The first number of each map is the peak's, the others its patches': one draw compiles fastest.
    draws = jax.vmap(lambda key: jax.random.uniform(key, (1 + rows * cols, channels)))(image_keys)
    peaks = draws[:, :1, None] < peak_rate
    patches = (draws[:, 1:] < patch_rate).reshape(-1, rows, cols, channels)
    patches = jnp.repeat(jnp.repeat(patches, patch_size, axis=1), patch_size, axis=2)[:, :height, :width]
    is_peak = features == jnp.max(features, axis=(1, 2), keepdims=True)
    return jnp.where(is_peak, peaks, patches)


class DiversificationBlock(TrainingLayer):
    """Peaks and random patches are multiplied by `factor`.

    Attributes:
      peak_rate, patch_rate, patch_size: see `diversification_mask`; p_peak and p_patch of the paper.
      factor: alpha of the paper, within 0..1.
    """

    peak_rate: float = 0.5
    patch_rate: float = 0.5
    patch_size: int = 3
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("peak_rate", "patch_rate", "factor"):
            value = getattr(self, option)
            if not 0 <= value <= 1:
                raise UserError(
                    f"{option} of the Diversification Block is {value}: give a number within 0..1"
                )
        if self.patch_size < 1:
            raise UserError(f"patch_size is {self.patch_size}: give at least one cell")

    def disturb(self, key: Key, features: Features) -> Features:
        """Weaken the chosen values."""
        weakened = diversification_mask(
            self.image_keys(key, features),
            features,
            peak_rate=self.peak_rate,
            patch_rate=self.patch_rate,
            patch_size=self.patch_size,
        )
        return jnp.where(weakened, self.factor * features, features)
