"""Weights of PyTorch models in, and ours out under PyTorch's names.

variables = model.init(key, images, train=False)
weights = from_torch(read_tensors(Path("resnet50.safetensors")), variables, "resnet50")
variables = weights.put_into(variables)
"""

from asae_jax.models.weights.convert import Weights, from_torch, from_variables, to_torch
from asae_jax.models.weights.files import read_tensors

__all__ = ["Weights", "from_torch", "from_variables", "read_tensors", "to_torch"]
