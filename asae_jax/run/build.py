"""From settings to network, loss, augmentation and compiled steps."""

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from asae_jax import augment, losses
from asae_jax.config import BY_NAME, branch_names, copy_with, flatten
from asae_jax.errors import UserError
from asae_jax.models import create_model
from asae_jax.models.asae import ASAE
from asae_jax.models.auxiliary_norm import without_auxiliary
from asae_jax.models.layers import BatchNorm
from asae_jax.models.network import SECOND_LOOK, Network
from asae_jax.run import parallel, steps
from asae_jax.run import test_time_augmentation as tta
from asae_jax.run.epochs import steps_of
from asae_jax.types import Images

TEST_BRANCHES: dict[str, tuple[str, ...]] = {
    "skip": ("plain",),
    "enhance": ("enhance",),
    "mean": (),
    SECOND_LOOK: ("plain",),
}
"""`eval.test_mode` -> what the later stages see at test, of `asae.branches`; empty: all of them."""

_NETWORK = ("model.name", "model.stem", "model.width", "model.norm")

MIXES = {"mixup": augment.mixup, "cutmix": augment.cutmix}


def create_network(config: ConfigDict, num_classes: int, *, axis_name: str | None = None) -> Network:
    """The network of `config.model` with its layer.

    Args:
      config: settings.
      num_classes: length of the logits.
      axis_name: device axis of the training step; None outside of it.

    Raises:
      UserError: names or sizes that do not go together.
    """
    model = config.model
    options: dict[str, Any] = {}
    if model.name.startswith("adl_"):
        options = {"adl_rate": config.adl.rate, "adl_threshold": config.adl.threshold}
    return _network(
        config,
        model.name,
        num_classes,
        axis_name,
        model.branching,
        branch_names(config),
        model.branch_statistics,
        branch_affine="separate" if has_auxiliary(config) else "shared",
        **options,
    )


def tested_as(config: ConfigDict) -> str:
    """`eval.test_mode` as scores record it.

    "skip" where there is no layer, and with its threshold where there is a second look, which needs none. A
    mean over views (`eval.tta`) is another way of testing: "skip-tta".
    """
    mode = config.eval.test_mode if config.model.branching == "asae" else "skip"
    if config.eval.test_mode == SECOND_LOOK:
        above = " above the mean" * create_network(config, num_classes=1).looks_above_mean
        mode = f"{SECOND_LOOK} at {config.eval.look_threshold:g}{above}"
    return f"{mode}{tta.TTA_SUFFIX}" if config.eval.tta else mode


def statistics_as(config: ConfigDict) -> str:
    """`eval.batch_statistics` as scores record it, and over how many batches unless that is the default."""
    kind, count = config.eval.batch_statistics, config.eval.reestimate_batches
    usual = kind == "running" or count == BY_NAME["eval.reestimate_batches"].default
    return kind if usual else f"{kind} over {count} batches"


def several_passes(config: ConfigDict) -> dict[str, Any]:
    """Settings by which the network is applied to an image more than once -> their value for one pass."""
    found: dict[str, Any] = {}
    if config.eval.test_mode == SECOND_LOOK:
        found["eval.test_mode"] = "skip"
    if config.eval.tta:
        found["eval.tta"] = False
    return found


def has_auxiliary(config: ConfigDict) -> bool:
    """Whether training has parameters that the test has no use for, see `models.auxiliary_norm`."""
    return config.model.branching == "asae" and config.model.branch_affine == "separate"


def create_test_network(config: ConfigDict, num_classes: int, *, axis_name: str) -> Network:
    """A network that in training mode computes what `create_network`'s does at test.

    Its batch statistics are joint, as one set of running statistics serves all branches of a test. Of the
    layers only ASAE can be there at test; a ResNet with ADL is the plain one.
    """
    name = config.model.name.removeprefix("adl_")
    branching = "asae" if config.model.branching == "asae" else "none"
    branches = TEST_BRANCHES[config.eval.test_mode] or branch_names(config)
    network = _network(config, name, num_classes, axis_name, branching, branches, "joint")
    if isinstance(network.branching, ASAE):  # the test hides the highest peak, and never another
        return network.clone(branching=network.branching.clone(p_top1=1.0))
    return network


def _network(
    config: ConfigDict,
    name: str,
    num_classes: int,
    axis_name: str | None,
    branching: str,
    branches: tuple[str, ...],
    branch_statistics: str,
    **options: Any,
) -> Network:
    model = config.model
    network = create_model(
        name,
        num_classes,
        norm=model.norm,
        branch_statistics=branch_statistics,
        running_branch=_running_branch(config, branches),
        dtype=jnp.dtype(model.dtype),
        axis_name=axis_name,
        branching=None if branching == "none" else branching,
        branching_options=_layer_options(config, branching, branches),
        insert_after=model.insert_after,
        test_mode=config.eval.test_mode,
        look_threshold=config.eval.look_threshold,
        attention=config.asae.attention,
        freeze_until=config.init.freeze or None,
        stem=model.stem,
        width=model.width,
        **options,
    )
    return network.clone(remat=model.remat)


def _layer_options(config: ConfigDict, branching: str, branches: tuple[str, ...]) -> dict[str, Any]:
    """The fields of the layer `branching`, from its section."""
    if branching == "asae":
        of_others = ("ramp_epochs", "attention")  # of the step and of the whole network
        fields = {name: value for name, value in config.asae.items() if name not in of_others}
        return fields | {"branches": branches}
    if branching == "dropblock":
        return dict(config.drop)
    if branching in ("dropout", "spatial_dropout", "maxdrop"):
        return {"rate": config.drop.rate}
    return dict(config[branching]) if branching in config else {}


def _running_branch(config: ConfigDict, branches: tuple[str, ...]) -> int | None:
    wanted = config.model.running_statistics == "plain" and "plain" in branches
    return branches.index("plain") if wanted else None


def variable_shapes(config: ConfigDict, num_classes: int) -> Mapping[str, Any]:
    """`params` and `batch_stats` of the network as `jax.ShapeDtypeStruct`; nothing is initialised.

    Raises:
      UserError: names or sizes that do not go together, of layer, stage, stem, model and image.
    """
    return _initial_shapes(config, num_classes, train=False)


def _initial_shapes(config: ConfigDict, num_classes: int, *, train: bool) -> Mapping[str, Any]:
    network = create_network(config, num_classes)
    size = config.augment.size
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    key = jax.eval_shape(jax.random.key, 0)  # a key that is there would have to be computed

    def initialise(key: Any, images: Any) -> Any:
        return network.init({"params": key, "asae": key} if train else key, images, train=train)

    shapes: Any = jax.eval_shape(initialise, key, images)
    return {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}


def check_normalisation_layers(config: ConfigDict, num_classes: int) -> None:
    """Raises a UserError where settings are about batch normalisation that the network does not have.

    That is `model.branch_affine`, where no branch would have anything of its own, and
    `eval.batch_statistics`.
    """
    if config.eval.batch_statistics == "reestimate":
        check_reestimated(config, variable_shapes(config, num_classes)["batch_stats"])
    if has_auxiliary(config):
        params = _initial_shapes(config, num_classes, train=True)["params"]
        if len(jax.tree.leaves(without_auxiliary(params))) == len(jax.tree.leaves(params)):
            raise UserError(
                f"config.model.branch_affine='separate' cannot be used: {config.model.name} has no batch "
                f"normalisation behind config.model.insert_after={config.model.insert_after}, use shared."
            )


def check_reestimated(config: ConfigDict, batch_stats: Mapping[str, Any]) -> None:
    """Raises a UserError where `eval.batch_statistics` is to estimate statistics that are not there."""
    if config.eval.batch_statistics == "reestimate" and not batch_stats:
        raise UserError(
            f"config.eval.batch_statistics='reestimate' cannot be used: {config.model.name} has no batch "
            "normalisation, use running."
        )


def create_loss(
    config: ConfigDict, num_classes: int, *, class_counts: np.ndarray | None = None
) -> losses.Loss:
    """The per-example loss of `config.loss`.

    Args:
      config: settings.
      num_classes: number of classes the scores will have.
      class_counts: training images of each class `[classes]`; only some losses need them.

    Warns:
      UserWarning: the loss and the batches both correct for unequal numbers of images.
    """
    settings = dict(config.loss)
    if settings["name"] in losses.NEED_CLASS_COUNTS and config.data.sampler != "shuffled":
        warnings.warn(
            f"loss {settings['name']} corrects for unequal numbers of images per class, and so do "
            f"{config.data.sampler} batches: together they overdo it; choose config.data.sampler=shuffled",
            stacklevel=2,
        )
    of_the_step = ("branches", "agreement")
    options = {name: value for name, value in settings.items() if name not in of_the_step}
    return losses.create_loss(**options, num_classes=num_classes, class_counts=class_counts)


def create_augment(config: ConfigDict) -> functools.partial[Images]:
    """The random views of `config.augment`: `(key, uint8 images, first_example=...) -> images`."""
    settings = config.augment
    mean, std = normalisation(config)
    return functools.partial(
        augment.augment,
        size=settings.size,
        scale=(settings.scale_min, settings.scale_max),
        scale_even=settings.scale_even,
        horizontal_flip=settings.horizontal_flip,
        vertical_flip=settings.vertical_flip,
        rotation=settings.rotation,
        brightness=settings.brightness,
        contrast=settings.contrast,
        saturation=settings.saturation,
        hue=settings.hue,
        blur=settings.blur,
        laboratory=augment.Laboratory(settings.stain, settings.light, settings.jpeg),
        mean=mean,
        std=std,
    )


def create_mix(config: ConfigDict) -> steps.Mix | None:
    """How pairs of training images are mixed, as `config.augment.mix` says; None for not at all."""
    name, alpha = config.augment.mix, config.augment.mix_alpha
    if name == "none":
        return None
    return functools.partial(MIXES[name], alpha=alpha) if alpha else MIXES[name]


def create_preprocess(config: ConfigDict) -> Callable[..., Images]:
    """What happens to an image at test: centre crop and normalisation."""
    mean, std = normalisation(config)
    return functools.partial(augment.preprocess, size=config.augment.size, mean=mean, std=std)


def normalisation(config: ConfigDict) -> tuple[augment.Colour, augment.Colour]:
    """Mean and standard deviation that images are normalised with, in units of 0..1."""
    return augment.NORMALISATIONS[normalisation_name(config)]


def normalisation_name(config: ConfigDict) -> str:
    """`augment.normalisation`, where that is "auto" the one that the model's published weights want."""
    if config.augment.normalisation != "auto":
        return config.augment.normalisation
    return "lite" if config.model.name.startswith("efficientnet_lite") else "imagenet"


def network_settings(config: ConfigDict) -> tuple[str, ...]:
    """Names of the settings that decide the network, and most of them the shapes of its weights.

    Learnt positions of a vision transformer are of one size of images.
    """
    return (*_NETWORK, "augment.size") if config.model.name.startswith("vit") else _NETWORK


def settings_of_weights(config: ConfigDict) -> dict[str, Any]:
    """Setting -> value that another run needs to start from weights trained with `config`.

    The normalisation is among them where the network's name does not give it.
    """
    needed = {name: flatten(config)[name] for name in network_settings(config)}
    by_itself = copy_with(config, {"augment.normalisation": "auto"})
    if normalisation(config) != normalisation(by_itself):
        needed["augment.normalisation"] = normalisation_name(config)
    return needed


def compiled_train_step(
    config: ConfigDict,
    num_classes: int,
    optimizer: optax.GradientTransformation,
    *,
    class_counts: np.ndarray | None = None,
    steps_per_epoch: int = 1,
) -> Callable:
    """`(state, batch split over devices) -> (state, StepMetrics)`: `steps.train_step` of these settings.

    Args:
      config: settings.
      num_classes: number of classes.
      optimizer: the transformation the state's `opt_state` belongs to.
      class_counts: training images of each class `[classes]`; only some losses need them.
      steps_per_epoch: turns the epochs of the layer's ramp into steps.

    With `init.views` the batch holds `features` (see `asae_jax.run.frozen_features`) in the place of `image`.
    """
    ramp_epochs = config.asae.ramp_epochs if config.model.branching == "asae" else 0.0
    network = create_network(config, num_classes, axis_name=parallel.AXIS)
    if config.init.views:
        network = network.clone(start_after=config.init.freeze)
    return parallel.parallel_update(
        functools.partial(
            steps.train_step,
            network=network,
            optimizer=optimizer,
            loss=create_loss(config, num_classes, class_counts=class_counts),
            augment=create_augment(config),
            mix=create_mix(config),
            seed=config.seed,
            axis_name=parallel.AXIS,
            ema_decay=config.optimizer.ema_decay,
            loss_per_branch=config.loss.branches == "mean_loss",
            agreement=config.loss.agreement,
            accumulate=config.train.accumulate,
            classes=num_classes,
            ramp_steps=steps_of(ramp_epochs, steps_per_epoch),
        )
    )


def compiled_score_step(config: ConfigDict, num_classes: int, *, with_features: bool = False) -> Callable:
    """`(variables, batch split over devices) -> scores stacked by device`: `steps.score_step`.

    Args:
      config: settings.
      num_classes: number of classes.
      with_features: `steps.score_and_pool_step` instead, whose result is a pair.
    """
    step = steps.score_and_pool_step if with_features else steps.score_step
    return parallel.parallel_score(
        functools.partial(
            step, network=create_network(config, num_classes), preprocess=create_preprocess(config)
        )
    )


def compiled_front_step(config: ConfigDict, num_classes: int) -> Callable:
    """`(variables, batch split over devices) -> features stacked by device`: `steps.front_step`."""
    return parallel.parallel_score(
        functools.partial(
            steps.front_step,
            network=create_network(config, num_classes),
            augment=create_augment(config),
            seed=config.seed,
            dtype=jnp.dtype(config.init.views_dtype),
        )
    )


def compiled_statistics_step(config: ConfigDict, num_classes: int, *, augmented: bool = True) -> Callable:
    """`(variables, batch split over devices, number) -> batch statistics`: `steps.statistics_step`.

    Args:
      config: settings.
      num_classes: number of classes.
      augmented: whether of random views, as in training; else of the images as at test.
    """
    return parallel.parallel_statistics(
        functools.partial(
            steps.statistics_step,
            network=create_test_network(config, num_classes, axis_name=parallel.AXIS),
            augment=create_augment(config) if augmented else _as_at_test(config),
            seed=config.seed,
            axis_name=parallel.AXIS,
            momentum=BatchNorm.momentum,
        )
    )


def _as_at_test(config: ConfigDict) -> steps.Augment:
    """Test images in the place of random views."""
    preprocess = create_preprocess(config)
    return lambda key, images, *, first_example=0: preprocess(images)
