"""The ASAE layer: attention-based suppression and attention-based enhancement (paper, section 3.2).

Five pure functions follow the paper's three modules, `asae_maps` joins them, and the linen module
`ASAE` applies the result to features. Nothing here has parameters. All maps are float32 whatever the
dtype of the features.

Where the paper is silent (docs/method.md): of a plateau only the first position is a peak; with
fewer peaks than candidates the choice is among those there are; an even side reaches one position
further up and left; the threshold never exceeds the peak, so that a negative peak is still hidden; gradients
flow through the enhancement map and not through the mask. What others have published and the paper has not
is in `asae_variants`, off by default.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxtyping as jt
from jax import lax

from asae_jax import keys
from asae_jax.errors import UserError
from asae_jax.models import asae_variants
from asae_jax.models.layers import check_choice
from asae_jax.types import (
    Array,
    AttentionMap,
    BranchFeatures,
    ExampleNumbers,
    ImageFeatures,
    Key,
    Number,
    PositionMask,
    Positions,
    at_least_float32,
)

FlatPositions = jt.Int[Array, "batch peaks"]
"""Row-major positions of several peaks per image, int32."""

BRANCHES = ("plain", "suppress", "enhance")


def self_attention_map(features: ImageFeatures, attention: str = "mean") -> AttentionMap:
    """One value per position (PS module): features `[batch, height, width, channels]` -> float32 map.

    Args:
      features: `[batch, height, width, channels]`.
      attention: "mean" over the channels, as in the paper; or "magnitude", for features with both signs.
    """
    check_choice("attention", attention, ATTENTIONS)
    return ATTENTIONS[attention](features)


def channel_mean(features: ImageFeatures) -> AttentionMap:
    """Mean over the channels, the paper's map: float32 `[batch, height, width]`."""
    return jnp.mean(at_least_float32(features), axis=-1)


ATTENTIONS = {"mean": channel_mean, "magnitude": asae_variants.magnitude}
"""What the layer takes for self-attention: features -> float32 map."""


def find_peaks(attention: AttentionMap, *, window: int = 5) -> PositionMask:
    """Local maxima of a map (PS module, second pooling layer).

    A position is a peak if it is the maximum of the `window` x `window` positions around it; outside of the
    map counts as -inf, so positions at the border can be peaks. Of equal positions within one window only the
    first in row-major order is one, as in Peak Response Maps (ZhouYanzhao/PRM); otherwise every position of a
    flat map would be a peak.

    Args:
      attention: `[batch, height, width]`.
      window: r of the paper, odd.

    Returns:
      Boolean `[batch, height, width]`.

    Raises:
      UserError: `window` is even or less than one.
    """
    if window < 1 or window % 2 == 0:
        raise UserError(f"the peak window is {window}: give an odd number of positions, at least 1")
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
    """Maximum of the positions at offsets `rows[0]..rows[1]`, `cols[0]..cols[1]` from each, -inf outside."""
    outside = jnp.array(-jnp.inf, attention.dtype)
    # An offset range that ends before the position itself crops the far side: negative padding.
    padding = [(0, 0, 0), (-rows[0], rows[1], 0), (-cols[0], cols[1], 0)]
    padded = lax.pad(attention, outside, padding)
    size = (1, rows[1] - rows[0] + 1, cols[1] - cols[0] + 1)
    return lax.reduce_window(padded, outside, lax.max, size, (1, 1, 1), "VALID")


def select_peak(
    key: Key,
    attention: AttentionMap,
    peaks: PositionMask,
    *,
    num_candidates: int = 5,
    p_top1: Number = 0.7,
    first_example: ExampleNumbers = 0,
) -> tuple[Positions, Positions]:
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
      first_example: number of the first image within the global batch, or of each, so that the choice does
        not depend on how a batch is spread over devices.

    Returns:
      Rows and columns, int32 `[batch]`.
    """
    batch = attention.shape[0]
    places = ranked_positions(attention, peaks, num_candidates)
    counts = jnp.minimum(jnp.sum(peaks, axis=(1, 2), dtype=jnp.int32), places.shape[1])
    image_keys = keys.example_keys(key, batch, first_example)
    ranks = jax.vmap(lambda k, n: _draw_rank(k, n, p_top1))(image_keys, counts)
    return _row_and_column(places, ranks, width=attention.shape[2])


def _top_peak(attention: AttentionMap, peaks: PositionMask) -> tuple[Positions, Positions]:
    """Rows and columns of the highest peak of each image, int32 `[batch]`."""
    places = ranked_positions(attention, peaks, 1)
    return _row_and_column(places, jnp.zeros(attention.shape[0], jnp.int32), width=attention.shape[2])


def ranked_positions(attention: AttentionMap, peaks: PositionMask, count: int) -> FlatPositions:
    """Flat positions of the `count` highest peaks, best first: int32 `[batch, min(count, positions)]`."""
    values = jnp.where(peaks, lax.stop_gradient(attention), -jnp.inf)
    values = values.reshape(values.shape[0], -1)
    return lax.top_k(values, min(count, values.shape[1]))[1]


def _draw_rank(key: Key, count: Array, p_top1: Number) -> Array:
    """Rank 0 with probability `p_top1`, else uniform among ranks 1..count-1."""
    first, second = jax.random.uniform(key, (2,))
    rest = 1 + (second * (count - 1)).astype(jnp.int32)
    return jnp.where((first < p_top1) | (count < 2), 0, rest)


def _row_and_column(places: FlatPositions, ranks: Positions, *, width: int) -> tuple[Positions, Positions]:
    """Rows and columns, `[batch]`, of the flat position at each image's rank."""
    chosen = jnp.take_along_axis(places, ranks[:, None], axis=1)[:, 0]
    return chosen // width, chosen % width


def suppression_mask(
    attention: AttentionMap,
    rows: Positions,
    cols: Positions,
    *,
    ratio: Number = 0.8,
    area: float = 36,
) -> AttentionMap:
    """Mask that hides the region around one position of each map (region suppression, eq. 3 and 4).

    A position is hidden if it lies in the square around the chosen one and its value is at least
    alpha = min(ratio * peak, peak). The square is cut at the border of the map.

    Args:
      attention: `[batch, height, width]`.
      rows: int `[batch]`, centre of the square.
      cols: int `[batch]`.
      ratio: gamma of the paper.
      area: beta of the paper, positions of the square, meant for a 14 x 14 map; below 1 it is a fraction of
        the map's positions. An even side s covers c - s/2 .. c + s/2 - 1, as DropBlock in timm does.

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


def _square_side(area: float, positions: int) -> int:
    """Side of the square in positions: the root of the area, rounded, at least 1."""
    if area <= 0:
        raise UserError(
            f"the suppression area is {area}: give a number of positions, or a fraction of the map below 1"
        )
    return max(1, round(math.sqrt(area * positions if area < 1 else area)))


def _within(centre: Positions, side: int, length: int) -> Array:
    """Boolean `[batch, length]`: which of `length` places lie among the `side` ones around each centre."""
    offset = jnp.arange(length)[None, :] - (centre[:, None] - side // 2)
    return (offset >= 0) & (offset < side)


def enhancement_map(attention: AttentionMap) -> AttentionMap:
    """Sigmoid of the map (AE module): float32, same shape, within 0..1; gradients flow through it."""
    return jax.nn.sigmoid(at_least_float32(attention))


ENHANCEMENTS = {
    "sigmoid": enhancement_map,
    "sigmoid_mean1": asae_variants.mean_one,
    "residual": asae_variants.residual,
}
"""What the features are multiplied by in the enhanced branch: float32 map -> float32 map."""


class ASAEMaps(NamedTuple):
    """What the layer computed for a batch; every field is also a named endpoint of the network."""

    attention: AttentionMap
    """float32 `[batch, height, width]`"""
    peaks: PositionMask
    """bool `[batch, height, width]`"""
    rows: Positions
    """Row of the chosen peak, int32 `[batch]`."""
    cols: Positions
    """Column of the chosen peak, int32 `[batch]`."""
    mask: AttentionMap
    """0 where hidden, 1 elsewhere, float32 `[batch, height, width]`."""
    enhancement: AttentionMap
    """float32 `[batch, height, width]`"""


def asae_maps(
    key: Key | None,
    features: ImageFeatures,
    *,
    window: int = 5,
    num_candidates: int = 5,
    p_top1: Number = 0.7,
    ratio: Number = 0.8,
    area: float = 36,
    attention: str = "mean",
    enhancement: str = "sigmoid",
    place: str = "peak",
    strength: Number | None = None,
    first_example: ExampleNumbers = 0,
) -> ASAEMaps:
    """All maps of one batch of features.

    Args:
      key: see `select_peak`; None: the highest peak of each image is taken.
      features: `[batch, height, width, channels]`.
      window: see `find_peaks`.
      num_candidates, p_top1: see `select_peak`.
      ratio, area: see `suppression_mask`.
      attention: see `self_attention_map`.
      enhancement: "sigmoid", or "sigmoid_mean1": divided by its mean over the map, so that the enhanced
        features keep the scale the plain ones have (the plain sigmoid about halves them, and the layer is
        absent at test); or "residual": 1 + sigmoid.
      place: "peak", or "random": the region is moved to a random place. Without a key it stays at the peak.
      strength: how much of the layer acts, 0..1: the probability that an image's region is hidden, and the
        share of the enhancement. None: all of it.
      first_example: see `select_peak`.
    """
    check_choice("enhancement", enhancement, ENHANCEMENTS)
    check_choice("place", place, asae_variants.PLACES)
    shown = self_attention_map(features, attention)
    peaks = find_peaks(shown, window=window)
    if key is None:
        rows, cols = _top_peak(shown, peaks)
    else:
        rows, cols = select_peak(key, shown, peaks, num_candidates=num_candidates, p_top1=p_top1,
                                 first_example=first_example)  # fmt: skip
    mask = suppression_mask(shown, rows, cols, ratio=ratio, area=area)
    enhanced = ENHANCEMENTS[enhancement](shown)
    if key is not None and place == "random":
        mask = asae_variants.moved_region(key, mask, first_example=first_example)
    if strength is not None:
        enhanced = asae_variants.ramped_enhancement(enhanced, strength)
        if key is not None:
            mask = asae_variants.ramped_mask(key, mask, strength, first_example=first_example)
    return ASAEMaps(shown, peaks, rows, cols, mask, enhanced)


class ASAE(nn.Module):
    """The layer: features `[batch, height, width, channels]` -> one copy per branch, leading axis.

    It has no parameters and takes any feature map. In training the peak is drawn from the rng stream
    `"asae"`, per image. The result has the dtype of the features; maps are float32.

    Attributes:
      window, num_candidates, p_top1, ratio, area: r, k, p_top1, gamma and beta of the paper.
      branches: what each copy of the leading axis is, in this order: any of "plain", "suppress", "enhance".
        ("suppress",) and ("enhance",) are the paper's ablations.
      attention, enhancement, place: see `asae_maps`.
      rescale: divide the suppressed features of an image by the share of the map that is kept.
      axis_name: device axis over which the batch is spread in training.
    """

    window: int = 5
    num_candidates: int = 5
    p_top1: float = 0.7
    ratio: float = 0.8
    area: float = 36
    branches: tuple[str, ...] = ("suppress", "enhance")
    attention: str = "mean"
    enhancement: str = "sigmoid"
    place: str = "peak"
    rescale: bool = False
    axis_name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("attention", self.attention, ATTENTIONS)
        check_choice("enhancement", self.enhancement, ENHANCEMENTS)
        check_choice("place", self.place, asae_variants.PLACES)
        for branch in self.branches:
            check_choice("branch", branch, BRANCHES)
        if not self.branches:
            raise UserError(f"no branches: give at least one of {', '.join(BRANCHES)}")
        if self.num_candidates < 1:
            raise UserError(f"num_candidates is {self.num_candidates}: at least one peak must be a candidate")
        if not 0 <= self.p_top1 <= 1:
            raise UserError(f"p_top1 is {self.p_top1}: give a probability within 0..1")

    def __call__(self, features: ImageFeatures) -> BranchFeatures:
        """All branches with a peak drawn at random: `[branches, batch, height, width, channels]`."""
        return self.all_branches(features, self.maps(features, train=True))

    def maps(
        self,
        features: ImageFeatures,
        *,
        train: bool,
        strength: Number | None = None,
        first_example: ExampleNumbers | None = None,
    ) -> ASAEMaps:
        """The layer's maps. At test, without a key in the stream `"asae"`, the highest peak is taken.

        Args:
          features: `[batch, height, width, channels]`.
          train: whether the batch is spread over devices.
          strength: see `asae_maps`.
          first_example: number of the first image within the global batch, or of each; None: each device has
            one share.
        """
        draws = self.has_rng("asae") or (train and "suppress" in self.branches)
        return asae_maps(
            self.make_rng("asae") if draws else None,
            features,
            window=self.window,
            num_candidates=self.num_candidates,
            p_top1=self.p_top1,
            ratio=self.ratio,
            area=self.area,
            attention=self.attention,
            enhancement=self.enhancement,
            place=self.place,
            strength=strength,
            first_example=keys.first_of_share(
                self.axis_name if train else None, features.shape[0], first_example
            ),
        )

    def all_branches(self, features: ImageFeatures, maps: ASAEMaps) -> BranchFeatures:
        """One copy of the features per branch: `[branches, batch, height, width, channels]`."""
        return jnp.stack([self.one_branch(features, maps, branch) for branch in self.branches])

    def one_branch(self, features: ImageFeatures, maps: ASAEMaps, branch: str) -> ImageFeatures:
        """The features times one branch's map (spatial-wise multiplication), same shape and dtype."""
        if branch == "plain":
            return features
        spatial = maps.enhancement
        if branch == "suppress":
            spatial = asae_variants.kept_rescaled(maps.mask) if self.rescale else maps.mask
        return (at_least_float32(features) * spatial[..., None]).astype(features.dtype)
