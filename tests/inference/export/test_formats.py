"""The safetensors file in PyTorch, built by the lines that the file itself gives."""

import dataclasses
import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from ml_collections import ConfigDict
from safetensors import safe_open
from safetensors.torch import load_file
from scipy.special import softmax

from asae_jax.errors import UserError
from asae_jax.evaluation.calibration import Temperature
from asae_jax.evaluation.uncertainty_files import conditions, read_uncertainty, write_uncertainty
from asae_jax.inference.export.formats import FORMATS, architecture, run_torch, wanted_formats, write_torch
from tests.inference.export import made
from tests.reference import torch_models
from tests.training.tiny import STAGES


class VGG(torch_models.VGG16):
    """With the head of torchvision's, whose layers the description replaces."""

    def __init__(self, num_classes, *, batch_norm):
        super().__init__(num_classes, batch_norm=batch_norm)
        del self.fc
        self.avgpool, self.classifier = torch.nn.AdaptiveAvgPool2d(7), torch.nn.Sequential()

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


@pytest.fixture
def torchvision(monkeypatch):
    """A stand-in: the reference model has torchvision's parameters by torchvision's names."""
    module = ModuleType("torchvision")
    module.models = SimpleNamespace(
        resnet18=lambda num_classes: torch_models.ResNet(torch_models.BasicBlock, STAGES, num_classes),
        vgg16=lambda num_classes: VGG(num_classes, batch_norm=False),
        vgg16_bn=lambda num_classes: VGG(num_classes, batch_norm=True),
    )
    monkeypatch.setitem(sys.modules, "torchvision", module)


@pytest.mark.filterwarnings("ignore:model.safetensors holds the network without the layer")
@pytest.mark.parametrize(
    "changes",
    [
        {"model__stem": "small", "eval__test_mode": "enhance"},
        {"model__stem": "imagenet"},
        {"model__name": "vgg16", "model__stem": "no_pool"},
        {"model__name": "vgg16", "model__stem": "small"},
        {"model__name": "vgg16_bn", "model__stem": "small"},
    ],
)
def test_pytorch_loads_it_strictly_and_computes_the_same(tmp_path, torchvision, changes):
    program = made.program(model__width=64, **changes)
    path = tmp_path / "model.safetensors"
    write_torch(program, path)
    with safe_open(path, "np") as file:
        facts = {
            name: json.loads(text)
            for name, text in file.metadata().items()
            if name not in ("format", "notice")
        }
    names = {}
    exec(facts["architecture"], names)
    model = names["model"].eval()
    model.load_state_dict(load_file(path), strict=True)
    images = made.images(3)
    margin = (images.shape[1] - facts["image_size"]) // 2
    crop = images[:, margin : margin + facts["image_size"], margin : margin + facts["image_size"]]
    x = (crop / 255 - np.array(facts["mean"])) / np.array(facts["std"])
    with torch.no_grad():
        got = model(torch.from_numpy(x.astype(np.float32).transpose(0, 3, 1, 2))).numpy()
    expected = program.plain.scores(images)["logits"]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(run_torch(program, path, images)["logits"], expected)


def _with_estimates(run, workdir, mode, temperature, name="uncertainty"):
    """A program tested in this way, beside estimates of the same."""
    program = made.program(workdir=workdir, eval__test_mode=mode)
    estimates = dataclasses.replace(
        read_uncertainty(run),
        class_names=made.CLASS_NAMES,
        conditions=conditions(program.run),
        temperature=Temperature(temperature, temperature, temperature),
    )
    write_uncertainty(estimates, workdir, {}, name=name)
    return dataclasses.replace(program, uncertainty=estimates)


def _metadata(program, path):
    write_torch(program, path)
    with safe_open(path, "np") as file:
        return file.metadata()


@pytest.mark.parametrize("mode", ["enhance", "mean"])
def test_the_temperature_is_of_the_logits_that_the_file_gives(run, tmp_path, mode):
    program, path = _with_estimates(run, tmp_path, mode, 1.5), tmp_path / "model.safetensors"
    with pytest.warns(UserWarning, match=r"no temperature was measured: .* --config.eval.test_mode=skip"):
        assert "temperature" not in _metadata(program, path)
    plain = _with_estimates(run, tmp_path, "skip", 2.5, "uncertainty-skip")
    program = dataclasses.replace(program)  # forgets what it has read
    assert json.loads(_metadata(program, path)["temperature"]) == 2.5
    scores = run_torch(program, path, made.images(2))
    np.testing.assert_allclose(scores["probabilities"], softmax(scores["logits"] / 2.5, 1), rtol=1e-5)
    assert json.loads(_metadata(plain, path)["temperature"]) == 2.5
    assert program.temperature == 1.5


def test_the_temperature_without_a_layer_is_the_programs_own(tmp_path):
    program = made.program(model__branching="none")
    assert json.loads(_metadata(program, tmp_path / "model.safetensors")["temperature"]) == 1.0


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ({"name": "resnet50", "width": 64, "stem": "imagenet"}, "torchvision.models.resnet50(num_classes=3)"),
        ({"name": "adl_resnet18", "width": 64, "stem": "no_pool"}, "model.maxpool = torch.nn.Identity()"),
        ({"name": "resnet18", "width": 32, "stem": "small"}, "torchvision has no such model"),
        ({"name": "vgg16_bn", "width": 64, "stem": "imagenet"}, "model.classifier = torch.nn.Linear(512, 3)"),
        ({"name": "vgg16", "width": 32, "stem": "imagenet"}, "torchvision has no such model"),
        (
            {"name": "efficientnet_lite0", "width": 64, "stem": "imagenet"},
            "model = timm.create_model('tf_efficientnet_lite0', num_classes=3)",
        ),
        ({"name": "efficientnet_b0", "width": 64, "stem": "small"}, "timm has no such model"),
    ],
)
def test_the_description_names_the_model_and_its_changes(model, line):
    assert line in architecture(ConfigDict(model), 3)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("onnx, orbax", ("onnx", "orbax")),
        ("orbax,onnx,orbax,", ("orbax", "onnx")),
        ("all", tuple(FORMATS)),
    ],
)
def test_every_format_that_is_named_is_written_once(text, names):
    assert wanted_formats(text) == names


def test_group_norm_is_refused(tmp_path):
    with pytest.raises(UserError, match="batch normalisation"):
        write_torch(made.program(model__norm="group"), tmp_path / "model.safetensors")
