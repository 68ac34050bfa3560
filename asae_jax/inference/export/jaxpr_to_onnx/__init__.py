"""A JAX function as an ONNX model: the operations that the networks here are made of.

Stands in for a package, and can be deleted when one serves: when jax2onnx can be installed beside our
orbax-checkpoint (0.17 holds it below 0.11.37), or when JAX has an exporter to ONNX of its own. Then
`formats.write_onnx` calls that, and this folder goes, with the tests of single functions.

Needed are `onnx` to write a model, and `onnxruntime` to run it.
"""

from asae_jax.inference.export.jaxpr_to_onnx.convert import to_onnx

__all__ = ["to_onnx"]
