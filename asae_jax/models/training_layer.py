"""Layers without parameters that disturb features in training and do nothing at test.

They can stand where ASAE stands, one copy of the features in and one out, so that hiding one region is
compared with hiding something else.
"""

import flax.linen as nn
import jax
from jax import lax

from asae_jax import keys
from asae_jax.errors import UserError
from asae_jax.types import Features, Key

STREAM = "drop"
"""The rng stream these layers draw from."""


class TrainingLayer(nn.Module):
    """Base of the layers; they differ in `disturb`.

    Attributes:
      axis_name: device axis over which the batch is spread in training.
    """

    axis_name: str | None = None

    def __call__(self, features: Features, *, train: bool) -> Features:
        """Features of the same shape and dtype; at test they are the input itself.

        Args:
          features: `[batch, height, width, channels]`.
          train: draw from the rng stream `STREAM` and disturb the features.
        """
        return self.disturb(self.make_rng(STREAM), features) if train else features

    def disturb(self, key: Key, features: Features) -> Features:
        """What the layer does in training, with the same `key` on every device."""
        raise NotImplementedError

    def image_keys(self, key: Key, features: Features) -> Key:
        """One key per image, `[batch]`; an image has the same one however the batch is spread."""
        count = features.shape[0]
        first: jax.Array | int = 0 if self.axis_name is None else lax.axis_index(self.axis_name) * count
        return keys.example_keys(key, count, first)


class RateLayer(TrainingLayer):
    """Base of the layers that drop with one probability.

    Attributes:
      rate: _not_ the keep rate; at least 0, below 1.
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.rate < 1:
            raise UserError(f"the drop rate is {self.rate}: give a probability of at least 0 and below 1")
