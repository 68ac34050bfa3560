"""The ASAE layer: attention-based suppression and attention-based enhancement (paper, section 3.2).

Five pure functions follow the paper's three modules, `asae_maps` joins them, and the linen module
`ASAE` applies the result to features. Nothing here has parameters. All maps are float32 whatever the
dtype of the features.

Where the paper is silent (docs/decisions.md): of a plateau only the first cell is a peak; with
fewer peaks than candidates the choice is among those there are; an even side reaches one cell further
up and left; the threshold never exceeds the peak, so that a negative peak is still hidden; gradients
flow through the enhancement map and not through the mask.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from asae_jax import keys
from asae_jax.errors import UserError
from asae_jax.models.choices import check_choice
from asae_jax.precision import at_least_float32
from asae_jax.types import AttentionMap, Features, Key

BRANCHES = ("plain", "suppress", "enhance")
ENHANCEMENTS = ("sigmoid", "sigmoid_mean1")


def self_attention_map(features: Features) -> AttentionMap:
    """Mean over the channels (PS module): features `[batch, height, width, channels]` -> float32 map."""
    return jnp.mean(at_least_float32(features), axis=-1)


def find_peaks(attention: AttentionMap, *, window: int = 5) -> jax.Array:
    """Local maxima of a map (PS module, second pooling layer).

    A cell is a peak if it is the maximum of the `window` x `window` cells around it; outside of the map
    counts as -inf, so cells at the border can be peaks. Of equal cells within one window only the first in
    row-major order is one, as in Peak Response Maps (ZhouYanzhao/PRM): a flat map has not a peak
    everywhere.

    Args:
      attention: `[batch, height, width]`.
      window: r of the paper, odd.

    Returns:
      Boolean `[batch, height, width]`.

    Raises:
      UserError: `window` is even or less than one.
    """
    if window < 1 or window % 2 == 0:
        raise UserError(f"the peak window is {window}: give an odd number of cells, at least 1")
    reach = window // 2
    if reach == 0:
        return jnp.ones(attention.shape, bool)
    attention = lax.stop_gradient(attention)
    around = (-reach, reach)
    earlier = jnp.maximum(
        _neighbour_max(attention, rows=(-reach, -1), cols=around),
        _neighbour_max(attention, rows=(0, 0), cols=(-reach, -1)),
    )
    return (attention == _neighbour_max(attention, rows=around, cols=around)) & (attention > earlier)


def _neighbour_max(attention: AttentionMap, *, rows: tuple[int, int], cols: tuple[int, int]) -> AttentionMap:
    """Maximum over the cells at offsets `rows[0]..rows[1]`, `cols[0]..cols[1]` from each; -inf outside."""
    outside = jnp.array(-jnp.inf, attention.dtype)
    # An offset range that ends before the cell itself crops the far side: negative padding.
    padding = [(0, 0, 0), (-rows[0], rows[1], 0), (-cols[0], cols[1], 0)]
    padded = lax.pad(attention, outside, padding)
    size = (1, rows[1] - rows[0] + 1, cols[1] - cols[0] + 1)
    return lax.reduce_window(padded, outside, lax.max, size, (1, 1, 1), "VALID")


def select_peak(
    key: Key,
    attention: AttentionMap,
    peaks: jax.Array,
    *,
    num_candidates: int = 5,
    p_top1: float = 0.7,
    first_example: jax.Array | int = 0,
) -> tuple[jax.Array, jax.Array]:
    """Choose one peak per image at random (peak selection strategy of the AS module).

    The highest peak is taken with probability `p_top1`, else one of the second to the `num_candidates`-th,
    each equally likely. An image with N < `num_candidates` peaks chooses among its N; with one peak always
    that one. Equal peaks rank in row-major order.

    Args:
      key: one key for the batch; every image draws by its own, folded from it.
      attention: `[batch, height, width]`.
      peaks: boolean `[batch, height, width]`.
      num_candidates: k of the paper, at least 1.
      p_top1: within 0..1.
      first_example: number of the first image within the global batch, so that the choice does not depend
        on how a batch is spread over devices.

    Returns:
      rows, cols: int32 `[batch]`.
    """
    batch = attention.shape[0]
    cells = ranked_cells(attention, peaks, num_candidates)
    counts = jnp.minimum(jnp.sum(peaks, axis=(1, 2), dtype=jnp.int32), cells.shape[1])
    image_keys = keys.example_keys(key, batch, first_example)
    ranks = jax.vmap(lambda k, n: _draw_rank(k, n, p_top1))(image_keys, counts)
    return _cell_at(cells, ranks, width=attention.shape[2])


def _top_peak(attention: AttentionMap, peaks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Rows and columns of the highest peak of each image, int32 `[batch]`."""
    cells = ranked_cells(attention, peaks, 1)
    return _cell_at(cells, jnp.zeros(attention.shape[0], jnp.int32), width=attention.shape[2])


def ranked_cells(attention: AttentionMap, peaks: jax.Array, count: int) -> jax.Array:
    """Flat positions of the `count` highest peaks, best first: int32 `[batch, min(count, cells)]`."""
    values = jnp.where(peaks, lax.stop_gradient(attention), -jnp.inf)
    values = values.reshape(values.shape[0], -1)
    return lax.top_k(values, min(count, values.shape[1]))[1]


def _draw_rank(key: Key, count: jax.Array, p_top1: float) -> jax.Array:
    """Rank 0 with probability `p_top1`, else uniform among ranks 1..count-1."""
    first, second = jax.random.uniform(key, (2,))
    rest = 1 + (second * (count - 1)).astype(jnp.int32)
    return jnp.where((first < p_top1) | (count < 2), 0, rest)


def _cell_at(cells: jax.Array, ranks: jax.Array, *, width: int) -> tuple[jax.Array, jax.Array]:
    chosen = jnp.take_along_axis(cells, ranks[:, None], axis=1)[:, 0]
    return chosen // width, chosen % width


def suppression_mask(
    attention: AttentionMap,
    rows: jax.Array,
    cols: jax.Array,
    *,
    ratio: float = 0.8,
    area: float = 36,
) -> AttentionMap:
    """Mask that hides the region around one cell of each map (region suppression, eq. 3 and 4).

    A cell is hidden if it lies in the square around the chosen cell and its value is at least
    alpha = min(ratio * peak, peak). The square is cut at the border of the map.

    Args:
      attention: `[batch, height, width]`.
      rows: int `[batch]`, centre of the square.
      cols: int `[batch]`.
      ratio: gamma of the paper.
      area: beta of the paper, cells of the square, meant for a 14 x 14 map; below 1 it is a fraction of the
        map's cells. An even side s covers c - s/2 .. c + s/2 - 1, as DropBlock in timm does.

    Returns:
      float32 `[batch, height, width]`: 0 where hidden, 1 elsewhere. No gradient flows through it.
    """
    attention = lax.stop_gradient(at_least_float32(attention))
    height, width = attention.shape[1:]
    side = _square_side(area, height * width)
    peak = attention[jnp.arange(attention.shape[0]), rows, cols]
    alpha = jnp.minimum(ratio * peak, peak)
    inside = _within(rows, side, height)[:, :, None] & _within(cols, side, width)[:, None, :]
    hidden = inside & (attention >= alpha[:, None, None])
    return jnp.where(hidden, 0.0, 1.0).astype(jnp.float32)


def _square_side(area: float, cells: int) -> int:
    """Side of the square in cells: the root of the area, rounded, at least 1."""
    if area <= 0:
        raise UserError(f"the suppression area is {area}: give cells, or a fraction of the map below 1")
    return max(1, round(math.sqrt(area * cells if area < 1 else area)))


def _within(centre: jax.Array, side: int, length: int) -> jax.Array:
    """Boolean `[batch, length]`: which positions lie in the `side` cells around each centre."""
    offset = jnp.arange(length)[None, :] - (centre[:, None] - side // 2)
    return (offset >= 0) & (offset < side)


def enhancement_map(attention: AttentionMap) -> AttentionMap:
    """Sigmoid of the map (AE module): float32, same shape, within 0..1; gradients flow through it."""
    return jax.nn.sigmoid(at_least_float32(attention))


class ASAEMaps(NamedTuple):
    """What the layer computed for a batch; every field is also a named endpoint of the network."""

    attention: AttentionMap
    """float32 `[batch, height, width]`"""
    peaks: jax.Array
    """bool `[batch, height, width]`"""
    rows: jax.Array
    """Row of the chosen peak, int32 `[batch]`."""
    cols: jax.Array
    """Column of the chosen peak, int32 `[batch]`."""
    mask: AttentionMap
    """0 where hidden, 1 elsewhere, float32 `[batch, height, width]`."""
    enhancement: AttentionMap
    """float32 `[batch, height, width]`"""


def asae_maps(
    key: Key | None,
    features: Features,
    *,
    window: int = 5,
    num_candidates: int = 5,
    p_top1: float = 0.7,
    ratio: float = 0.8,
    area: float = 36,
    enhancement: str = "sigmoid",
    first_example: jax.Array | int = 0,
) -> ASAEMaps:
    """All maps of one feature batch `[batch, height, width, channels]`.

    Without a key the highest peak of each image is taken. `enhancement="sigmoid_mean1"` divides the sigmoid
    by its mean over the map, so that the enhanced features keep the scale the plain ones have (the plain
    sigmoid about halves them, and the layer is absent at test). The other arguments are those of
    `find_peaks`, `select_peak` and `suppression_mask`.
    """
    check_choice("enhancement", enhancement, ENHANCEMENTS)
    attention = self_attention_map(features)
    peaks = find_peaks(attention, window=window)
    if key is None:
        rows, cols = _top_peak(attention, peaks)
    else:
        rows, cols = select_peak(
            key,
            attention,
            peaks,
            num_candidates=num_candidates,
            p_top1=p_top1,
            first_example=first_example,
        )
    mask = suppression_mask(attention, rows, cols, ratio=ratio, area=area)
    enhanced = enhancement_map(attention) if enhancement == "sigmoid" else _mean_one_sigmoid(attention)
    return ASAEMaps(attention, peaks, rows, cols, mask, enhanced)


def _mean_one_sigmoid(attention: AttentionMap) -> AttentionMap:
    """Sigmoid divided by its mean, by logarithms: where the whole map is far below zero 0 / 0 would arise."""
    cells = attention.shape[1] * attention.shape[2]
    return cells * jax.nn.softmax(jax.nn.log_sigmoid(attention), axis=(1, 2))


class ASAE(nn.Module):
    """The layer: features `[batch, height, width, channels]` -> one copy per branch, leading axis.

    It has no parameters and takes any feature map. In training the peak is drawn from the rng stream
    `"asae"`, per image. The result has the dtype of the features; maps are float32.

    Attributes:
      window, num_candidates, p_top1, ratio, area: r, k, p_top1, gamma and beta of the paper.
      branches: what each copy of the leading axis is, in this order: any of "plain", "suppress", "enhance".
        ("suppress",) and ("enhance",) are the paper's ablations.
      enhancement: "sigmoid" or "sigmoid_mean1", see `asae_maps`.
      axis_name: device axis over which the batch is spread in training.
    """

    window: int = 5
    num_candidates: int = 5
    p_top1: float = 0.7
    ratio: float = 0.8
    area: float = 36
    branches: tuple[str, ...] = ("suppress", "enhance")
    enhancement: str = "sigmoid"
    axis_name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("enhancement", self.enhancement, ENHANCEMENTS)
        for branch in self.branches:
            check_choice("branch", branch, BRANCHES)
        if not self.branches:
            raise UserError(f"no branches: give at least one of {', '.join(BRANCHES)}")
        if self.num_candidates < 1:
            raise UserError(f"num_candidates is {self.num_candidates}: at least one peak must be a candidate")
        if not 0 <= self.p_top1 <= 1:
            raise UserError(f"p_top1 is {self.p_top1}: give a probability within 0..1")

    def __call__(self, features: Features) -> Features:
        """All branches with a peak drawn at random: `[branches, batch, height, width, channels]`."""
        return self.all_branches(features, self.maps(features, train=True))

    def maps(self, features: Features, *, train: bool) -> ASAEMaps:
        """The layer's maps. At test, without a key in the stream `"asae"`, the highest peak is taken."""
        draws = self.has_rng("asae") or (train and "suppress" in self.branches)
        spread = train and self.axis_name is not None
        return asae_maps(
            self.make_rng("asae") if draws else None,
            features,
            window=self.window,
            num_candidates=self.num_candidates,
            p_top1=self.p_top1,
            ratio=self.ratio,
            area=self.area,
            enhancement=self.enhancement,
            first_example=lax.axis_index(self.axis_name) * features.shape[0] if spread else 0,
        )

    def all_branches(self, features: Features, maps: ASAEMaps) -> Features:
        """One copy of the features per branch: `[branches, batch, height, width, channels]`."""
        return jnp.stack([self.one_branch(features, maps, branch) for branch in self.branches])

    def one_branch(self, features: Features, maps: ASAEMaps, branch: str) -> Features:
        """The features times one branch's map (spatial-wise multiplication), same shape and dtype."""
        if branch == "plain":
            return features
        spatial = maps.mask if branch == "suppress" else maps.enhancement
        return (at_least_float32(features) * spatial[..., None]).astype(features.dtype)
