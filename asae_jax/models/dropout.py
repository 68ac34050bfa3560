"""Dropout of single values and of whole channels.

Sources: Srivastava et al. 2014, "Dropout"; Tompson et al. 2015, "Efficient object localization using
convolutional networks" (Spatial Dropout). Kept values are divided by the share kept, as in PyTorch's
`Dropout` and `Dropout2d`, so that nothing has to be scaled at test.
"""

import jax
import jax.numpy as jnp

from asae_jax.models.training_layer import RateLayer
from asae_jax.types import Features, Key


def dropout(image_keys: Key, features: Features, *, rate: float) -> Features:
    """Set each value to zero with probability `rate`; the others become `1 / (1 - rate)` times as large.

    Args:
      image_keys: one key per image, `[batch]`.
      features: `[batch, height, width, channels]`.
      rate: _not_ the keep rate; at least 0, below 1.

    Returns:
      Features of the same shape and dtype.
    """
    return _drop(image_keys, features, features.shape[1:], rate)


def spatial_dropout(image_keys: Key, features: Features, *, rate: float) -> Features:
    """Set each channel of each image to zero with probability `rate`; otherwise like `dropout`."""
    return _drop(image_keys, features, (1, 1, features.shape[3]), rate)


def _drop(image_keys: Key, features: Features, shape: tuple[int, ...], rate: float) -> Features:
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, shape))(image_keys)
    return jnp.where(kept, features / (1 - rate), jnp.zeros_like(features))


class Dropout(RateLayer):
    """Single values are dropped, each with probability `rate`."""

    def disturb(self, key: Key, features: Features) -> Features:
        """See `dropout`."""
        return dropout(self.image_keys(key, features), features, rate=self.rate)


class SpatialDropout(RateLayer):
    """Whole channels are dropped, each with probability `rate`."""

    def disturb(self, key: Key, features: Features) -> Features:
        """See `spatial_dropout`."""
        return spatial_dropout(self.image_keys(key, features), features, rate=self.rate)
