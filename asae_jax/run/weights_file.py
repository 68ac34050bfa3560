"""Weights of a trained model as one safetensors file, which a run folder may have instead of checkpoints.

Half precision: the file is half as large, and predictions stay the same to three digits. Names are the dotted
paths of the variables, such as `params.backbone.head.kernel`; the metadata say which checkpoint it was.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
from flax import traverse_util
from safetensors.numpy import save

import asae_jax
from asae_jax.errors import UserError
from asae_jax.files import write_bytes
from asae_jax.json_files import parse_json
from asae_jax.run.model_folder import WEIGHTS_FILE, checked_digest

_FACTS = "model"
_HALF = np.finfo(np.float16)


def write(folder: Path, variables: Mapping[str, Any], *, step: int, checkpoint: str) -> None:
    """Writes `weights.safetensors` to `folder`.

    Args:
      folder: of the model.
      variables: `params` and `batch_stats`.
      step: of the checkpoint they come from.
      checkpoint: which one it was: "best" or "last".
    """
    facts = {"step": step, "checkpoint": checkpoint, "asae_jax": asae_jax.__version__}
    tensors = {name: _stored(np.asarray(array)) for name, array in _flat(variables).items()}
    # One entry: safetensors writes several in any order, and the same weights would be another model.
    # `save_file` would let no other user read the file.
    write_bytes(folder / WEIGHTS_FILE, save(tensors, {_FACTS: json.dumps(facts)}))


def read(folder: Path, like: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], int]:
    """Variables, float32, and the step they come from.

    Args:
      folder: of the model.
      like: trees of arrays or `jax.ShapeDtypeStruct` that they must fit; None: whatever is there.

    Raises:
      UserError: a damaged file, or one of another network; it names the first array that differs.
    """
    checked_digest(folder)
    path = folder / WEIGHTS_FILE
    with _opened(path) as file:
        arrays = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}  # noqa: SIM118
        step = int(_facts(file)["step"])
        if like is not None:
            check_fits(path, arrays, like)
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has values that are not finite")
        variables = {"params": {}, "batch_stats": {}} | traverse_util.unflatten_dict(arrays, sep=".")
    return variables, step


def checkpoint_of(folder: Path) -> str:
    """Which checkpoint of its run the weights in `folder` are: "best" or "last"."""
    with _opened(folder / WEIGHTS_FILE) as file:
        return str(_facts(file)["checkpoint"])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, open; whatever else than weights of ours it holds is a UserError."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except UserError:
        raise
    except Exception as error:  # somebody else may have made it: of wrong types, names, shapes, NaN
        reason = str(error) or type(error).__name__
        raise UserError(
            f"{path} is no weight file of a model ({reason}): get the model folder again."
        ) from error


def _facts(file: Any) -> dict[str, Any]:
    return parse_json((file.metadata() or {})[_FACTS])


def _stored(array: np.ndarray) -> np.ndarray:
    """As float16; as float32 where all of the array would be lost by that, too large or too small for it."""
    largest = float(np.abs(array).max(initial=0))
    keeps = largest == 0 or float(_HALF.smallest_normal) <= largest <= float(_HALF.max)
    return array.astype(np.float16 if keeps else np.float32)


def _flat(variables: Mapping[str, Any]) -> dict[str, Any]:
    return traverse_util.flatten_dict({name: dict(tree) for name, tree in variables.items()}, sep=".")


def check_fits(what: object, found: Any, wanted: Any) -> None:
    """Raises a UserError that names the first array that has another shape, or is in one tree alone.

    Args:
      what: where the arrays were found, for the message.
      found: tree of arrays or of what else has a shape.
      wanted: tree of those that the settings ask for.
    """
    there, here = _shapes(found), _shapes(wanted)
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            raise UserError(
                f"{what} does not fit these settings: {name} is {there.get(name, 'missing')} there and "
                f"{here.get(name, 'missing')} here; use the settings it was trained with or another "
                "--workdir=DIR."
            )


def _shapes(tree: Any) -> dict[str, list[int]]:
    """Dotted path -> shape of each leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): list(leaf.shape) for path, leaf in leaves}
