"""The field table, and the recipes: complete, checked, and in agreement with the code that reads them."""

import ast
import importlib
import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from asae_jax import augment, config, losses, models, shipped
from asae_jax.augment import transforms
from asae_jax.config import fields
from asae_jax.errors import UserError
from asae_jax.evaluation import conformal, outliers
from asae_jax.experiments.settings import PRESETS
from asae_jax.inference import labels
from asae_jax.inference.embed import projection
from asae_jax.inference.explain import faithfulness
from asae_jax.inference.predict.count import specimen
from asae_jax.input import feed, hue, preparation, split, stain
from asae_jax.models import asae, asae_variants, layers
from asae_jax.models.backbones import resnet
from asae_jax.models.backbones.base import Backbone
from asae_jax.run import build, data
from asae_jax.training import optimizer

RECIPES = sorted(shipped.recipes())
PACKAGE = Path(config.__file__).parents[1]
SECTION_NAMES = {section.name for section in config.SECTIONS if section.name}


def test_names_are_unique_sections_are_known_and_every_field_is_explained():
    assert len(config.BY_NAME) == len(config.FIELDS)
    assert {field.section for field in config.FIELDS} == {section.name for section in config.SECTIONS}
    for field in config.FIELDS:
        assert field.meaning.endswith("."), field.name
        assert field.accepts(field.default), field.name


def test_the_base_configuration_is_the_table():
    assert config.flatten(config.base_config()) == {field.name: field.default for field in config.FIELDS}


def test_where_settings_may_differ_when_a_run_goes_on_one_may_not():
    """As the page of settings says."""
    used = {section.name for section in config.SECTIONS if not section.trains}
    assert [
        name
        for name, field in config.BY_NAME.items()
        if field.section in used and config.decides_weights(name)
    ] == ["eval.select_by"]
    assert not any(config.decides_weights(name) for name in config.NEUTRAL)
    assert config.NEUTRAL.issubset(config.BY_NAME)


OFFERED = {
    "data.specimen": specimen.SPECIMENS,
    "data.hue": preparation.HUE_MODES,
    "data.stain": preparation.STAIN_MODES,
    "data.decoding": preparation.DECODINGS,
    "data.sampler": data.SAMPLERS,
    "data.driver": feed.DRIVERS,
    "augment.scale_even": transforms.EVEN,
    "augment.mix": ["none", *build.MIXES],
    "augment.normalisation": ["auto", *augment.NORMALISATIONS],
    "model.name": models.MODELS,
    "model.stem": resnet.STEMS,
    "model.norm": layers.NORMS,
    "model.branch_statistics": layers.BRANCH_STATISTICS,
    "model.branch_affine": layers.BRANCH_AFFINE,
    "model.branching": [*models.BRANCHINGS, "none"],
    "init.freeze": ["", *Backbone.stage_names],
    "asae.attention": ["auto", *asae.ATTENTIONS],
    "asae.enhancement": asae.ENHANCEMENTS,
    "asae.place": asae_variants.PLACES,
    "loss.name": losses.NAMES,
    "optimizer.name": optimizer.RULES,
    "optimizer.schedule": optimizer.SCHEDULES,
    "eval.split": [*split.SPLITS, "all"],
    "eval.test_mode": build.TEST_BRANCHES,
    "uncertainty.conformal": conformal.METHODS,
    "uncertainty.outliers": outliers.METHODS,
    "predict.specimen": specimen.SPECIMENS,
    "explain.fill": faithfulness.FILLS,
    "embed.folders": labels.FOLDERS,
    "embed.projection": projection.PROJECTIONS,
    "adapt.stain": ["keep", *stain.METHODS],
    "reproduce.preset": PRESETS,
}
"""Setting -> the names that the code dispatches on."""

SWITCHES = {
    "data.groups": "given",
    "data.split_by": "auto",
    "model.running_statistics": "all",
    "loss.branches": "mean_probability",
    "train.distributed": "auto",
    "eval.groups": "",
    "eval.checkpoint": "last",
    "eval.batch_statistics": "running",
    "predict.mixture": "counted",
    "adapt.background": "keep",
    "adapt.statistics": "auto",
    "adapt.balance": "none",
    "adapt.layers": "last",
    "cut.border": "skip",
    "merge.prefer": "newest",
    "merge.new_classes": "refuse",
    "merge.shared_groups": "drop",
}
"""Setting that the code compares with all choices but one -> that one, which holds otherwise."""

TAKEN_AS_THEY_ARE = {
    "model.dtype": "a type of NumPy",
    "init.views_dtype": "a type of NumPy",
    "eval.select_by": "a key of the scores of evaluation/metrics.py",
}
"""Settings whose choices are the values themselves, with what they are."""


def test_every_field_with_choices_is_held_with_the_code_that_reads_it():
    held = [*OFFERED, *SWITCHES, *TAKEN_AS_THEY_ARE]
    assert len(held) == len(set(held))
    assert set(held) == {field.name for field in config.FIELDS if field.choices}


@pytest.mark.parametrize("name", OFFERED)
def test_choices_are_what_the_code_offers(name):
    """A choice of the table that no code knows, or the reverse, would be refused or never found."""
    assert set(config.BY_NAME[name].choices) == set(OFFERED[name])


@pytest.mark.parametrize("name", SWITCHES)
def test_switches_are_compared_with_all_choices_but_one(name):
    compared = set().union(*(_compared(path, name.rpartition(".")[2]) for path in PACKAGE.rglob("*.py")))
    assert SWITCHES[name] in config.BY_NAME[name].choices
    assert compared | {SWITCHES[name]} >= set(config.BY_NAME[name].choices)


def _compared(path, attribute):
    """The texts that a file outside of the settings compares `something.attribute` with."""
    if path.parent.name == "config":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        if any(isinstance(side, ast.Attribute) and side.attr == attribute for side in sides):
            yield from (side.value for side in sides if isinstance(side, ast.Constant))


def test_defaults_of_the_contract_s_functions_are_those_of_the_table():
    shared = {
        asae.find_peaks: {"window": "asae.window"},
        asae.select_peak: {"num_candidates": "asae.num_candidates", "p_top1": "asae.p_top1"},
        asae.suppression_mask: {"ratio": "asae.ratio", "area": "asae.area"},
        asae.ASAE: {
            "window": "asae.window",
            "area": "asae.area",
            "enhancement": "asae.enhancement",
            "place": "asae.place",
            "rescale": "asae.rescale",
        },
        models.create_model: {
            "look_threshold": "eval.look_threshold",
            "branch_affine": "model.branch_affine",
        },
        losses.gmmce: {"k_high": "loss.k_high", "k_low": "loss.k_low"},
        hue.adjust_hue: {"low": "data.hue_low", "high": "data.hue_high"},
    }
    for function, names in shared.items():
        parameters = inspect.signature(function).parameters
        for parameter, name in names.items():
            assert parameters[parameter].default == config.BY_NAME[name].default, (function, parameter)


AUXILIARY = {
    "model.branch_affine": "separate",
    "model.running_statistics": "plain",
    "asae.branches": "plain,suppress,enhance",
}


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("asae.branches", "suppress,enhance", "needs plain"),
        ("asae.branches", "plain", "at least one other"),
        ("asae.branches", "plain,suppress,suppress", "each branch once"),
        ("model.norm", "group", "needs batch"),
        ("model.branch_statistics", "joint", "needs separate"),
        ("model.running_statistics", "all", "plain"),
        ("model.insert_after", "layer4", "behind the layer"),
        ("model.insert_after", "class_maps", "behind the layer"),
        ("eval.test_mode", "mean", "use skip"),
        ("eval.test_mode", "enhance", "use skip"),
    ],
)
def test_auxiliary_norms_are_refused_where_they_make_no_sense(field, value, remedy):
    settings = config.copy_with(config.base_config(), AUXILIARY)
    config.check(settings)
    config.set_field(settings, field, value)
    with pytest.raises(UserError, match=remedy):
        config.check(settings)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"asae.ramp_epochs": 61.0}, "train.epochs=60"),
        ({"asae.place": "random", "eval.test_mode": "mean"}, "nothing is drawn at test"),
        ({"eval.test_mode": "second_look", "uncertainty.outliers": "energy"}, "no energy"),
        ({"asae.branches": "plain,suppress", "eval.test_mode": "enhance"}, "nothing to keep; use skip"),
        ({"eval.batch_statistics": "reestimate", "model.norm": "group"}, "model.norm=group"),
        ({"eval.batch_statistics": "reestimate", "model.norm": "frozen_batch"}, "use running"),
        (
            {"eval.batch_statistics": "reestimate", "init.freeze": "layer4", "init.pretrained": "x"},
            "keeps all statistics",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, remedy):
    with pytest.raises(UserError, match=remedy):
        config.check(config.copy_with(config.base_config(), changes))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_passes_its_own_check(name):
    recipe = config.recipe(name)
    config.check_new(recipe)
    assert config.flatten(recipe).keys() == config.BY_NAME.keys()
    assert importlib.import_module(f"configs.{name}").get_config() == recipe


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("loss.name", "gmce", "ce, gce, gmmce, focal"),
        ("loss.beta", 1.0, "below 1"),
        ("loss.gamma", -1.0, "at least 0"),
        ("loss.k_low", 0, "at least 1"),
        ("augment.mix", "cutout", "none, mixup, cutmix"),
        ("data.sampler", "random", "balanced, shuffled, weighted"),
        ("data.source", "webcam", "synthetic, demo, folder"),
        ("augment.size", 300, "data.stored_size=256"),
        ("asae.window", 4, "odd"),
        ("asae.p_top1", 1.5, "at least 0, at most 1 (probability)"),
        ("asae.branches", "suppress,erase", "plain, suppress, enhance"),
        ("asae.branches", "", "plain, suppress, enhance"),
        ("model.branching", "cutout", "dropblock, adl, diversification, none"),
        ("model.name", "resnet8", "resnet18, resnet34"),
        ("drop.rate", 1.0, "below 1"),
        ("drop.block_size", 0.0, "above 0"),
        ("train.epochs", -1, "at least 0"),
        ("data.test_fraction", 0.95, "something to train on"),
        ("data.stain", "macenko", "set one of them to none"),
        ("data.background", "white", "red, green and blue"),
        ("data.background", "1,2", "red, green and blue"),
        ("data.scale", 0.1, "at least 0.25"),
        ("augment.scale_min", 0.0, "above 0"),
        ("optimizer.schedule", "linear", "step, cosine"),
        ("uncertainty.target_error", 1.0, "below 1"),
    ],
)
def test_a_setting_that_cannot_work_is_named_with_a_remedy(field, value, remedy):
    settings = config.base_config()
    config.set_field(settings, field, value)
    with pytest.raises(UserError) as error:
        config.check(settings)
    assert f"config.{field}={value!r} cannot be used: " in str(error.value)
    assert remedy in str(error.value)


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a\\b", "a\0b", " a", "a\n", "x" * 51, "C:x", "*"])
def test_a_name_of_files_holds_no_separator(name):
    settings = config.base_config()
    settings.eval.name = name
    with pytest.raises(UserError, match=r"config\.eval\.name=.* cannot be used: it names files") as error:
        config.check(settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "split", "name", "reserved"),
    [
        ("folder", "test", "test", True),
        ("folder", "test", "Validation", True),
        ("csv", "all", "all", True),
        ("", "validation", "test", True),
        ("", "test", "TEST", True),
        ("", "train", "train", False),
        ("folder", "test", "their test", False),
        ("", "test", "zweites Labor, ü", False),
    ],
)
def test_names_of_parts_are_reserved_for_these_parts(source, split, name, reserved):
    settings = config.base_config()
    settings.eval.update({"source": source, "split": split, "name": name, "path": "lab"})
    if reserved:
        with pytest.raises(UserError, match=rf"config\.eval\.name='{name}' cannot be used: it is reserved"):
            config.check(settings)
    else:
        config.check(settings)


def test_every_limit_of_the_table_is_refused_beyond():
    beyond = {"least": -1e-6, "above": 0.0, "most": 1e-6, "below": 0.0}
    tried = 0
    for field in config.FIELDS:
        for limit, step in beyond.items():
            bound = getattr(field, limit)
            if abs(bound) == float("inf"):
                continue
            value = bound + step if isinstance(field.default, float) else bound + round(step * 1e6)
            assert not field.accepts(value), (field.name, limit)
            tried += 1
    assert tried > 80


def test_a_value_of_another_type_is_refused_and_a_whole_number_is_a_float():
    settings = config.base_config()
    config.set_field(settings, "loss.tau", 2)
    assert settings.loss.tau == 2.0
    for field, value in (("train.epochs", 2.5), ("data.cache", 1), ("model.name", 18), ("loss.tau", True)):
        with pytest.raises(UserError, match=rf"config.{field}={value!r} cannot be used: it must be of type"):
            config.set_field(settings, field, value)


@pytest.mark.parametrize("read", ["of a run", "of another run"])
def test_a_value_of_another_type_in_the_settings_of_a_run_is_told_with_file_and_remedy(tmp_path, read):
    file = tmp_path / "config.json"
    content = config.base_config().to_dict()
    load, place = (config.read_run_config, tmp_path) if read == "of a run" else (config.load_recipe, file)
    content["data"]["stored_size"] = 128.0  # as other programs write whole numbers
    file.write_text(json.dumps(content))
    assert repr(load(place).data.stored_size) == "128"
    remedy = "restore it, or train" if read == "of a run" else "give the config.json of a run"
    for value in ("128", 128.5, True, None, [128]):
        content["data"]["stored_size"] = value
        file.write_text(json.dumps(content))
        with pytest.raises(UserError) as raised:
            load(place)
        said = f"config.data.stored_size={value!r} cannot be used: it must be of type int: {remedy}"
        assert str(raised.value).startswith(f"{file} is damaged, {said}")


def test_a_recipe_that_fails_or_sets_what_does_not_exist_is_one_line(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def get_config():\n    return {'train': {'epoch': 3}}\n")
    with pytest.raises(
        UserError, match=r"config.train.epoch does not exist. Did you mean --config.train.epochs"
    ):
        config.load_recipe(file)
    file.write_text("import nothing_like_this\n")
    with pytest.raises(UserError, match=r"mine.py fails: ModuleNotFoundError"):
        config.load_recipe(file)
    for returned in ("None", "'text'", "{1: 2}", "3"):
        file.write_text(f"def get_config():\n    return {returned}\n")
        with pytest.raises(UserError, match=r"mine.py: get_config\(\) must return the configuration"):
            config.load_recipe(file)
    file.write_text("def get_config():\n    return {'train': {'epochs': 3}}\n")
    assert config.load_recipe(file).train.epochs == 3


def test_augmentation_reads_every_field_of_its_section():
    used = inspect.signature(augment.augment).parameters
    bound = build.create_augment(config.base_config()).keywords
    assert set(bound) <= set(used)


# Which settings the package reads. A section reaches a function as `config.SECTION`, as a name bound to that,
# or as a parameter; the last are listed here, as a signature does not tell them apart.
PARAMETERS = {
    ("input/sources.py", "settings"): "data",
    ("input/run_split.py", "settings"): "data",
    ("training/optimizer.py", "settings"): "optimizer",
    ("evaluation/uncertainty.py", "settings"): "uncertainty",
    ("inference/predict/command.py", "settings"): "predict",
    ("inference/explain/maps.py", "settings"): "asae",
}
WHOLE = ("asae", "drop", "adl", "diversification", "loss")
"""Sections that `run/build.py` hands on as a whole, as options of a layer or a loss."""


def _sections_read(path):
    """(section, field) of every attribute that a file of the package reads from a section of the settings."""
    name = path.relative_to(PACKAGE).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = {variable: section for (file, variable), section in PARAMETERS.items() if file == name}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target, value in _bindings(node):
                if isinstance(value, ast.Attribute) and value.attr in SECTION_NAMES:
                    known[target.id] = value.attr
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        if isinstance(owner, ast.Attribute) and owner.attr in SECTION_NAMES:
            yield owner.attr, node.attr
        elif isinstance(owner, ast.Name) and owner.id in known:
            yield known[owner.id], node.attr


def _bindings(node):
    """(name, value) pairs of an assignment, also of `a, b = x, y`."""
    (target, *_), value = node.targets, node.value
    pairs = zip(target.elts, value.elts, strict=False) if _are_tuples(target, value) else [(target, value)]
    return [(name, bound) for name, bound in pairs if isinstance(name, ast.Name)]


def _are_tuples(*nodes):
    return all(isinstance(node, ast.Tuple) for node in nodes)


def test_every_setting_is_read_somewhere():
    files = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "config"]
    read = {f"{section}.{field}" for path in files for section, field in _sections_read(path)} | {"seed"}
    unread = [f for f in config.BY_NAME if f not in read and f.partition(".")[0] not in WHOLE]
    assert not unread


def test_sections_handed_on_as_a_whole_are_taken_as_a_whole():
    """A field that the layer or the loss does not know, or one of them too few, is an error here."""
    settings = config.base_config()
    for name in config.BY_NAME["model.branching"].choices:
        settings.model.branching = name
        build.create_network(settings, 9)
    for name in losses.NAMES:
        settings.loss.name, settings.data.sampler = name, "shuffled"
        build.create_loss(settings, 9, class_counts=np.ones(9))
    settings.asae.unlock()
    settings.asae.colour, settings.model.branching = 1, "asae"
    with pytest.raises(TypeError, match="colour"):
        build.create_network(settings, 9)


def test_networks_without_batch_normalisation_are_those_of_the_models():
    assert set(fields.WITHOUT_BATCH_NORM) == set(models.WITHOUT_NORM)


@pytest.mark.parametrize("name", sorted(shipped.recipes()))
def test_shipped_recipes_give_nothing_that_is_not_used(name):
    assert config.unused(config.recipe(name)) == []


def test_settings_without_effect_are_named_with_the_reason():
    changes = {
        "drop.rate": 0.4,
        "asae.ratio": 0.55,
        "data.hue_low": 99,
        "data.hue": "none",
        "model.branching": "none",
        "data.unseen": True,
        "augment.mix_alpha": 0.7,
    }
    assert config.unused(config.copy_with(config.base_config(), changes)) == [
        "data.unseen (data.source=synthetic)",
        "data.hue_low (data.hue=none)",
        "augment.mix_alpha (augment.mix=none)",
        "asae.ratio (model.branching=none)",
        "drop.rate (model.branching=none)",
    ]
    looks = {"asae.attention": "mean", "asae.ratio": 0.55, "eval.test_mode": "second_look"}
    looks["model.branching"] = "none"
    assert config.unused(config.copy_with(config.base_config(), looks)) == [
        "asae.ratio (model.branching=none)"
    ]
    in_use = {"drop.rate": 0.4, "model.branching": "dropout", "data.hue_low": 99}
    assert config.unused(config.copy_with(config.base_config(), in_use)) == []
    assert (
        config.unused(config.copy_with(config.base_config(), {"adl.rate": 0.4, "model.name": "adl_resnet18"}))
        == []
    )


ALONE = "asae.branches=enhance"


@pytest.mark.parametrize(
    ("recipe", "given", "why"),
    [
        ("own_cells", {"loss.agreement": 0.5}, "model.branching=none"),
        ("own_cells", {"loss.branches": "mean_loss"}, "model.branching=none"),
        ("own_cells", {"model.branch_statistics": "joint"}, "model.branching=none"),
        ("own_cells", {"model.running_statistics": "plain"}, "model.branching=none"),
        ("own_cells", {"eval.test_mode": "mean"}, "model.branching=none"),
        ("own_cells", {"eval.test_mode": "second_look"}, ""),
        ("own_cells", {"loss.gamma": 3.0}, "loss.name=ce"),
        ("own_cells", {"loss.gamma": 3.0, "loss.name": "focal"}, ""),
        ("own_cells", {"loss.k_high": 2}, "loss.name=ce"),
        ("own_cells", {"loss.k_low": 2, "loss.name": "gce"}, "loss.name=gce"),
        ("own_cells", {"loss.k_high": 2, "loss.name": "gce"}, ""),
        ("own_cells", {"loss.beta": 0.9}, "loss.name=ce"),
        ("own_cells", {"loss.tau": 0.5}, "loss.name=ce"),
        ("own_cells", {"optimizer.decay_factor": 0.5}, "optimizer.schedule=cosine"),
        ("own_cells", {"optimizer.decay_epochs": 3.0}, "optimizer.schedule=cosine"),
        ("own_cells", {"optimizer.decay_factor": 0.5, "optimizer.schedule": "step"}, ""),
        (
            "default",
            {"optimizer.decay_all": False, "optimizer.weight_decay": 0.0},
            "optimizer.weight_decay=0.0",
        ),
        ("own_cells", {"eval.reestimate_batches": 9}, "eval.batch_statistics=running"),
        ("own_cells", {"data.path": "cells"}, "data.source=synthetic"),
        ("own_cells", {"data.num_examples": 99, "data.source": "folder"}, "data.source=folder"),
        ("own_cells", {"data.test_fraction": 0.3, "data.folds": 5}, "data.folds=5"),
        ("own_cells", {"data.cache_dir": "x", "data.cache": False}, "data.cache=False"),
        ("default", {"augment.scale_even": "logarithm", "augment.scale_min": 1.0}, "augment.scale_max=1.0"),
        ("default", {"drop.block_size": 3.0, "model.branching": "dropout"}, "model.branching=dropout"),
        ("default", {"model.branch_statistics": "joint", "model.norm": "group"}, "model.norm=group"),
        ("default", {"model.branch_statistics": "joint", "model.name": "vgg16"}, "model.name=vgg16"),
        ("default", {"model.running_statistics": "plain", "model.name": "vit_small"}, "model.name=vit_small"),
        (
            "default",
            {"model.running_statistics": "plain", "model.insert_after": "layer4"},
            "model.insert_after=layer4",
        ),
        ("default", {"model.branch_statistics": "joint", "init.freeze": "layer4"}, "init.freeze=layer4"),
        ("default", {"model.branch_statistics": "joint", "init.freeze": "layer3"}, ""),
        ("default", {"loss.agreement": 2.0, "asae.branches": "enhance"}, ALONE),
        ("default", {"asae.window": 3, "asae.branches": "enhance"}, ALONE),
        ("default", {"asae.area": 3.0, "asae.branches": "enhance"}, ALONE),
        ("default", {"asae.num_candidates": 3, "asae.p_top1": 1.0}, "asae.p_top1=1.0"),
        (
            "default",
            {"asae.enhancement": "residual", "asae.branches": "plain,suppress"},
            "asae.branches=plain,suppress",
        ),
        (
            "default",
            {"asae.enhancement": "residual", "asae.branches": "plain,suppress", "eval.test_mode": "enhance"},
            "",
        ),
        ("default", {"asae.rescale": True, "asae.branches": "enhance"}, ALONE),
        ("default", {"asae.place": "random", "asae.branches": "enhance"}, ALONE),
        ("default", {"asae.p_top1": 0.1, "asae.branches": "enhance"}, ALONE),
        ("default", {"asae.p_top1": 0.1, "asae.num_candidates": 1}, "asae.num_candidates=1"),
        ("default", {"asae.ramp_epochs": 1.0, "asae.branches": "plain"}, "asae.branches=plain"),
        ("default", {"asae.place": "random", "asae.ramp_epochs": 1.0, "loss.agreement": 2.0}, ""),
    ],
)
def test_what_is_given_is_named_where_nothing_reads_it(recipe, given, why):
    first = next(iter(given))
    found = config.unused(config.copy_with(config.recipe(recipe), given))
    assert found == ([f"{first} ({why})"] if why else [])


def test_a_recipe_s_layer_that_is_left_out_is_not_given():
    settings = config.copy_with(config.recipe("own_cells_asae"), {"model.branching": "none"})
    assert config.unused(settings) == []


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"optimizer.warmup_epochs": 3.5, "train.epochs": 3}, "train.epochs=3"),
        (
            {"asae.branches": "plain,suppress", "model.running_statistics": "plain",
             "model.branch_statistics": "joint"},
            "use all, or branch_statistics=separate",
        ),
    ],
)  # fmt: skip
def test_what_would_not_do_what_it_says_is_refused_of_new_runs_alone(changes, remedy):
    settings = config.copy_with(config.base_config(), changes)
    config.check(settings)
    with pytest.raises(UserError, match=remedy):
        config.check_new(settings)
    config.check_new(
        config.copy_with(config.base_config(), {"optimizer.warmup_epochs": 3.5, "train.epochs": 0})
    )
