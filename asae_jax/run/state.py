"""Everything a training step reads and writes, as one pytree."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from asae_jax.types import Key


class TrainState(struct.PyTreeNode):
    """Parameters, statistics, optimiser and their moving average after `step` steps.

    No random key is part of it: keys are functions of the seed and `step` (see `asae_jax.keys`).
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    average: Any
    """Moving average of `{"params", "batch_stats"}`, or None where it is switched off."""

    def variables(self) -> Mapping[str, Any]:
        """What to score and export: the moving average where there is one."""
        return self.average or {"params": self.params, "batch_stats": self.batch_stats}


def create_state(
    network: nn.Module,
    optimizer: optax.GradientTransformation,
    key: Key,
    *,
    image_size: int,
    with_average: bool = False,
    with_auxiliary: bool = False,
) -> TrainState:
    """Fresh state for `network`, compiled in one piece.

    Args:
      network: maps images `[batch, image_size, image_size, 3]` to logits.
      optimizer: whose state is kept.
      key: of the random initial weights.
      image_size: pixels.
      with_average: whether a moving average of the weights is kept.
      with_auxiliary: whether there are parameters that only a training pass uses (`models.auxiliary_norm`).
    """

    def initialise(key: Key) -> TrainState:
        streams = {"params": key, "asae": key}  # nothing random is kept of the second
        images = jnp.zeros((1, image_size, image_size, 3))
        variables = network.init(streams if with_auxiliary else key, images, train=with_auxiliary)
        weights = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            opt_state=optimizer.init(weights["params"]),
            # A copy: the step donates its state, and a buffer can be donated once only.
            average=jax.tree.map(jnp.copy, weights) if with_average else None,
            **weights,
        )

    return jax.jit(initialise)(key)


def abstract_state(network: nn.Module, optimizer: optax.GradientTransformation, **options: Any) -> TrainState:
    """The shapes and types of `create_state`'s result, as `jax.ShapeDtypeStruct`; nothing is computed.

    Args:
      network: see `create_state`.
      optimizer: see `create_state`.
      **options: the others of `create_state`, but for the key.
    """
    create = functools.partial(create_state, network, optimizer, **options)
    return jax.eval_shape(create, jax.eval_shape(jax.random.key, 0))


def next_state(
    state: TrainState,
    gradients: Any,
    batch_stats: Any,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> TrainState:
    """The state after one update.

    Args:
      state: before it.
      gradients: of the loss, in the tree of `params`.
      batch_stats: running statistics after the step.
      optimizer: the transformation `state.opt_state` belongs to.
      ema_decay: decay of the moving average of the weights, 0..1; 0: it stays as it is.
    """
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    return average_weights(state, ema_decay) if ema_decay else state


def average_weights(state: TrainState, decay: float) -> TrainState:
    """Moves the average towards the newest weights: a <- decay' a + (1 - decay') w.

    decay' = min(decay, (1 + step) / (10 + step)), as in TensorFlow's ExponentialMovingAverage, so that
    the random initial weights are forgotten within the first steps.
    """
    share = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
    newest = {"params": state.params, "batch_stats": state.batch_stats}
    return state.replace(
        # In this form what does not change (frozen stages) stays as it is, bit for bit.
        average=jax.tree.map(lambda a, w: a + (1 - share) * (w - a), state.average, newest)
    )
