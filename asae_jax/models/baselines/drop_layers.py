"""Drop layers: the methods that ASAE is compared with in its own place.

They have no parameters, disturb features in training, and are absent at test: one copy of the features in and
one out. The functions are pure and take the key first; `TrainingLayer` and its subclasses are the layers.

- Dropout of single values: Srivastava et al. 2014. Spatial Dropout, of whole channels: Tompson et al. 2015,
  "Efficient object localization using convolutional networks". Kept values are divided by the share kept, as
  in PyTorch's `Dropout` and `Dropout2d`, so that nothing has to be scaled at test.
- MaxDrop: Park and Kwak, ACCV 2016. The paper drops maxima over the feature map of a channel or over the
  channels of a position; this is the first of the two, the one that hides a place. One value of a map is lost
  at most, so nothing is rescaled. (The later "MaxDropout", which drops all values above a threshold, is
  another method.)
- DropBlock: Ghiasi et al., NeurIPS 2018, as timm's `drop_block_2d` has it: blocks lie wholly inside the map,
  an even block of 6 seeded at c covers c-3 .. c+2, and kept values are multiplied by positions / kept
  positions of the whole batch. One mask serves all channels, as in newer versions of timm: ASAE, with which
  it is compared, hides a place, not a place of one channel.
- ADL, the attention-based dropout layer: Choe and Shim, CVPR 2019, as its authors' PyTorch code has it
  (clovaai/wsolevaluation, `wsol/method/adl.py`): one draw for the whole batch decides whether all positions
  near the maximum are hidden or the features are weighted by their attention. Gradients flow through the
  attention.
- Diversification Block: Sun et al., AAAI 2020, arXiv 1912.06842. It weakens, per channel, the peak and random
  patches. In its paper the channels are class maps, one per class, in front of global average pooling
  (`insert_after="class_maps"`); behind a stage every channel of the features is treated so. Values are
  multiplied by a factor, not rescaled.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxtyping as jt
from jax import lax

from asae_jax import keys
from asae_jax.errors import UserError
from asae_jax.types import (
    Array,
    AttentionMap,
    ExampleKeys,
    ExampleNumbers,
    Features,
    ImageFeatures,
    Key,
    Number,
    at_least_float32,
)

STREAM = "drop"
"""The rng stream these layers draw from."""

Maps = jt.Float[Array, "*leading height width"]
"""One value per position of each feature map, float32."""
ValueMask = jt.Bool[Array, "batch height width channels"]
"""Which values of `ImageFeatures` are meant."""


class TrainingLayer(nn.Module):
    """Base of the drop layers; they differ in `disturb`.

    Attributes:
      axis_name: device axis over which the batch is spread in training.
    """

    axis_name: str | None = None

    def __call__(
        self, features: Features, *, train: bool, first_example: ExampleNumbers | None = None
    ) -> Features:
        """Features of the same shape and dtype; at test the input itself.

        Args:
          features: `[batch, height, width, channels]` (ADL: with any leading axes).
          train: draw from the rng stream `STREAM` and disturb the features.
          first_example: number of the first image within the global batch, or of each; None: each device has
            one share.
        """
        if not train:
            return features
        first = keys.first_of_share(self.axis_name, features.shape[0], first_example)
        return self.disturb(self.make_rng(STREAM), features, first)

    def disturb(self, key: Key, features: Features, first_example: ExampleNumbers) -> Features:
        """Training: the features disturbed, drawn from `key`, the same on every device."""
        raise NotImplementedError


def image_keys(key: Key, features: ImageFeatures, first_example: ExampleNumbers) -> ExampleKeys:
    """One key per image, which does not depend on how the batch is spread."""
    return keys.example_keys(key, features.shape[0], first_example)


class RateLayer(TrainingLayer):
    """Base of the layers whose one parameter is a probability.

    Attributes:
      rate: _not_ the keep rate; at least 0, below 1.
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.rate < 1:
            raise UserError(f"the drop rate is {self.rate}: give a probability of at least 0 and below 1")


def dropout(image_keys: ExampleKeys, features: ImageFeatures, *, rate: Number) -> ImageFeatures:
    """Set each value to zero with probability `rate`; the others become `1 / (1 - rate)` times as large.

    Args:
      image_keys: one key per image, `[batch]`.
      features: `[batch, height, width, channels]`.
      rate: _not_ the keep rate; at least 0, below 1.

    Returns:
      Features of the same shape and dtype.
    """
    return _drop(image_keys, features, features.shape[1:], rate)


def spatial_dropout(image_keys: ExampleKeys, features: ImageFeatures, *, rate: Number) -> ImageFeatures:
    """Set each channel of each image to zero with probability `rate`; otherwise like `dropout`."""
    return _drop(image_keys, features, (1, 1, features.shape[3]), rate)


def _drop(
    image_keys: ExampleKeys, features: ImageFeatures, shape: tuple[int, ...], rate: Number
) -> ImageFeatures:
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, shape))(image_keys)
    return jnp.where(kept, features / (1 - rate), jnp.zeros_like(features))


class Dropout(RateLayer):
    """Single values are dropped, each with probability `rate`."""

    def disturb(self, key: Key, features: Features, first_example: ExampleNumbers) -> Features:
        """See `dropout`."""
        return dropout(image_keys(key, features, first_example), features, rate=self.rate)


class SpatialDropout(RateLayer):
    """Whole channels are dropped, each with probability `rate`."""

    def disturb(self, key: Key, features: Features, first_example: ExampleNumbers) -> Features:
        """See `spatial_dropout`."""
        return spatial_dropout(image_keys(key, features, first_example), features, rate=self.rate)


def max_drop(image_keys: ExampleKeys, features: ImageFeatures, *, rate: Number) -> ImageFeatures:
    """Set the highest value of each channel to zero with probability `rate`.

    Of equal values the first in row-major order counts.

    Args:
      image_keys: one key per image, `[batch]`.
      features: `[batch, height, width, channels]`.
      rate: probability for each channel of each image.

    Returns:
      Features of the same shape and dtype.
    """
    batch, height, width, channels = features.shape
    top = jnp.argmax(lax.stop_gradient(features).reshape(batch, height * width, channels), axis=1)
    drawn = jax.vmap(lambda key: jax.random.bernoulli(key, rate, (channels,)))(image_keys)
    places = jnp.arange(height * width)[None, :, None]
    hidden = (places == top[:, None, :]) & drawn[:, None, :]
    return jnp.where(hidden.reshape(features.shape), jnp.zeros_like(features), features)


class MaxDrop(RateLayer):
    """The highest value of each channel is dropped, each with probability `rate`."""

    def disturb(self, key: Key, features: Features, first_example: ExampleNumbers) -> Features:
        """See `max_drop`."""
        return max_drop(image_keys(key, features, first_example), features, rate=self.rate)


def block_side(block_size: float, height: int, width: int) -> int:
    """Side of the block in positions, at least 1 and at most the shorter side of the map.

    Args:
      block_size: side in positions; below 1 a share of the map's shorter side.
      height: positions of the map.
      width: positions of the map.
    """
    shorter = min(height, width)
    return max(1, min(round(block_size * shorter if block_size < 1 else block_size), shorter))


def block_mask(image_keys: ExampleKeys, height: int, width: int, *, rate: float, side: int) -> AttentionMap:
    """0 in random squares, 1 elsewhere: float32 `[batch, height, width]`.

    Every position at which a block fits is the seed of one with the same probability, chosen such that the
    share `rate` of the map would be hidden if blocks never overlapped (the paper's gamma).

    Args:
      image_keys: one key per image, `[batch]`.
      height: positions of the map.
      width: positions of the map.
      rate: share of the positions to hide, 0..1.
      side: of the block, at most the shorter side of the map.
    """
    seeds = (height - side + 1, width - side + 1)
    gamma = min(1.0, rate * height * width / side**2 / (seeds[0] * seeds[1]))
    drawn = jax.vmap(lambda key: jax.random.bernoulli(key, gamma, seeds))(image_keys)
    # A seed stands for the block's upper left position: each looks back over the blocks that reach it.
    reach = ((0, 0), (side - 1, side - 1), (side - 1, side - 1))
    drawn = drawn.astype(jnp.float32)
    hidden = lax.reduce_window(
        drawn, jnp.zeros_like(drawn, shape=()), lax.max, (1, side, side), (1, 1, 1), reach
    )
    return 1 - hidden


class DropBlock(RateLayer):
    """Squares are hidden, the same in all channels.

    Attributes:
      rate: share of the map to hide, without regard to overlaps.
      block_size: side of a block in positions; below 1 a share of the map's shorter side. The paper's 7
        stands for a map of 14 x 14 or 28 x 28.
    """

    block_size: float = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block_size <= 0:
            raise UserError(
                f"block_size is {self.block_size}: give a number of positions, or a share of the map below 1"
            )

    def disturb(self, key: Key, features: Features, first_example: ExampleNumbers) -> Features:
        """Hide the blocks and rescale the rest by the share kept of the batch over all devices.

        Of a batch that is computed in parts, of each part over all devices.
        """
        height, width = features.shape[1:3]
        side = block_side(self.block_size, height, width)
        wide = at_least_float32(features)
        mask = block_mask(image_keys(key, features, first_example), height, width, rate=self.rate, side=side)
        mask = mask.astype(wide.dtype)
        kept = jnp.mean(mask)
        if self.axis_name is not None:
            kept = lax.pmean(kept, self.axis_name)
        mask = mask / jnp.maximum(kept, 1e-6)
        return (wide * mask[..., None]).astype(features.dtype)


def drop_mask(attention: Maps, *, threshold: float) -> Maps:
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


def importance_map(attention: Maps) -> Maps:
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

    def disturb(self, key: Key, features: Features, first_example: ExampleNumbers) -> Features:
        """Draw once for the batch, the same on every device, and multiply."""
        attention = jnp.mean(at_least_float32(features), axis=-1)
        drops = jax.random.bernoulli(key, self.rate)
        spatial = jnp.where(drops, drop_mask(attention, threshold=self.threshold), importance_map(attention))
        return (at_least_float32(features) * spatial[..., None]).astype(features.dtype)


def diversification_mask(
    image_keys: ExampleKeys,
    features: ImageFeatures,
    *,
    peak_rate: Number,
    patch_rate: Number,
    patch_size: int,
) -> ValueMask:
    """Which values of each map are weakened: boolean, in the shape of `features`.

    The map is tiled by patches from its upper left corner, those at the far border may be smaller. The peak
    follows its own draw alone; all positions that equal the maximum are the peak.

    Args:
      image_keys: one key per image, `[batch]`.
      features: `[batch, height, width, channels]`.
      peak_rate: probability that the peak of a map is chosen, 0..1.
      patch_rate: probability for each patch of each map, 0..1.
      patch_size: side of a patch in positions.
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
            raise UserError(f"patch_size is {self.patch_size}: give at least one position")

    def disturb(self, key: Key, features: Features, first_example: ExampleNumbers) -> Features:
        """Weaken the chosen values."""
        weakened = diversification_mask(
            image_keys(key, features, first_example),
            features,
            peak_rate=self.peak_rate,
            patch_rate=self.patch_rate,
            patch_size=self.patch_size,
        )
        return jnp.where(weakened, self.factor * features, features)
