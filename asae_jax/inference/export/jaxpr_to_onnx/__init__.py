"""A JAX function as an ONNX model: the operations that the networks here are made of.

The jax2onnx package does this for many more, but 0.17 holds orbax-checkpoint below 0.11.37, so that it
cannot be installed beside this one. Needed are `onnx` to write a model, and `onnxruntime` to run it.
"""

from asae_jax.inference.export.jaxpr_to_onnx.convert import to_onnx

__all__ = ["to_onnx"]
