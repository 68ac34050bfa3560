"""ONNX, for ONNX Runtime and what else reads it."""

from pathlib import Path

import numpy as np

from asae_jax.inference.export.jaxpr_to_onnx import to_onnx
from asae_jax.inference.export.program import Program
from asae_jax.training.figures import NOTICE


def write(program: Program, path: Path) -> None:
    """Writes the program with its weights; class names and temperature are in the model's metadata."""
    metadata = {
        "class_names": program.trained.class_names,
        "temperature": program.temperature,
        "notice": NOTICE,
    }
    path.write_bytes(to_onnx(program, image_shape=program.image_shape, metadata=metadata))


def run(_: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))
