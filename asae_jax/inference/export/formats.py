"""The forms an export can take: how each is written, and read again to be compared."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asae_jax.errors import UserError
from asae_jax.inference.export import checkpoint, onnx_file, stablehlo, tensorflow_files, torch_file
from asae_jax.inference.export.program import Program

ALL = "all"
"""Instead of names: every form that can be written here."""


class Format(NamedTuple):
    """One form."""

    file: str
    """Name of the file or folder."""
    write: Callable[[Program, Path], None]
    run: Callable[[Program, Path, np.ndarray], dict[str, np.ndarray]]
    """Scores of prepared images by what was written."""
    read_by: str
    """The runtime that `run` uses, for the reader of the report."""
    packages: tuple[str, ...] = ()
    """What must be installed beyond this package's own requirements."""
    weights_only: bool = False
    """Without the branching layer, whatever `eval.test_mode` says."""


FORMATS = {
    "orbax": Format("orbax", checkpoint.write, checkpoint.run, "Flax"),
    "stablehlo": Format("model.stablehlo", stablehlo.write, stablehlo.run, "jax.export"),
    "onnx": Format(
        "model.onnx", onnx_file.write, onnx_file.run, "ONNX Runtime", packages=("onnx", "onnxruntime")
    ),
    "savedmodel": Format(
        "saved_model",
        tensorflow_files.write_saved_model,
        tensorflow_files.run_saved_model,
        "TensorFlow",
        packages=("tensorflow",),
    ),
    "tflite": Format(
        "model.tflite",
        tensorflow_files.write_tflite,
        tensorflow_files.run_tflite,
        "the TFLite interpreter",
        packages=("tensorflow",),
    ),
    "torch": Format("model.safetensors", torch_file.write, torch_file.run, "Flax", weights_only=True),
}


def wanted_formats(text: str) -> tuple[str, ...]:
    """The names in `text`, separated by commas; all of them for `ALL`.

    Raises:
      UserError: a name that is not in `FORMATS`, or none.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if names == (ALL,):
        return tuple(FORMATS)
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise UserError(
            f"config.export.formats={text!r} cannot be used: name any of {', '.join(FORMATS)}, separated by "
            f"commas, or {ALL}."
        )
    return names


def check_installed(name: str) -> None:
    """Raises a UserError when a package is missing that the form `name` needs."""
    missing = [package for package in FORMATS[name].packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"the export {name} needs {' and '.join(missing)}: pip install {' '.join(missing)}, or leave it "
            "out of --formats."
        )
