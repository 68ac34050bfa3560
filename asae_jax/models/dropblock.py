"""DropBlock: random squares of the map are dropped (Ghiasi et al., NeurIPS 2018).

As timm's `drop_block_2d` has it: blocks lie wholly inside the map, an even block of 6 seeded at c covers
c-3 .. c+2, and kept values are multiplied by cells / kept cells of the whole batch. One mask serves all
channels, as in newer versions of timm: the rival of ASAE hides a place, not a place of one channel.
"""

import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.errors import UserError
from asae_jax.models.training_layer import RateLayer
from asae_jax.precision import at_least_float32
from asae_jax.types import AttentionMap, Features, Key


def block_side(block_size: float, height: int, width: int) -> int:
    """Side of the block in cells: `block_size`, below 1 that share of the map's shorter side.

    It never exceeds the map and is at least 1.
    """
    shorter = min(height, width)
    return max(1, min(round(block_size * shorter if block_size < 1 else block_size), shorter))


def block_mask(image_keys: Key, height: int, width: int, *, rate: float, side: int) -> AttentionMap:
    """0 in random squares, 1 elsewhere: float32 `[batch, height, width]`.

    Every cell at which a block fits is the seed of one with the same probability, chosen such that the
    share `rate` of the map would be hidden if blocks never overlapped (the paper's gamma).

    Args:
      image_keys: one key per image, `[batch]`.
      height: cells of the map.
      width: cells of the map.
      rate: share of the cells to hide.
      side: of the block, at most the shorter side of the map.
    """
    seeds = (height - side + 1, width - side + 1)
    gamma = min(1.0, rate * height * width / side**2 / (seeds[0] * seeds[1]))
    drawn = jax.vmap(lambda key: jax.random.bernoulli(key, gamma, seeds))(image_keys)
    # A seed stands for the block's upper left cell: each cell looks back over the blocks that reach it.
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
      block_size: side of a block in cells; below 1 a share of the map's shorter side. The paper's 7 stands
        for a map of 14 x 14 or 28 x 28.
    """

    block_size: float = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block_size <= 0:
            raise UserError(f"block_size is {self.block_size}: give cells, or a share of the map below 1")

    def disturb(self, key: Key, features: Features) -> Features:
        """Hide the blocks and rescale the rest by the share kept of the batch over all devices."""
        height, width = features.shape[1:3]
        side = block_side(self.block_size, height, width)
        wide = at_least_float32(features)
        mask = block_mask(self.image_keys(key, features), height, width, rate=self.rate, side=side)
        mask = mask.astype(wide.dtype)
        kept = jnp.mean(mask)
        if self.axis_name is not None:
            kept = lax.pmean(kept, self.axis_name)
        mask = mask / jnp.maximum(kept, 1e-6)
        return (wide * mask[..., None]).astype(features.dtype)
