"""SGD with momentum, the paper's (section 4.2), AdamW or NAdam, and two learning-rate schedules."""

import functools
from collections.abc import Callable, Collection
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from asae_jax.run.epochs import steps_of


def create_schedule(settings: ConfigDict, *, steps_per_epoch: int, epochs: int) -> optax.Schedule:
    """Learning rate as a function of the step.

    "step": times `decay_factor` after every `decay_epochs` epochs, in stairs (the paper's 85 % every
    2). "cosine": half a cosine down to zero at the last step. Both start with a linear warm-up from
    zero over `warmup_epochs`, during which the decay does not run.
    """
    warmup = steps_of(settings.warmup_epochs, steps_per_epoch)
    after_warmup = max(1, steps_of(epochs, steps_per_epoch) - warmup)
    decay = SCHEDULES[settings.schedule](settings, steps_per_epoch, after_warmup)
    if not warmup:
        return decay
    return optax.join_schedules([optax.linear_schedule(0.0, settings.learning_rate, warmup), decay], [warmup])


def _stairs(settings: ConfigDict, steps_per_epoch: int, steps: int) -> optax.Schedule:
    return optax.exponential_decay(
        settings.learning_rate,
        transition_steps=max(1, steps_of(settings.decay_epochs, steps_per_epoch)),
        decay_rate=settings.decay_factor,
        staircase=True,
    )


def _cosine(settings: ConfigDict, steps_per_epoch: int, steps: int) -> optax.Schedule:
    return optax.cosine_decay_schedule(settings.learning_rate, steps)


SCHEDULES: dict[str, Callable[[ConfigDict, int, int], optax.Schedule]] = {"step": _stairs, "cosine": _cosine}
"""Name -> the schedule after warm-up, of (settings, steps per epoch, steps that are left)."""


def create_optimizer(
    settings: ConfigDict,
    schedule: optax.Schedule,
    *,
    frozen: Collection[str] = (),
    head_rate: float = 1.0,
) -> optax.GradientTransformation:
    """SGD or AdamW, as PyTorch has them; the rate is applied last.

    SGD adds the weight decay to the gradient before momentum. AdamW (Loshchilov and Hutter 2019) keeps it
    out of both averages, whose decay rates are `momentum` and 0.999. With `nesterov` it is not PyTorch's but
    NAdam (Dozat 2016) with the same decoupled decay and a constant `momentum`: the average of the gradients
    is taken one step ahead.

    Args:
      settings: `config.optimizer`.
      schedule: learning rate as a function of the step.
      frozen: stages whose parameters never change, not by weight decay either.
      head_rate: factor on the learning rate of the last linear layer.
    """
    mask = None if settings.decay_all else kernels_only
    decay = optax.add_decayed_weights(settings.weight_decay, mask=mask)
    parts = [
        optax.clip_by_global_norm(settings.clip_norm) if settings.clip_norm else optax.identity(),
        *RULES[settings.name](settings, decay),
        optax.scale_by_learning_rate(schedule),
    ]
    if head_rate != 1:
        parts.append(optax.masked(optax.scale(head_rate), functools.partial(_within, modules={"head"})))
    if frozen:
        parts.append(optax.masked(optax.set_to_zero(), functools.partial(_within, modules=frozen)))
    return optax.chain(*parts)


def _sgd(settings: ConfigDict, decay: optax.GradientTransformation) -> list[optax.GradientTransformation]:
    return [decay, optax.trace(decay=settings.momentum, nesterov=settings.nesterov)]


def _adamw(settings: ConfigDict, decay: optax.GradientTransformation) -> list[optax.GradientTransformation]:
    return [optax.scale_by_adam(b1=settings.momentum, nesterov=settings.nesterov), decay]


RULES = {"sgd": _sgd, "adamw": _adamw}


def kernels_only(params: Any) -> Any:
    """True for convolution and dense kernels, False for biases and the scales of normalisation."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def _within(params: Any, *, modules: Collection[str]) -> Any:
    """True for parameters of the backbone's `modules`: its stages and its head."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[1].key in modules, params)
