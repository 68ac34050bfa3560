"""The training, scoring and statistics steps: pure functions of (state or variables, batch).

Each runs on one device's share of a batch, inside an axis named `axis_name`; `asae_jax.training.parallel`
maps them over devices. They hold no state and load nothing, so they can be used in any JAX program.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from asae_jax import keys
from asae_jax.losses import mean_branch_log_probs, mean_branch_loss
from asae_jax.metrics import Sums
from asae_jax.training.state import TrainState, average_weights
from asae_jax.types import Images, Key, Labels, Scores

Batch = Mapping[str, jax.Array]
Augment = Callable[..., Images]
"""`(key, uint8 images, first_example=...) -> normalised images`."""


class StepMetrics(NamedTuple):
    """What one training step measured, before its update."""

    sums: Sums
    gradient_norm: jax.Array
    """Global L2 norm of the loss's gradient, before clipping and weight decay."""


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    network: nn.Module,
    optimizer: optax.GradientTransformation,
    loss: Callable[[Scores, Labels], jax.Array],
    augment: Augment,
    seed: int,
    axis_name: str,
    ema_decay: float = 0.0,
    loss_per_branch: bool = False,
) -> tuple[TrainState, StepMetrics]:
    """One step of gradient descent on the mean loss of the global batch.

    Args:
      state: equal on all devices.
      batch: this device's share: `image` uint8 `[batch, size, size, 3]`, `label` int32 `[batch]`.
      network: maps normalised images to logits `[batch, classes]` or `[branches, batch, classes]`.
      optimizer: the transformation `state.opt_state` belongs to.
      loss: per-example loss `(scores, labels) -> [batch]`.
      augment: draws one random view of each image.
      seed: root of the random streams "augment" and "asae".
      axis_name: the data-parallel axis; gradients and metrics are averaged over it.
      ema_decay: above 0, the moving average of the weights is updated.
      loss_per_branch: the mean of the branches' losses instead of the loss of their mean probability.

    Returns:
      The next state and what the step measured, both equal on all devices.
    """
    images = augment_share(batch["image"], augment, _key(seed, "augment", state.step), axis_name)

    def objective(params: Any) -> tuple[jax.Array, tuple[Any, Scores, jax.Array]]:
        logits, updated = network.apply(
            {"params": params, "batch_stats": state.batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"asae": _key(seed, "asae", state.step)},
        )
        scores = mean_branch_log_probs(logits) if logits.ndim == 3 else logits
        if loss_per_branch and logits.ndim == 3:
            losses = mean_branch_loss(loss, logits, batch["label"])
        else:
            losses = loss(scores, batch["label"])
        return losses.mean(), (updated.get("batch_stats", {}), scores, losses)

    gradients, (batch_stats, scores, losses) = jax.grad(objective, has_aux=True)(state.params)
    gradients = jax.lax.pmean(gradients, axis_name)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        # Synchronised statistics are equal already; with per-device ones this keeps a single copy.
        batch_stats=jax.lax.pmean(batch_stats, axis_name),
        opt_state=opt_state,
    )
    if ema_decay:
        state = average_weights(state, ema_decay)
    sums = jax.lax.psum(Sums.of(losses, scores, batch["label"]), axis_name)
    return state, StepMetrics(sums, optax.tree.norm(gradients))


def score_step(
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    network: nn.Module,
    preprocess: Callable[[jax.Array], Images],
) -> Scores:
    """Log-probabilities `[batch, classes]` of undisturbed images, the network as at test."""
    logits: Any = network.apply(variables, preprocess(batch["image"]), train=False)
    return jax.nn.log_softmax(logits)


def statistics_step(
    variables: Mapping[str, Any],
    batch: Batch,
    number: jax.Array,
    *,
    network: nn.Module,
    augment: Augment,
    seed: int,
    axis_name: str,
    momentum: float,
) -> Any:
    """The own statistics of batch `number`, in the tree of `batch_stats`, equal on all devices.

    Normalisation keeps running = momentum * running + (1 - momentum) * batch; started from zeros the
    update is (1 - momentum) times the batch's statistics.
    """
    key = _key(seed, "statistics", number)
    images = augment_share(batch["image"], augment, key, axis_name)
    zeros = jax.tree.map(jnp.zeros_like, variables["batch_stats"])
    _, updated = network.apply(
        {"params": variables["params"], "batch_stats": zeros},
        images,
        train=True,
        mutable=["batch_stats"],
        rngs={"asae": key},
    )
    statistics = jax.tree.map(lambda s: s / (1 - momentum), updated["batch_stats"])
    return jax.lax.pmean(statistics, axis_name)


def augment_share(images: jax.Array, augment: Augment, key: Key, axis_name: str) -> Images:
    """Augments one device's share with the keys its images have in the global batch."""
    return augment(key, images, first_example=jax.lax.axis_index(axis_name) * images.shape[0])


def _key(seed: int, stream: str, step: jax.Array) -> Key:
    return keys.step_key(keys.stream_key(seed, stream), step)
