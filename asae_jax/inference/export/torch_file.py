"""The weights under torchvision's names, as a safetensors file that PyTorch loads with `strict=True`."""

import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from safetensors.numpy import save

from asae_jax.augment.plain import MEAN, STD
from asae_jax.errors import UserError
from asae_jax.inference.export.program import Program
from asae_jax.models.weights import from_torch, read_tensors, to_torch
from asae_jax.training.figures import NOTICE


def write(program: Program, path: Path) -> None:
    """Writes the tensors; what surrounds them in the other forms is in the file's metadata, as JSON.

    Raises:
      UserError: torchvision has no such model.
    """
    variables, config = program.trained.variables, program.trained.config
    tensors = to_torch(variables["params"], variables.get("batch_stats", {}), config.model.name)
    if config.model.norm == "group":
        raise UserError(f"torchvision's {config.model.name} has batch normalisation, this one has groups.")
    facts = {
        "architecture": architecture(config.model, len(program.trained.class_names)),
        "class_names": program.trained.class_names,
        "temperature": program.temperature,
        "image_size": config.augment.size,
        "mean": MEAN,
        "std": STD,
        "notice": NOTICE,
    }
    metadata = {"format": "pt", **{name: json.dumps(fact) for name, fact in facts.items()}}
    path.write_bytes(save(tensors, metadata))  # `save_file` lets no other user read the file


def run(program: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by the tensors read back under their PyTorch names, the layer left out.

    PyTorch itself is not needed; that a PyTorch model with them agrees is held by the tests.
    """
    variables = program.trained.variables
    weights = from_torch(read_tensors(path), variables, program.trained.config.model.name, origin=str(path))
    return program.plain.scores(images, weights.put_into(variables))


def architecture(model: ConfigDict, num_classes: int) -> str:
    """Python lines that build the model in torchvision, or why it has none.

    Args:
      model: the section `model` of a configuration.
      num_classes: logits.
    """
    name = model.name.removeprefix("adl_")
    lines = ["import torch, torchvision", f"model = torchvision.models.{name}(num_classes={num_classes})"]
    if name.startswith("vgg"):
        lines += [
            "model.avgpool = torch.nn.AdaptiveAvgPool2d(1)",
            f"model.classifier = torch.nn.Linear(512, {num_classes})",
        ]
        return "\n".join(lines)
    if model.width != 64:
        return f"{name} of {model.width} instead of 64 channels; torchvision has no such model"
    if model.stem == "small":
        lines.append("model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)")
    if model.stem != "imagenet":
        lines.append("model.maxpool = torch.nn.Identity()")
    return "\n".join(lines)
