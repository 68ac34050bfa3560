"""Settings that somebody gave and that have no effect, as others are set."""

from ml_collections import ConfigDict

from asae_jax import shipped
from asae_jax.config.fields import FIELDS, LAST_PLACES, WITHOUT_BATCH_NORM
from asae_jax.config.recipes import recipe
from asae_jax.config.values import branch_names, flatten, value_of


def unused(config: ConfigDict) -> list[str]:
    """Settings that somebody gave and that nothing reads, as others are set: "name (why)".

    What nothing reads in training, that is. Defaults do not count, nor do values of the included recipe that
    the settings differ least from: whoever leaves the layer out of it does not give those of the layer.
    """
    why = _idle_of_data(config) | _idle_of_layers(config) | _idle_of_training(config)
    given = flatten(config)
    recipes = [flatten(recipe(name)) for name in shipped.recipes()]
    far = [sum(value != other[name] for name, value in given.items()) for other in recipes]
    of_others = [other for other, count in zip(recipes, far, strict=True) if count == min(far)]
    return [
        f"{field.name} ({reason})"
        for field in FIELDS
        if (reason := why.get(field.name) or why.get(field.section))
        and given[field.name] not in (field.default, *(other[field.name] for other in of_others))
    ]


_LOSS_OPTIONS = {
    "k_high": ("gce", "gmmce"),
    "k_low": ("gmmce",),
    "gamma": ("focal",),
    "beta": ("class_balanced",),
    "tau": ("logit_adjusted",),
}
"""Options of `loss` -> the losses that have them; label smoothing is refused where it has no effect."""


def _idle(config: ConfigDict, because: str, *names: str, where: bool = True) -> dict[str, str]:
    """The settings `names` with the reason, the value of the setting `because`, why nothing reads them."""
    return dict.fromkeys(names, f"{because}={value_of(config, because)}") if where else {}


def _idle_of_data(config: ConfigDict) -> dict[str, str]:
    """Settings of the data and the images that nothing reads, with the reason."""
    data, augment, source = config.data, config.augment, "data.source"
    return {
        **_idle(config, source, "data.path", where=data.source in ("synthetic", "demo")),
        **_idle(config, source, "data.num_examples", "data.synthetic_seed", where=data.source != "synthetic"),
        **_idle(config, source, "data.decoding", where=data.source in ("synthetic", "npz")),
        **_idle(config, source, "data.unseen", where=data.source != "csv"),
        **_idle(config, "data.hue", "data.hue_low", "data.hue_high", where=data.hue == "none"),
        **_idle(config, "data.folds", "data.test_fraction", where=data.folds > 0),
        **_idle(config, "data.cache", "data.cache_dir", where=not data.cache),
        **_idle(config, "augment.mix", "augment.mix_alpha", where=augment.mix == "none"),
        **_idle(config, "augment.scale_max", "augment.scale_even",
                where=augment.scale_min == augment.scale_max),
        **({"data.driver": "with init.views threads read the features"} if config.init.views else {}),
        **_idle(config, "init.views", "init.views_dtype", where=not config.init.views),
    }  # fmt: skip


def _idle_of_layers(config: ConfigDict) -> dict[str, str]:
    """Settings of the layers and their branches that nothing reads, with the reason."""
    model, branches, layer = config.model, branch_names(config), "model.branching"
    asae, drawn = model.branching == "asae", ("asae.p_top1", "asae.rescale", "asae.place")
    of_mask = (*drawn, "asae.window", "asae.num_candidates", "asae.ratio", "asae.area")
    enhanced = "enhance" in branches or config.eval.test_mode in ("enhance", "mean")
    norms = ("model.branch_statistics", "model.running_statistics")
    of_branches = ("loss.branches", "loss.agreement", *norms)
    drops = ("dropout", "spatial_dropout", "maxdrop", "dropblock")
    looks = ["asae.attention"] * (config.eval.test_mode == "second_look")  # decides what is cut out
    of_layer = [field.name for field in FIELDS if field.section == "asae" and field.name not in looks]
    return {
        **_idle(config, "init.freeze", *norms, where=config.init.freeze in LAST_PLACES),
        **_idle(config, "model.insert_after", *norms, where=model.insert_after in LAST_PLACES),
        **_idle(config, "model.norm", *norms, where=model.norm != "batch"),
        **_idle(config, "model.name", *norms, where=model.name in WITHOUT_BATCH_NORM),
        **_idle(config, "asae.num_candidates", drawn[0], where=config.asae.num_candidates == 1),
        **_idle(config, "asae.p_top1", "asae.num_candidates", where=config.asae.p_top1 == 1),
        **_idle(config, "asae.branches", *of_branches, where=len(branches) == 1),
        **_idle(config, "asae.branches", *of_mask, where="suppress" not in branches),
        **_idle(config, "asae.branches", "asae.enhancement", where=not enhanced),
        **_idle(config, "asae.branches", "asae.ramp_epochs", where=set(branches) == {"plain"}),
        **_idle(config, layer, *of_layer, *of_branches, "model.branch_affine",
                where=not asae),
        **_idle(config, layer, "eval.test_mode",
                where=not asae and config.eval.test_mode in ("enhance", "mean")),
        **_idle(config, layer, "drop", where=model.branching not in drops),
        **_idle(config, layer, "drop.block_size", where=model.branching != "dropblock"),
        **_idle(config, layer, "adl", where=model.branching != "adl" and not model.name.startswith("adl_")),
        **_idle(config, layer, "diversification", where=model.branching != "diversification"),
    }  # fmt: skip


def _idle_of_training(config: ConfigDict) -> dict[str, str]:
    """Settings of loss, optimiser and test that nothing reads, with the reason."""
    optimizer, test, name = config.optimizer, config.eval, config.loss.name
    options = [f"loss.{option}" for option, losses in _LOSS_OPTIONS.items() if name not in losses]
    step = ("optimizer.decay_factor", "optimizer.decay_epochs")
    return {
        **_idle(config, "loss.name", *options),
        **_idle(config, "optimizer.schedule", *step, where=optimizer.schedule != "step"),
        **_idle(config, "optimizer.weight_decay", "optimizer.decay_all", where=not optimizer.weight_decay),
        **_idle(config, "eval.test_mode", "eval.look_threshold", where=test.test_mode != "second_look"),
        **_idle(config, "eval.batch_statistics", "eval.reestimate_batches",
                where=test.batch_statistics == "running"),
    }  # fmt: skip
