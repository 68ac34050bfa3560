"""Configuration files: complete, read, and checked."""

import ast
import importlib
from pathlib import Path

import pytest

from asae_jax.errors import UserError
from asae_jax.training import build
from configs import default

ROOT = Path(__file__).resolve().parent.parent
FIELDS = [
    f"{section}.{field}"
    for section, values in default.get_config().to_dict().items()
    if isinstance(values, dict)
    for field in values
]
NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))


@pytest.fixture(scope="module")
def attributes():
    """Every `.name` that the package reads; a field that none of them mentions cannot have an effect."""
    return {
        node.attr
        for path in (ROOT / "asae_jax").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_read(field, attributes):
    assert field.split(".")[1] in attributes


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_explained_once(field):
    source = (ROOT / "configs" / "default.py").read_text(encoding="utf-8")
    section, name = field.split(".")
    section = {"eval": "evaluation"}.get(section, section)
    lines = [line for line in source.splitlines() if line.strip().startswith(f"{section}.{name} =")]
    assert len(lines) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_file_passes_its_own_check(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    build.check(config)
    assert config.keys() == default.get_config().keys()


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("loss.name", "gmce", "ce, gce, gmmce, focal"),
        ("loss.beta", 1.0, "below 1"),
        ("loss.gamma", -1.0, "at least 0"),
        ("loss.tau", -1.0, "at least 0"),
        ("augment.mix", "cutout", "none, mixup, cutmix"),
        ("augment.mix_alpha", -0.5, "at least 0"),
        ("data.sampler", "random", "balanced, shuffled, weighted"),
        ("data.source", "webcam", "synthetic, folder"),
        ("augment.size", 300, "data.stored_size=256"),
        ("asae.window", 4, "odd"),
        ("asae.p_top1", 1.5, "probability"),
        ("asae.branches", "suppress,erase", "plain, suppress, enhance"),
        ("asae.branches", "", "plain, suppress, enhance"),
        ("model.branching", "cutout", "dropblock, adl, diversification, none"),
        ("drop.rate", 1.0, "below 1"),
        ("drop.block_size", 0.0, "cells"),
        ("adl.threshold", 1.5, "share"),
        ("diversification.patch_size", 0, "at least 1"),
        ("train.epochs", 0, "at least 1"),
        ("data.test_fraction", 0.95, "something to train on"),
        ("augment.scale_min", 0.0, "scale_min"),
        ("optimizer.schedule", "linear", "step, cosine"),
    ],
)
def test_a_setting_that_cannot_work_is_named_with_a_remedy(field, value, remedy):
    config = default.get_config()
    section, name = field.split(".")
    config[section][name] = value
    with pytest.raises(UserError) as error:
        build.check(config)
    assert f"config.{field}={value!r}" in str(error.value)
    assert remedy in str(error.value)
