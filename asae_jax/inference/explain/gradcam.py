"""Grad-CAM (Selvaraju et al. 2017) at any stages of the network, as it is at test.

The weight of a channel is the mean over the cells of the gradient of a class's score, and the map is the
weighted sum of the channels. It is kept without its ReLU, which drawing adds: also where nothing speaks for
a class there is a place that speaks least against it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models.network import Network
from asae_jax.precision import at_least_float32
from asae_jax.types import AttentionMap, Features, Images, Labels, Scores

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
      network: to be applied as at test.
      variables: of the network.
      images: normalised, `[batch, size, size, 3]`.
      stages: where maps are wanted.
      labels: int32 `[batch]`, -1 where the true class is not known: the predicted one takes its place.

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
