"""SavedModel and TFLite, where TensorFlow is installed; it is loaded only when one of them is written."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from asae_jax.inference.export.program import PLATFORMS, Program
from asae_jax.input.tf_data import load_tensorflow

_SIGNATURE = "serving_default"


def write_saved_model(program: Program, path: Path) -> None:
    """Writes a folder for TensorFlow and TensorFlow Serving; signature `serving_default`, any batch size."""
    tf = load_tensorflow()
    with _quiet():
        function = _function(tf, program, batch=None)
        # Not an attribute of the module: the weights, constants of the function, would be written twice.
        tf.saved_model.save(tf.Module(), str(path), signatures={_SIGNATURE: function})


def run_saved_model(_: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by TensorFlow."""
    tf = load_tensorflow()
    with _quiet():
        model = tf.saved_model.load(str(path))
        return {name: array.numpy() for name, array in model.signatures[_SIGNATURE](images=images).items()}


def write_tflite(program: Program, path: Path) -> None:
    """Writes a file for one image at a time: the converter has no indexing of batches of unknown size.

    Given more, the interpreter stops with an error. A fixed input `[1, ...]` would not do that: interpreters
    resize it to what they are given, and answer for the first image alone.
    """
    tf = load_tensorflow()
    with _quiet():
        one = _function(tf, program, batch=1)
        size, _, channels = program.image_shape
        function = tf.function(
            lambda images: one(tf.reshape(images, (1, size, size, channels))),
            autograph=False,
            input_signature=[tf.TensorSpec((None, size, size, channels), tf.uint8, name="images")],
        ).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
        path.write_bytes(converter.convert())


def run_tflite(_: Program, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by the TFLite interpreter, image by image."""
    tf = load_tensorflow()
    with _quiet():
        interpreter = tf.lite.Interpreter(model_path=str(path))
        runner = interpreter.get_signature_runner(_SIGNATURE)
        rows = [runner(images=image[None]) for image in images]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _function(tf: ModuleType, program: Program, *, batch: int | None) -> Any:
    """The program as a TensorFlow function of one signature, with the weights as constants.

    `batch` is the batch size; None: any.
    """
    from jax.experimental import jax2tf

    size, _, channels = program.image_shape
    converted = jax2tf.convert(
        program.__call__,
        polymorphic_shapes=[f"batch, {size}, {size}, {channels}"] if batch is None else None,
        with_gradient=False,
        native_serialization_platforms=PLATFORMS if batch is None else None,
    )
    signature = [tf.TensorSpec((batch, size, size, channels), tf.uint8, name="images")]
    with _oldest_stablehlo():
        return tf.function(converted, autograph=False, input_signature=signature).get_concrete_function()


@contextlib.contextmanager
def _oldest_stablehlo() -> Iterator[None]:
    """Has JAX write the oldest version of StableHLO that it can, not that of four weeks before its release.

    TensorFlow comes out less often: 2.21 does not read what JAX 0.11 writes else. JAX has no option for this.
    """
    from jaxlib.mlir.dialects import stablehlo

    name = "get_version_from_compatibility_requirement"
    usual = getattr(stablehlo, name)
    oldest = usual(stablehlo.StablehloCompatibilityRequirement.MAX)
    setattr(stablehlo, name, lambda _: oldest)
    try:
        yield
    finally:
        setattr(stablehlo, name, usual)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences TensorFlow's warnings of future changes (`tf.lite` moves to the package ai_edge_litert)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
