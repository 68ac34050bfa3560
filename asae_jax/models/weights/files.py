"""The tensors of a weight file by name, whichever of PyTorch's formats it has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors

from asae_jax.errors import UserError
from asae_jax.models.weights.pickled import DamagedFile, read_pickled

_SAFETENSORS_DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors of the network saved in `path`.

    The format is told by the content, not by the ending: safetensors, or what `torch.save` writes (`.pth`,
    `.pt`, `.bin`, `.ckpt`), of which no code is run. Where a file holds more than a network (optimiser,
    moving average), the largest group of named tensors is taken, of equal ones the first.

    Returns:
      Arrays by name, in the file's layout and number type.

    Raises:
      UserError: no such file, not a weight file, or a damaged one.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
            if start == b"version h":
                raise DamagedFile("only a Git LFS pointer to them")
            if start[8:] != b"{":  # after a safetensors file's eight bytes of length
                return _largest_group(read_pickled(file))
        return _read_safetensors(path)
    except OSError as error:
        raise UserError(f"cannot read the weights {path} ({error.strerror}).") from error
    except (DamagedFile, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path} holds no weights that can be read ({error}); give a .safetensors file, or the .pth or "
            ".bin that torch.save(model.state_dict(), ...) writes."
        ) from error


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    tensors = {}
    for name, tensor in safetensors.deserialize(path.read_bytes()):
        if tensor["dtype"] not in _SAFETENSORS_DTYPES:
            raise DamagedFile(f"{name} has the unknown number type {tensor['dtype']}")
        numbers = np.frombuffer(tensor["data"], _SAFETENSORS_DTYPES[tensor["dtype"]])
        tensors[name] = numbers.reshape(tensor["shape"])
    return tensors


def _largest_group(content: Any) -> dict[str, np.ndarray]:
    group = max(_groups(content), key=len, default={})
    if not group:
        raise DamagedFile("no dict of named tensors; perhaps a whole model was saved")
    return group


def _groups(content: Any) -> Iterator[dict[str, np.ndarray]]:
    """The named tensors of every dict within `content`, outermost first."""
    if isinstance(content, dict):
        yield {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, np.ndarray)}
        for value in content.values():
            yield from _groups(value)
