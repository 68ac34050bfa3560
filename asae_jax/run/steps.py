"""The training, scoring and statistics steps: pure functions of (state or variables, batch).

Each runs on one device's share of a batch, inside an axis named `axis_name`; `asae_jax.run.parallel`
maps them over devices. They hold no state and load nothing, so they can be used in any JAX program.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from asae_jax import keys
from asae_jax.losses import Loss, branch_disagreement, mean_branch_log_probs, mean_branch_loss
from asae_jax.models.baselines import drop_layers
from asae_jax.models.network import Network
from asae_jax.run.accumulation import mean_over_parts
from asae_jax.run.state import TrainState, next_state
from asae_jax.run.sums import Sums
from asae_jax.run.test_time_augmentation import prepare_view
from asae_jax.types import ExampleNumbers, Images, Key, Labels, Scores

LAYER_STREAMS = ("asae", drop_layers.STREAM)
"""Random streams that layers of the network draw from in training."""

Batch = Mapping[str, jax.Array]
Augment = Callable[..., Images]
"""`(key, uint8 images, first_example=...) -> normalised images`; or with one key for each image."""
Mix = Callable[[Key, Images, Images], tuple[Images, jax.Array]]
"""`(key, images, their partners) -> (mixed images, share of the first, 0..1)`."""
Targets = list[tuple[jax.Array | float, Labels]]
"""The labels of a batch `[batch]` with the weight of each one's loss; weights add up to 1."""


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
    loss: Loss,
    augment: Augment,
    seed: int,
    axis_name: str,
    ema_decay: float = 0.0,
    loss_per_branch: bool = False,
    agreement: float = 0.0,
    mix: Mix | None = None,
    ramp_steps: int = 0,
    accumulate: int = 1,
    classes: int = 1,
) -> tuple[TrainState, StepMetrics]:
    """One step of gradient descent on the mean loss of the global batch; equal on all devices.

    Args:
      state: equal on all devices.
      batch: this device's share: `label`, and uint8 `image` `[batch, size, size, 3]` or kept `features`.
      network: maps normalised images to logits `[batch, classes]` or `[branches, batch, classes]`.
      optimizer: the transformation `state.opt_state` belongs to.
      loss: per-example loss `(scores, labels) -> [batch]`.
      augment: draws one random view of each image.
      seed: root of the random streams "augment", "mix" and `LAYER_STREAMS`.
      axis_name: the data-parallel axis; gradients and metrics are averaged over it.
      ema_decay: above 0, the moving average of the weights is updated.
      loss_per_branch: the mean of the branches' losses instead of the loss of their mean probability.
      agreement: weight of the branches' disagreement, which is added to the loss where there are branches.
      mix: mixes each image with a partner, for both labels; the accuracy measured counts its own.
      ramp_steps: steps over which the ASAE layer's strength rises from 0 to 1; 0: it is whole from the start.
      accumulate: equal parts in which the share passes the network, in the memory of one.
      classes: of balanced batches, whose parts are balanced: see `accumulation.members`.
    """
    examples = _augmented(batch, state.step, augment, mix, seed, axis_name)
    first = jax.lax.axis_index(axis_name) * len(batch["label"])

    def part(examples: tuple[Images, Targets], numbers: ExampleNumbers) -> tuple[Any, Any]:
        options = _layer_options(state.step, seed, ramp_steps, numbers if accumulate > 1 else None)
        return _gradients(network, state, examples, options, loss, loss_per_branch, agreement)

    (gradients, batch_stats), (scores, losses) = mean_over_parts(part, examples, accumulate, first, classes)
    gradients = jax.lax.pmean(gradients, axis_name)
    batch_stats = _joint_statistics(batch_stats, state.batch_stats, axis_name)
    state = next_state(state, gradients, batch_stats, optimizer, ema_decay)
    sums = jax.lax.psum(Sums.of(losses, scores, batch["label"]), axis_name)
    return state, StepMetrics(sums, optax.tree.norm(gradients))


def _layer_options(
    step: jax.Array, seed: int, ramp_steps: int, numbers: ExampleNumbers | None
) -> dict[str, Any]:
    """What layers need in training: random keys, how much of ASAE acts; of a part, its images' numbers."""
    rngs = {stream: _key(seed, stream, step) for stream in LAYER_STREAMS}
    place = {} if numbers is None else {"first_example": numbers}
    return {"rngs": rngs} | place | ({"strength": ramp(step, ramp_steps)} if ramp_steps else {})


def _gradients(
    network: nn.Module,
    state: TrainState,
    examples: tuple[Images, Targets],
    options: Mapping[str, Any],
    *loss_options: Any,
) -> tuple[tuple[Any, Any], tuple[Scores, jax.Array]]:
    """Gradients of the images' mean loss and running statistics; and the scores and losses of each image.

    Args:
      network: see `train_step`.
      state: what the gradients are taken at.
      examples: images and their labels.
      options: of the network's call.
      *loss_options: of `batch_losses`.
    """
    images, targets = examples

    def objective(params: Any) -> tuple[jax.Array, tuple[Any, Scores, jax.Array]]:
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, updated = network.apply(variables, images, train=True, mutable=["batch_stats"], **options)
        losses, scores = batch_losses(logits, targets, *loss_options)
        return losses.mean(), (updated.get("batch_stats", {}), scores, losses)

    gradients, (batch_stats, scores, losses) = jax.grad(objective, has_aux=True)(state.params)
    return (gradients, batch_stats), (scores, losses)


def _joint_statistics(statistics: Any, before: Any, axis_name: str) -> Any:
    """One copy of the running statistics: synchronised ones are equal already, others are averaged.

    It is the changes that are averaged: three times a frozen statistic, by three, need not be what it was.
    """
    change = jax.lax.pmean(jax.tree.map(jnp.subtract, statistics, before), axis_name)
    return jax.tree.map(jnp.add, before, change)


def ramp(step: jax.Array, steps: int) -> jax.Array:
    """0 at step 0, rising linearly to 1 at step `steps` and from then on: float32."""
    return jnp.minimum(step / steps, 1.0).astype(jnp.float32)


def batch_losses(
    logits: jax.Array, targets: Targets, loss: Loss, loss_per_branch: bool, agreement: float
) -> tuple[jax.Array, Scores]:
    """The loss of each example, and the scores it is predicted by.

    Args:
      logits: `[batch, classes]` or `[branches, batch, classes]`.
      targets: labels with the weight of each one's loss.
      loss: per-example loss.
      loss_per_branch: see `train_step`.
      agreement: see `train_step`.

    Returns:
      `[batch]`, and logits or the branches' mean log-probabilities `[batch, classes]`.
    """
    branched = logits.ndim == 3
    scores = mean_branch_log_probs(logits) if branched else logits
    if loss_per_branch and branched:
        losses_for = functools.partial(mean_branch_loss, loss, logits)
    else:
        losses_for = functools.partial(loss, scores)
    losses = sum((weight * losses_for(labels) for weight, labels in targets), start=jnp.zeros(()))
    if agreement and branched:
        losses += agreement * branch_disagreement(logits)
    return losses, scores


def score_step(
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    network: nn.Module,
    preprocess: Callable[[jax.Array], Images],
) -> Scores:
    """Log-probabilities `[batch, classes]` of undisturbed images, the network as at test.

    Args:
      variables: of the network.
      batch: see `test_time_augmentation.prepare_view`.
      network: applied as at test time.
      preprocess: as in `test_time_augmentation.prepare_view`.
    """
    logits: Any = network.apply(variables, prepare_view(batch, preprocess), train=False)
    return jax.nn.log_softmax(logits)


def score_and_pool_step(
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    network: Network,
    preprocess: Callable[[jax.Array], Images],
) -> tuple[Scores, jax.Array]:
    """Logits `[batch, classes]` as at test, and the `pooled_features`, which outlier scores compare.

    Args:
      variables: of the network.
      batch: see `test_time_augmentation.prepare_view`.
      network: applied as at test time.
      preprocess: as in `test_time_augmentation.prepare_view`.
    """
    logits, endpoints = network.apply(
        variables, prepare_view(batch, preprocess), train=False, return_endpoints=True
    )
    return logits, pooled_features(network, endpoints)


def front_step(
    variables: Mapping[str, Any],
    batch: Batch,
    *,
    network: Network,
    augment: Augment,
    seed: int,
    dtype: Any,
) -> jax.Array:
    """Features of the frozen stages for one random view of each image, `[batch, height, width, channels]`.

    Args:
      variables: of the network.
      batch: this device's share: `image` uint8 `[batch, size, size, 3]`, and int32 `[batch]` `index`, the row
        of the data-set index, and `view`, the number of the view. The two decide what is drawn.
      network: with frozen stages.
      augment: draws the views.
      seed: root of the random stream "views".
      dtype: of the result.
    """
    view_keys = keys.view_keys(keys.stream_key(seed, "views"), batch["view"], batch["index"])
    images = augment(view_keys, batch["image"])
    features: Any = network.apply(variables, images, method="front")
    return features.astype(dtype)


def pooled_features(network: Network, endpoints: Any) -> jax.Array:
    """Features of the last stage averaged over the map and over branches: float32 `[batch, channels]`."""
    features = endpoints[network.backbone.stage_names[-1]].mean((-3, -2), dtype=jnp.float32)
    return features.mean(0) if features.ndim == 3 else features


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
    """The statistics of this batch alone, in the tree of `batch_stats`, equal on all devices.

    Normalisation keeps running = momentum * running + (1 - momentum) * batch, which is solved for the batch's
    part. Where the running statistics do not follow the batch (frozen stages), these are what is returned.

    Args:
      variables: of the network, `params` and `batch_stats`.
      batch: this device's share: uint8 `image` `[batch, size, size, 3]`.
      number: of the batch, an integer from 0; decides what is drawn.
      network: with normalisation layers; passed as in training.
      augment: draws one random view of each image, or prepares it as at test.
      seed: root of the random stream "statistics".
      axis_name: the data-parallel axis; statistics are averaged over it.
      momentum: of the normalisation layers, 0..1, below 1.
    """
    key = _key(seed, "statistics", number)
    images = augment_share(batch["image"], augment, key, axis_name)
    _, updated = network.apply(
        variables,
        images,
        train=True,
        mutable=["batch_stats"],
        rngs={"asae": key},
    )
    statistics = jax.tree.map(
        lambda new, old: (new - momentum * old) / (1 - momentum),
        updated["batch_stats"],
        variables["batch_stats"],
    )
    return jax.lax.pmean(statistics, axis_name)


def _augmented(
    batch: Batch, step: jax.Array, augment: Augment, mix: Mix | None, seed: int, axis_name: str
) -> tuple[Images, Targets]:
    """Random views of one device's share, mixed where `mix` is given, and their labels.

    Features come as they are: they are of views already.
    """
    if "features" in batch:
        return batch["features"], [(1.0, batch["label"])]
    images = augment_share(batch["image"], augment, _key(seed, "augment", step), axis_name)
    if mix is None:
        return images, [(1.0, batch["label"])]
    return mix_share(images, batch["label"], mix, _key(seed, "mix", step), axis_name)


def augment_share(images: jax.Array, augment: Augment, key: Key, axis_name: str) -> Images:
    """Augments one device's share with the keys its images have in the global batch.

    Args:
      images: uint8 `[batch, size, size, 3]`, this device's share.
      augment: draws one random view of each image.
      key: of the step, the same on all devices.
      axis_name: the data-parallel axis.
    """
    return augment(key, images, first_example=jax.lax.axis_index(axis_name) * images.shape[0])


def mix_share(images: Images, labels: Labels, mix: Mix, key: Key, axis_name: str) -> tuple[Images, Targets]:
    """Mixes one device's share with random partners from the whole batch, on whichever device they are.

    Args:
      images: this device's share, augmented.
      labels: of the share.
      mix: how two become one.
      key: of the step, the same on all devices.
      axis_name: the data-parallel axis.

    Returns:
      The mixed images, and the own and the partners' labels with their weights.
    """
    partner_key, mix_key = jax.random.split(key)
    # Partners from the own share alone would cost less, but tie the result to the number of devices.
    all_images, all_labels = jax.lax.all_gather((images, labels), axis_name, tiled=True)
    order = jax.random.permutation(partner_key, all_labels.shape[0])
    first = jax.lax.axis_index(axis_name) * images.shape[0]
    partners = jax.lax.dynamic_slice_in_dim(order, first, images.shape[0])
    mixed, share = mix(mix_key, images, all_images[partners])
    return mixed, [(share, labels), (1 - share, all_labels[partners])]


def _key(seed: int, stream: str, step: jax.Array) -> Key:
    return keys.step_key(keys.stream_key(seed, stream), step)
