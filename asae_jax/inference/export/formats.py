"""The formats of an export: how each is written, and read back to be compared with the network.

Those of TensorFlow are in `tensorflow_formats`. The others need JAX alone, but for ONNX, whose packages are
loaded when it is written.
"""

import importlib.util
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax import export
from ml_collections import ConfigDict
from safetensors.numpy import save

from asae_jax.errors import UserError, quoted
from asae_jax.files import write_bytes
from asae_jax.inference.export import packing, tensorflow_formats
from asae_jax.inference.export.jaxpr_to_onnx import to_onnx
from asae_jax.inference.export.program import PLATFORMS, Program
from asae_jax.inference.export.verify import ROUNDING, TOLERANCE
from asae_jax.models.backbones.vgg import UNPOOLED
from asae_jax.models.torch_names import VGGS, vgg_pool
from asae_jax.models.torch_spellings import TIMM
from asae_jax.models.weights import check_has_torch_names, from_torch, read_tensors, to_torch
from asae_jax.pages import NOTICE
from asae_jax.run import build
from asae_jax.run.model_folder import holds_model

ALL = "all"
"""Instead of names: every format that can be written here."""

_TORCH_FILE = "model.safetensors"


def write_orbax(program: Program, path: Path) -> None:
    """Writes `params` and `batch_stats` to the folder `path`: no optimiser, no step."""
    variables = jax.tree.map(np.asarray, dict(program.run.variables))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), variables)


def run_orbax(program: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by the weights read again."""
    like = jax.tree.map(np.asarray, dict(program.run.variables))
    with ocp.StandardCheckpointer() as checkpointer:
        return program.scores(images, checkpointer.restore(path.absolute(), like))


def write_stablehlo(program: Program, path: Path) -> None:
    """Writes the program with its weights, for any batch size and all of `PLATFORMS`.

    It runs wherever JAX runs, without this package. JAX promises to read it for six months after it was
    written; the Orbax checkpoint is for longer.
    """
    (batch,) = export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *program.image_shape), np.uint8)
    exported = export.export(jax.jit(program.__call__), platforms=PLATFORMS)(images)
    write_bytes(path, bytes(exported.serialize()))


def run_stablehlo(_: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by the file alone, as another program would load it."""
    exported = export.deserialize(bytearray(path.read_bytes()))
    return {name: np.asarray(array) for name, array in exported.call(images).items()}


def write_onnx(program: Program, path: Path) -> None:
    """Writes the program with its weights; class names and temperature are in the model's metadata."""
    metadata = {
        "class_names": program.run.class_names,
        "temperature": program.temperature,
        "notice": NOTICE,
    }
    write_bytes(path, to_onnx(program, image_shape=program.image_shape, metadata=metadata))


def run_onnx(_: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


def write_torch(program: Program, path: Path) -> None:
    """Writes the weights under torchvision's or timm's names, as safetensors, for `strict=True` in PyTorch.

    What the other formats hold besides the weights is in the file's metadata, as JSON. The temperature is
    that of the network without the layer. Where the network is tested with the layer, and without it was not
    measured, it is left out, with a warning.

    Raises:
      UserError: see `_check_torch`.
    """
    variables, config = program.run.variables, program.run.config
    _check_torch(config)
    tensors = to_torch(variables["params"], variables.get("batch_stats", {}), config.model.name)
    mean, std = build.normalisation(config)
    facts = {
        "architecture": architecture(config.model, program.run.num_classes),
        "class_names": program.run.class_names,
        **_temperature_of_weights(program),
        "image_size": config.augment.size,
        "mean": mean,
        "std": std,
        "notice": NOTICE,
    }
    metadata = {"format": "pt", **{name: json.dumps(fact) for name, fact in facts.items()}}
    write_bytes(path, save(tensors, metadata))  # `save_file` lets no other user read the file


def _check_torch(config: ConfigDict) -> None:
    """Raises a UserError where neither torchvision nor timm has such a model."""
    check_has_torch_names(config.model.name)
    if config.model.norm == "group":
        raise UserError(f"{config.model.name} of PyTorch has batch normalisation, this one has groups.")


def _temperature_of_weights(program: Program) -> dict[str, float]:
    plain = program.plain
    if plain is program or plain.uncertainty is not None:
        return {"temperature": plain.temperature}
    workdir = program.run.workdir
    remedy = f"`evaluate --workdir={quoted(workdir)} --config.eval.test_mode=skip` measures it"
    if holds_model(workdir):
        remedy = "evaluate the run that this model was made from in that way, and export that run"
    warnings.warn(
        f"{_TORCH_FILE} holds the network without the layer, for which no temperature was measured: its "
        f"entry `temperature` is left out; {remedy}.",
        stacklevel=2,
    )
    return {}


def run_torch(program: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by the tensors read back under their PyTorch names, without the layer.

    PyTorch itself is not needed; that a PyTorch model with them agrees is held by the tests.
    """
    variables = program.run.variables
    weights = from_torch(read_tensors(path), variables, program.run.config.model.name, origin=str(path))
    return program.plain.scores(images, weights.put_into(variables))


def architecture(model: ConfigDict, num_classes: int) -> str:
    """Python lines that build the model by torchvision or timm, or why these have none.

    Args:
      model: the section `model` of a configuration.
      num_classes: number of logits.
    """
    name = model.name.removeprefix("adl_")
    if name in TIMM:
        if (model.width, model.stem) != (64, "imagenet"):
            return f"{name} of {model.width} channels with the stem {model.stem}; timm has no such model"
        return f"import timm\nmodel = timm.create_model({TIMM[name]!r}, num_classes={num_classes})"
    lines = ["import torch, torchvision", f"model = torchvision.models.{name}(num_classes={num_classes})"]
    if model.width != 64:
        return f"{name} of {model.width} instead of 64 channels; torchvision has no such model"
    if name in VGGS:
        pools = (vgg_pool(name, int(stage.removeprefix("layer"))) for stage in UNPOOLED[model.stem])
        lines += [f"model.features[{place}] = torch.nn.Identity()" for place in pools]
        lines += [
            "model.avgpool = torch.nn.AdaptiveAvgPool2d(1)",
            f"model.classifier = torch.nn.Linear(512, {num_classes})",
        ]
        return "\n".join(lines)
    if model.stem == "small":
        lines.append("model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)")
    if model.stem != "imagenet":
        lines.append("model.maxpool = torch.nn.Identity()")
    return "\n".join(lines)


class Format(NamedTuple):
    """One format."""

    file: str
    """Name of the file or folder."""
    write: Callable[[Program, Path], None]
    run: Callable[[Program, Path, np.ndarray], dict[str, np.ndarray]]
    """Scores of prepared images by what was written."""
    read_by: str
    """The runtime that `run` uses, in words."""
    packages: tuple[str, ...] = ()
    """Packages needed beyond this package's own requirements."""
    one_image: bool = False
    """Takes one image at a time, and refuses more; the others take any number."""
    weights_only: bool = False
    """Without the branching layer, whatever `eval.test_mode` says."""
    tolerance: float = TOLERANCE
    """See `verify.compare`."""
    check: Callable[[ConfigDict], None] = lambda config: None
    """Raises a UserError where a network with these settings cannot be written."""


FORMATS = {
    "orbax": Format("orbax", write_orbax, run_orbax, "Flax"),
    "stablehlo": Format("model.stablehlo", write_stablehlo, run_stablehlo, "jax.export"),
    "onnx": Format("model.onnx", write_onnx, run_onnx, "ONNX Runtime", packages=("onnx", "onnxruntime")),
    "savedmodel": Format(
        "saved_model",
        tensorflow_formats.write_saved_model,
        tensorflow_formats.run_saved_model,
        "TensorFlow",
        packages=("tensorflow",),
    ),
    "tflite": Format(
        "model.tflite",
        tensorflow_formats.write_tflite,
        tensorflow_formats.run_tflite,
        "the TFLite interpreter",
        packages=("tensorflow",),
        one_image=True,
    ),
    "torch": Format(_TORCH_FILE, write_torch, run_torch, "Flax", weights_only=True, check=_check_torch),
    "model": Format(packing.FILE, packing.write_model, packing.run_model, "Flax", tolerance=ROUNDING),
}


def wanted_formats(text: str) -> tuple[str, ...]:
    """The names in `text`, separated by commas, each once; all of them for `ALL`.

    Raises:
      UserError: a name that is not in `FORMATS`, or none.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if names == (ALL,):
        return tuple(FORMATS)
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise UserError(
            f"config.export.formats={text!r} cannot be used: name any of {', '.join(FORMATS)}, separated by "
            f"commas, or {ALL}."
        )
    return names


def check_writable(name: str, config: ConfigDict) -> None:
    """Raises a UserError when the format `name` cannot be written here, or not of such a network."""
    missing = [package for package in FORMATS[name].packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"the export {name} needs {' and '.join(missing)}: pip install {' '.join(missing)}, or leave it "
            "out of --formats."
        )
    FORMATS[name].check(config)
