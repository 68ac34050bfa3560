"""Commands that the command line takes, whatever the run is called; what was trained, in words."""

import shlex
from pathlib import Path

import pytest

from asae_jax import cli
from asae_jax.config import FIELDS, copy_with
from asae_jax.errors import quoted
from asae_jax.evaluation.page.words import commands, other_testing, training
from asae_jax.run import build
from asae_jax.run.run import check_one_look
from asae_jax.run.words import LAYERS, LOSSES, SAMPLERS
from tests.made_runs import random_model
from tests.training.tiny import shallow, tiny_config


@pytest.mark.parametrize(
    "name",
    [
        "mine",
        "runs/mine",
        "my run",
        'a "quote"',
        "it's",
        "a$b",
        "a`b",
        "!x",
        "~/y",
        "é",
        "C:\\runs\\x y",
        "a;b&c",
    ],
)
def test_a_folder_of_any_name_is_one_word_of_the_shell(name):
    if "\\" in name:  # of Windows, whose shells take double quotes
        assert quoted(name) in (name, f'"{name}"', shlex.quote(name))
        return
    assert shlex.split(f"asae --workdir={quoted(name)}") == ["asae", f"--workdir={name}"]


@pytest.mark.parametrize(
    ("name", "nesterov", "said"),
    [
        ("adamw", True, "NAdam (adamw with Nesterov momentum)"),
        ("adamw", False, "adamw"),
        ("sgd", True, "sgd"),
    ],
)
def test_the_optimiser_is_called_what_it_is(name, nesterov, said):
    config = tiny_config(optimizer__name=name, optimizer__nesterov=nesterov)
    told = dict(training(config, [], None))["training"]
    assert told.endswith(
        f"; {said} with a learning rate of {config.optimizer.learning_rate:g} at its highest"
    )


@pytest.fixture
def model(tmp_path):
    with shallow():
        random_model(tmp_path / "my run", tiny_config(), ("A", "B"))
    return tmp_path / "my run"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"eval.test_mode": "second_look"},
        {"eval.tta": True},
        {"eval.test_mode": "second_look", "eval.tta": True},
        {"eval.batch_statistics": "reestimate"},
    ],
)
@pytest.mark.parametrize("is_model", [False, True])
def test_every_command_is_understood(model, changes, is_model):
    config = copy_with(tiny_config(), changes)
    found = commands(model, config, is_model=is_model)
    assert len(found) == 3 + (not is_model)
    for command in found:
        call = cli.parse(shlex.split(command.line)[1:])
        assert call.workdir == model
        assert call.config.eval.batch_statistics == "running"
        if call.name in ("explain", "export") and changes:
            check_one_look(call.config, call.name)
            assert call.config.eval.test_mode == "skip"
    explained = next(command.line for command in found if "explain" in command.line)
    assert ("--input=NEW_CELLS" in explained) == is_model


def test_every_choice_has_words():
    choices = {field.name: set(field.choices) for field in FIELDS if field.choices}
    assert choices["data.sampler"] == set(SAMPLERS)
    assert choices["loss.name"] == set(LOSSES)
    assert choices["model.branching"] == set(LAYERS)


def test_what_was_trained():
    told = dict(training(tiny_config(data__hue="paper"), [{"epoch": 1}], 2.0))
    assert told["network"] == "resnet18, with the ASAE layer in training"
    assert told["started from"] == "random weights"
    assert "brought to 36 x 36 pixels, of which the network sees 32 x 32" in told["images"]
    assert "the paper's hue adjustment" in told["images"]
    assert told["training"].startswith(
        "2 epochs in batches of 56 images, each with equally many images of every class"
    )
    assert told["checkpoint used"] == "the one of the best validation macro-F1, after epoch 2 of 2"
    given = tiny_config(init__pretrained="cells", eval__checkpoint="last", data__hue="none")
    told = dict(training(given, [{"epoch": 1}], 2.0))
    assert told["started from"] == "the included model cells"
    other = dict(training(tiny_config(init__pretrained="runs/other"), [], None))
    assert other["started from"] == "the weights of runs/other"
    assert told["images"].endswith("colours: as they are")
    assert told["checkpoint used"] == "the last, after epoch 2 of 2"


def test_a_folder_is_named_as_the_user_wrote_it():
    assert commands(Path("runs/mine"), tiny_config(), is_model=False)[0].line == (
        "asae predict --workdir=runs/mine --input=NEW_CELLS"
    )


@pytest.mark.parametrize("tta", [False, True])
def test_every_way_of_testing_is_told_from_every_other(tta):
    """Of a run with the layer; what scores do not say is taken for the same."""
    recorded, fields = copy_with(tiny_config(), {"eval.tta": tta}), {field.name: field for field in FIELDS}
    told = {}
    for mode in fields["eval.test_mode"].choices:
        for views in (False, True):
            config = copy_with(recorded, {"eval.test_mode": mode, "eval.tta": views})
            told[mode, views] = ", ".join(other_testing({"test_mode": build.tested_as(config)}, recorded))
    assert len(set(told.values())) == len(told)
    assert [way for way, text in told.items() if not text] == [("skip", tta)]
    assert other_testing({}, recorded) == []
    other = {"checkpoint": "last", "batch_statistics": "reestimate"}
    assert other_testing(other, recorded) == [
        "the last checkpoint", "batch statistics estimated again over training batches",
    ]  # fmt: skip
    assert other_testing({"batch_statistics": "reestimate over 3 batches"}, recorded) == [
        "batch statistics estimated again over 3 batches"
    ]
