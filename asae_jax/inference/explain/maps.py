"""The layer's maps for every peak it could choose, not only for the one it draws in training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from asae_jax.models.asae import asae_maps, ranked_cells, suppression_mask
from asae_jax.types import AttentionMap, Features


class LayerMaps(NamedTuple):
    """The layer's maps of a batch; `k` is `asae.num_candidates`, at most the number of cells."""

    attention: AttentionMap
    """float32 `[batch, height, width]`"""
    enhancement: AttentionMap
    """float32 `[batch, height, width]`"""
    cells: jax.Array
    """Row and column of the `k` highest peaks, best first, int32 `[batch, k, 2]`; arbitrary from the number
    of peaks on."""
    num_peaks: jax.Array
    """How many of the `k` there are, int32 `[batch]`, at least 1."""
    regions: jax.Array
    """What each of them would hide, bool `[batch, k, height, width]`."""


def layer_maps(features: Features, settings: ConfigDict) -> LayerMaps:
    """What the layer makes of features `[batch, height, width, channels]`, whether the run has it or not.

    Args:
      features: of the stage that the layer follows, or would follow.
      settings: the section `asae` of the configuration.
    """
    maps = asae_maps(
        None,
        features,
        window=settings.window,
        num_candidates=settings.num_candidates,
        ratio=settings.ratio,
        area=settings.area,
        enhancement=settings.enhancement,
    )
    cells, num_peaks = ranked_peaks(maps.attention, maps.peaks, settings.num_candidates)

    def region(cell: jax.Array) -> jax.Array:
        kept = suppression_mask(
            maps.attention, cell[:, 0], cell[:, 1], ratio=settings.ratio, area=settings.area
        )
        return kept == 0

    regions = jax.vmap(region, in_axes=1, out_axes=1)(cells)
    return LayerMaps(maps.attention, maps.enhancement, cells, num_peaks, regions)


def ranked_peaks(
    attention: AttentionMap, peaks: jax.Array, num_candidates: int
) -> tuple[jax.Array, jax.Array]:
    """The highest peaks in the layer's order, equal ones in row-major order.

    Args:
      attention: `[batch, height, width]`.
      peaks: bool, same shape.
      num_candidates: how many at most.

    Returns:
      `cells` and `num_peaks` as in `LayerMaps`.
    """
    width = attention.shape[2]
    places = ranked_cells(attention, peaks, num_candidates)
    cells = jnp.stack([places // width, places % width], -1).astype(jnp.int32)
    return cells, jnp.minimum(jnp.sum(peaks, axis=(1, 2), dtype=jnp.int32), places.shape[1])
