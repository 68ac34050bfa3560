"""Maps of what a network looks at, as pure functions: Grad-CAM, and the ASAE layer's maps for every peak.

Grad-CAM (Selvaraju et al. 2017) is taken at any stages of the network as it is at test: the weight of a
channel is the mean over positions of the gradient of a class's score, and the map is the weighted sum of the
channels. It is kept without its ReLU, which drawing adds: where no position supports a class there is still
one that opposes it least.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from asae_jax.models.asae import asae_maps, ranked_positions, suppression_mask
from asae_jax.models.network import Network
from asae_jax.types import AttentionMap, Features, Images, Labels, Scores, at_least_float32

Offsets = Mapping[str, jax.Array]
"""What is added to the output of each stage."""


def grad_cams(
    network: Network,
    variables: Mapping[str, Any],
    images: Images,
    stages: Sequence[str],
    labels: Labels,
) -> tuple[Scores, dict[str, Features], dict[str, jax.Array]]:
    """Scores, features, and the maps of the predicted and of the true class.

    Args:
      network: applied as at test.
      variables: `params` and `batch_stats` of the network.
      images: normalised, `[batch, size, size, 3]`.
      stages: names of the stages whose maps are wanted.
      labels: int32 `[batch]`, -1 where the true class is unknown: the predicted one takes its place.

    Returns:
      The network's logits (log-probabilities in test mode "mean"), its endpoints, and for each of `stages`
      float32 `[batch, 2, height, width]`: predicted, true.
    """
    shapes = jax.eval_shape(lambda: _forward(network, variables, images, {})[1])
    offsets = {name: jnp.zeros(shapes[name].shape, shapes[name].dtype) for name in stages}
    logits, pull_back, endpoints = jax.vjp(
        lambda added: _forward(network, variables, images, added), offsets, has_aux=True
    )
    predicted = jnp.argmax(logits, -1)
    maps = []
    for classes in (predicted, jnp.where(labels < 0, predicted, labels)):
        (gradients,) = pull_back(jax.nn.one_hot(classes, logits.shape[-1], dtype=logits.dtype))
        maps.append({name: weighted_sum(endpoints[name], gradients[name]) for name in stages})
    return logits, endpoints, {name: jnp.stack([m[name] for m in maps], 1) for name in stages}


def weighted_sum(features: Features, gradients: Features) -> AttentionMap:
    """The map of one class, `[batch, height, width]`, float32.

    Args:
      features: `[batch, height, width, channels]`; a leading axis counts branches, whose maps are added.
      gradients: of the class's score, same shape.
    """
    weights = jnp.mean(at_least_float32(gradients), axis=(-3, -2), keepdims=True)
    maps = jnp.sum(weights * at_least_float32(features), axis=-1)
    return maps.sum(0) if maps.ndim == 4 else maps


def _forward(
    network: Network, variables: Mapping[str, Any], images: Images, offsets: Offsets
) -> tuple[Scores, dict[str, jax.Array]]:
    """The network at test with `offsets` added: the gradient of an offset of zero is that of the features.

    So the gradients pass whatever the network puts behind a stage, the layer in any test mode included.
    """

    def add(method: Any, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        output = method(*args, **kwargs)
        if context.method_name == "apply_stage" and args[0] in offsets:
            return output + offsets[args[0]]
        return output

    with nn.intercept_methods(add):
        result: Any = network.apply(variables, images, train=False, return_endpoints=True)
    return result


class LayerMaps(NamedTuple):
    """The layer's maps of a batch; `k` is `asae.num_candidates`, at most the number of positions."""

    attention: AttentionMap
    """float32 `[batch, height, width]`"""
    enhancement: AttentionMap
    """float32 `[batch, height, width]`"""
    peaks: jax.Array
    """Row and column of the `k` highest peaks, best first, int32 `[batch, k, 2]`; arbitrary from `num_peaks`
    on."""
    num_peaks: jax.Array
    """How many of the `k` exist, int32 `[batch]`, at least 1."""
    regions: jax.Array
    """The positions that each peak would suppress, bool `[batch, k, height, width]`."""


def layer_maps(features: Features, settings: ConfigDict, attention: str = "mean") -> LayerMaps:
    """The layer's maps of features `[batch, height, width, channels]`, whether or not the network has it.

    Args:
      features: of the stage that the layer follows, or would follow.
      settings: the section `asae` of the configuration.
      attention: of the network, see `self_attention_map`; what the settings say may be "auto".
    """
    maps = asae_maps(
        None,
        features,
        window=settings.window,
        num_candidates=settings.num_candidates,
        ratio=settings.ratio,
        area=settings.area,
        attention=attention,
        enhancement=settings.enhancement,
    )
    peaks, num_peaks = ranked_peaks(maps.attention, maps.peaks, settings.num_candidates)

    def region(peak: jax.Array) -> jax.Array:
        kept = suppression_mask(
            maps.attention, peak[:, 0], peak[:, 1], ratio=settings.ratio, area=settings.area
        )
        return kept == 0

    regions = jax.vmap(region, in_axes=1, out_axes=1)(peaks)
    return LayerMaps(maps.attention, maps.enhancement, peaks, num_peaks, regions)


def ranked_peaks(
    attention: AttentionMap, peaks: jax.Array, num_candidates: int
) -> tuple[jax.Array, jax.Array]:
    """The highest peaks in the layer's order, equal ones in row-major order.

    Args:
      attention: `[batch, height, width]`.
      peaks: bool, same shape.
      num_candidates: at most so many.

    Returns:
      `peaks` and `num_peaks` as in `LayerMaps`.
    """
    width = attention.shape[2]
    places = ranked_positions(attention, peaks, num_candidates)
    ranked = jnp.stack([places // width, places % width], -1).astype(jnp.int32)
    return ranked, jnp.minimum(jnp.sum(peaks, axis=(1, 2), dtype=jnp.int32), places.shape[1])
