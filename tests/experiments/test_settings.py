"""From a row to a command line, and back through the parser that users meet."""

import shlex
import sys
from pathlib import Path

import pytest

from asae_jax import cli
from asae_jax import config as settings_of
from asae_jax.errors import UserError
from asae_jax.experiments.rows import PLAIN, ROWS, Row
from asae_jax.experiments.settings import (
    PRESETS,
    command_of,
    overruled,
    public_options,
    row_config,
    training_settings,
    with_preset,
)
from tests.experiments.fakes import base_config


def test_the_command_of_a_run_means_its_configuration():
    base = base_config(data__path="some cells/a=b,c", data__source="folder", optimizer__learning_rate=1e-05)
    for name, row in ROWS.items():
        wanted = row_config(base, row, seed=3)
        python, option, module, *arguments = command_of(wanted, Path("runs/x"))
        assert (python, option, module) == (sys.executable, "-m", "asae_jax")
        command, config, workdir, _ = cli.parse(arguments)
        assert (command, workdir) == ("train", Path("runs/x"))
        assert config.to_dict() == wanted.to_dict(), name


def test_a_row_undoes_what_the_given_configuration_says_of_the_things_compared():
    given = settings_of.recipe("own_cells_scratch")
    given.loss.name, given.data.stain, given.eval.test_mode = "gce", "macenko", "mean"
    settings = settings_of.flatten(row_config(given, ROWS["plain"], seed=0))
    assert {field: settings[field] for field in PLAIN} == dict(PLAIN)
    assert settings["optimizer.ema_decay"] == given.optimizer.ema_decay


def test_the_full_method_is_the_papers_configuration():
    given = settings_of.recipe("resnet50_asae")
    assert row_config(given, ROWS["asae-gmmce"], seed=0).to_dict() == given.to_dict()


def test_what_does_not_count_for_a_row_with_a_file_is_named_what_costs_most_first():
    given = settings_of.recipe("own_cells_scratch")
    assert overruled(given, ROWS["recommended"]) == {}
    given.model.width, given.train.epochs, given.data.path, given.seed = 16, 2, "cells", 3
    given.optimizer.clip_norm = 0.5
    named = overruled(given, ROWS["recommended"])
    assert list(named) == ["model.width", "train.epochs", "optimizer.clip_norm"]
    assert named["train.epochs"] == (2, settings_of.recipe("own_cells_scratch").train.epochs)
    given.eval.test_mode = "mean"
    assert overruled(given, ROWS["recommended"])["eval.test_mode"] == ("mean", "skip")
    assert row_config(given, ROWS["recommended"], seed=0).train.epochs == named["train.epochs"][1]


def test_what_the_tables_vary_is_named_where_it_is_given():
    given = settings_of.recipe("comparison")
    for row in ("plain", "hue", "asae-gmmce"):
        assert overruled(given, ROWS[row]) == {}  # the paper's method is the default: nobody gave it
    given.data.hue, given.loss.name, given.optimizer.clip_norm = "robust", "gce", 0.5
    assert overruled(given, ROWS["plain"]) == {"data.hue": ("robust", "none"), "loss.name": ("gce", "ce")}
    assert overruled(given, ROWS["hue"]) == {"data.hue": ("robust", "paper"), "loss.name": ("gce", "ce")}
    assert overruled(given, ROWS["asae-gce"]) == {"data.hue": ("robust", "paper")}


def test_main_stands_for_the_given_backbone():
    assert row_config(base_config(), ROWS["senet"], seed=0).model.name == "se_resnet18"
    assert row_config(settings_of.base_config(), ROWS["senet"], seed=0).model.name == "se_resnet50"


def test_a_row_with_a_file_takes_the_data_alone_from_the_given_configuration():
    given = base_config(data__source="folder", data__path="cells", data__test_fraction=0.3)
    config = row_config(given, ROWS["recommended"], seed=5)
    wanted = settings_of.recipe("own_cells_scratch")
    assert (config.data.path, config.data.test_fraction, config.seed) == ("cells", 0.3, 5)
    assert config.train.batch_size == given.train.batch_size
    assert config.optimizer.to_dict() == wanted.optimizer.to_dict()
    assert config.data.hue == wanted.data.hue
    given.data.classes, given.data.specimen, given.uncertainty.target_error = "mine.csv", "blood", 0.02
    config = row_config(given, ROWS["recommended"], seed=5)
    assert (config.data.classes, config.data.specimen) == ("mine.csv", "blood")
    assert config.uncertainty.to_dict() == given.uncertainty.to_dict()
    with_layer = row_config(given, ROWS["recommended-asae"], seed=5)
    assert "--config.model.branching=asae" in public_options(with_layer, beside=config)
    assert with_layer.train.epochs == config.train.epochs


def test_a_setting_that_does_not_exist_is_named():
    with pytest.raises(UserError, match=r"config.loss.hinge does not exist"):
        row_config(base_config(), Row("x", {"loss.hinge": 1}), seed=0)


def test_a_preset_fills_in_what_is_left_at_its_default():
    given = settings_of.base_config()
    given.reproduce.preset = "small"
    given.train.epochs = 3
    given.data.source = "folder"
    wanted = settings_of.recipe("comparison")
    wanted.reproduce.preset, wanted.train.epochs, wanted.data.source = "small", 3, "folder"
    assert with_preset(given).to_dict() == wanted.to_dict()


def test_the_paper_preset_is_the_papers_configuration():
    given = settings_of.base_config()
    given.reproduce.preset = "paper"
    settings = settings_of.flatten(with_preset(given)) | {"reproduce.preset": ""}
    assert settings == settings_of.flatten(settings_of.recipe("resnet50_asae"))


def test_every_preset_is_a_recipe():
    assert set(PRESETS) == set(settings_of.BY_NAME["reproduce.preset"].choices)
    for name in filter(None, PRESETS.values()):
        settings_of.recipe(name)


def test_what_identifies_a_run_is_what_changes_its_scores():
    base = base_config()
    neutral = {"data.path": "elsewhere", "train.log_every": 3, "predict.input": "x", "reproduce.seeds": 9}
    assert training_settings(base) == training_settings(settings_of.copy_with(base, neutral))
    for field, value in {"eval.test_mode": "mean", "loss.k_high": 4, "data.split_seed": 1}.items():
        assert training_settings(base) != training_settings(settings_of.copy_with(base, {field: value}))


def test_options_for_readers_name_no_path():
    base = base_config(data__path="/home/me/cells", data__cache_dir="/scratch")
    text = " ".join(public_options(base))
    assert "/home" not in text
    assert "/scratch" not in text
    assert "--config.augment.size=64" in text


def test_options_for_readers_can_be_typed():
    spoken = base_config(init__freeze="layer0,layer1", data__class_map="/home/ann/our map (2).csv")
    found = public_options(spoken)
    assert shlex.split(" ".join(found)) == [option.strip('"') for option in found]
    assert '"--config.data.class_map=our map (2).csv"' in found


def test_of_files_that_settings_name_readers_get_the_names():
    base = base_config(
        data__class_map="/home/ann/clinic/map.csv",
        data__classes="C:\\Users\\ann\\classes.csv",
        init__pretrained="/home/ann/clinic/old_run/",
        eval__path="/home/ann/theirs",
        eval__class_map="stages/bm_cytomorphology",
        predict__input="/home/ann/new",
    )
    found = public_options(base)
    assert not [option for option in found if "ann" in option]
    for option in (
        "data.class_map=map.csv",
        "data.classes=classes.csv",
        "init.pretrained=old_run",
        "eval.path=theirs",
        "eval.class_map=stages/bm_cytomorphology",  # an included one
    ):
        assert f"--config.{option}" in found
