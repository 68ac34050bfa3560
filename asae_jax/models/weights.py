"""Weights of PyTorch models in, and ours out under PyTorch's names.

    variables = model.init(key, images, train=False)
    weights = from_torch(read_tensors(Path("resnet50.safetensors")), variables, "resnet50")
    variables = weights.put_into(variables)

Files are safetensors, or state dicts written by `torch.save`, read by `torch_files` as data: no code in them
is run, and a file that holds more than tensors is refused.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors

from asae_jax.errors import UserError, quoted
from asae_jax.files import check_bounded
from asae_jax.models import torch_files, torch_vit
from asae_jax.models import torch_names as names
from asae_jax.models import torch_spellings as spellings

# By the number of axes: convolutions HWIO <-> OIHW, linear layers [in, out] <-> [out, in].
_TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0)}
_FROM_TORCH = {4: (2, 3, 1, 0), 2: (1, 0)}

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

_MOST_BYTES = 20_000_000_000  # five billion weights; all of them are read into memory
_TORCH_STARTS = (b"PK\x03\x04", b"\x80\x02")  # a zip archive, and a pickle of PyTorch before 1.6
CONVERSION = (
    "python -c \"import sys, torch, safetensors.torch as s; w = torch.load(sys.argv[1], 'cpu', "
    "weights_only=False); f = lambda w: w.state_dict() if hasattr(w, 'state_dict') else w; w = f(w); "
    f"[w := d for k in {torch_files.WITHIN} if isinstance(d := f(w.get(k)), dict)]; "
    "s.save_file({str(k): v.contiguous().clone() for k, v in w.items() if torch.is_tensor(v)}, "
    'sys.argv[2])"'
)
"""Shell command by which PyTorch, where it is installed, makes a safetensors file of another checkpoint.

The names of the two files follow it. It runs the file's own code: what PyTorch reads without (`weights_only`)
is hardly more than is read here."""


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file, or of a state dict that `torch.save` wrote.

    Returns:
      Arrays by name, in the file's layout and number type.

    Raises:
      UserError: no such file, not a weight file, a damaged one, or one that holds more than tensors.
    """
    try:
        check_bounded(path, most=_MOST_BYTES)
        with path.open("rb") as file:
            start = file.read(9)
            if start.startswith(_TORCH_STARTS) and start[8:] != b"{":
                return torch_files.read_state_dict(file)
        _refuse_other_formats(path, start)
        return {name: _array(name, tensor) for name, tensor in safetensors.deserialize(path.read_bytes())}
    except OSError as error:
        raise UserError(f"cannot read the weights {path} ({error.strerror}).") from error
    except torch_files.NotTensors as error:
        files = " ".join(map(quoted, (path, path.with_suffix(".safetensors"))))
        raise UserError(
            f"{path} is not read: {error}; of a whole network save its state_dict() where it was made, or "
            f"convert the file once, which runs its code, so only if you trust it: {CONVERSION} {files}"
        ) from error
    except (safetensors.SafetensorError, torch_files.UnreadableFile) as error:
        raise UserError(_unreadable(path, str(error))) from error


def _refuse_other_formats(path: Path, start: bytes) -> None:
    """Raises a UserError where the first nine bytes of a file are not those of safetensors."""
    if start == b"version h":
        raise UserError(_unreadable(path, "only a Git LFS pointer to them"))
    if start[8:] != b"{":  # after a safetensors file's eight bytes of length
        raise UserError(_unreadable(path, "neither safetensors nor a state dict of torch.save"))


def _unreadable(path: Path, reason: str) -> str:
    return f"{path} holds no weights that can be read ({reason}); give a .safetensors or .pth file."


def _array(name: str, tensor: Mapping[str, Any]) -> np.ndarray:
    dtype = _SAFETENSORS_DTYPES.get(tensor["dtype"])
    if dtype is None:
        raise safetensors.SafetensorError(f"{name} has the unknown number type {tensor['dtype']}")
    try:
        return np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    except ValueError as error:  # more axes, or longer ones, than arrays can have
        raise safetensors.SafetensorError(f"{name}: {error}") from None


class Weights(NamedTuple):
    """Arrays that fit a network, and what became of the rest."""

    arrays: dict[names.Path, np.ndarray]
    """float32, by their path in the variables."""
    missing: tuple[str, ...]
    """Arrays of the network that the weights do not contain: at most those of the head."""
    unused: tuple[str, ...]
    """Tensors that the network does not use, by their names in the file."""

    def put_into(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """`variables` with these arrays in place of its own; the missing ones stay as they are."""
        return jax.tree_util.tree_map_with_path(
            lambda path, value: self.arrays.get(_keys(path), value), dict(variables)
        )


def to_torch(params: Mapping[str, Any], batch_stats: Mapping[str, Any], model: str) -> dict[str, np.ndarray]:
    """Weights under PyTorch's names, in torch's layouts; `load_state_dict(..., strict=True)` takes them.

    They are torchvision's names of ResNet and VGG, and timm's of EfficientNet (`torch_spellings.TIMM`).

    Args:
      params: of the network (`variables["params"]`), with or without a branching layer: it has none.
      batch_stats: of the network; empty where it has none.
      model: a ResNet, VGG or EfficientNet of `asae_jax.models.MODELS`.

    Returns:
      Arrays by name, from the first layer to the last: kernels `[out, in, height, width]`, linear layers
      `[out, in]`. Each batch normalisation has torch's counter too (int64, 0; unused at a fixed momentum).

    Raises:
      UserError: neither has such a model.
    """
    arrays = _flatten({"params": params, "batch_stats": batch_stats})
    if model in spellings.TIMM:
        name_of = spellings.timm_namer({path: array.shape for path, array in arrays.items()})
    else:
        check_has_torch_names(model)
        name_of = functools.partial(names.torch_name, model)
    tensors = {}
    for path, array in arrays.items():
        name = name_of(path)
        tensors[name] = _transposed(np.asarray(array), _TO_TORCH)
        if path[-1] == "var":
            tensors[f"{name.rpartition('.')[0]}.{names.COUNTER}"] = np.zeros((), np.int64)
    return tensors


def check_has_torch_names(model: str) -> None:
    """Raises a UserError where `to_torch` knows no names for the arrays of `model`."""
    names.check_has_names(model, also=spellings.TIMM)


def from_torch(
    tensors: Mapping[str, np.ndarray], like: Mapping[str, Any], model: str, *, origin: str = "the weights"
) -> Weights:
    """Tensors of a PyTorch network as the network's arrays.

    ResNets must have the stride on the 3 x 3 convolution (v1.5), as torchvision, timm and most others have;
    from the weights alone it cannot be told.

    Args:
      tensors: arrays in torch's layouts, by the names of torchvision, timm, Hugging Face transformers or
        another library of `torch_spellings`.
      like: `params` and `batch_stats` of the network, arrays or `jax.ShapeDtypeStruct`s.
      model: a ResNet or VGG of `asae_jax.models.MODELS`, or a model of `torch_spellings.SPELLINGS`.
      origin: name of the tensors in messages, such as the file's path.

    Returns:
      The arrays that fit. The head is missing where the number of classes differs.

    Raises:
      UserError: another architecture; it names the first tensor that differs.
    """
    named = _named(model, tensors, like)
    if any(torch_vit.REGISTERS.search(name) for name in named.tensors):
        raise UserError(
            f"{origin} is a vision transformer with registers, which {model} has not and without which it "
            "computes something else: give the weights without (of DINOv2 those without `reg` in their name)."
        )
    weights = _fit(named.tensors, like, name_of=named.of, origin=origin, model=model, torch_layout=True)
    _refuse_unknown_layers(weights.unused, named.is_part_of_backbone, origin, model)
    unused = [named.found.get(name, name) for name in weights.unused if not name.endswith(names.COUNTER)]
    return weights._replace(unused=tuple(sorted(unused)))


class _Named(NamedTuple):
    """A file's tensors under the names of one library."""

    tensors: dict[str, np.ndarray]
    of: Callable[[names.Path], str]
    """The name that an array of the network has there."""
    is_part_of_backbone: Callable[[str], bool]
    found: dict[str, str]
    """Name -> the name in the file, with a wrapper's prefix."""


def _named(model: str, tensors: Mapping[str, np.ndarray], like: Mapping[str, Any]) -> _Named:
    if model not in spellings.SPELLINGS:
        names.check_has_names(model, also=spellings.SPELLINGS)
        found = names.torchvision_spelling(model, tensors)
        torchvision = {name: tensors[original] for name, original in found.items()}
        name_of = functools.partial(names.torch_name, model)
        return _Named(torchvision, name_of, names.is_part_of_backbone, found)
    spelling, found = spellings.recognised(model, tensors)
    shapes = {path: array.shape for path, array in _flatten(like).items()}
    prepared = spelling.prepare({name: tensors[original] for name, original in found.items()}, shapes)
    name_of = functools.partial(spelling.name, places=spellings.places_of(shapes))
    return _Named(prepared, name_of, spellings.is_part_of_backbone, found)


def from_variables(
    variables: Mapping[str, Any],
    like: Mapping[str, Any],
    model: str,
    *,
    origin: str = "the weights",
    keep_head: bool = True,
) -> Weights:
    """The variables of another run's network, of any architecture, as this network's arrays.

    Args:
      variables: `params` and `batch_stats` of the other network.
      like: those of this one, arrays or `jax.ShapeDtypeStruct`s.
      model: name of this network, for messages.
      origin: name of the other network in messages.
      keep_head: take its head where the shapes agree; False where the classes differ.

    Raises:
      UserError: another architecture; it names the first array that differs.
    """
    found = {path: np.asarray(array) for path, array in _flatten(variables).items()}
    kept = {".".join(path): a for path, a in found.items() if keep_head or not names.is_head(path)}
    weights = _fit(kept, like, name_of=".".join, origin=origin, model=model)
    unused = [path for path in found if path not in weights.arrays]
    if left := [path for path in unused if not names.is_head(path)]:
        raise UserError(_misfit(origin, model, f"{'.'.join(left[0])} has no place in this network"))
    return weights._replace(unused=tuple(map(".".join, unused)))


def _fit(
    found: Mapping[str, np.ndarray],
    like: Mapping[str, Any],
    *,
    name_of: Callable[[names.Path], str],
    origin: str,
    model: str,
    torch_layout: bool = False,
) -> Weights:
    """An array of `found` for each one in `like`, in the network's order."""
    arrays, missing = {}, []
    for path, wanted in _flatten(like).items():
        name, shape = name_of(path), _torch_shape(wanted.shape) if torch_layout else wanted.shape
        if name in found and found[name].shape == shape:
            array = _sound(found[name], name, path, origin)
            arrays[path] = _transposed(array, _FROM_TORCH) if torch_layout else array
        elif names.is_head(path):
            missing.append(name)
        else:
            there = _text(found[name].shape) if name in found else "missing"
            raise UserError(_misfit(origin, model, f"{name} is {there} there and {_text(shape)} here"))
    used = {name_of(path) for path in arrays}
    return Weights(arrays, tuple(missing), tuple(name for name in found if name not in used))


def _sound(tensor: np.ndarray, name: str, path: names.Path, origin: str) -> np.ndarray:
    """The tensor as float32.

    A running statistic that is not a number would stay one, and show at the first test only: a step of
    training uses those of its own batch.
    """
    with np.errstate(over="ignore"):
        array = tensor.astype(np.float32)
    if not np.isfinite(array).all():
        fault = "numbers that are not finite"
    elif path[0] == "batch_stats" and path[-1] == "var" and (array < 0).any():
        fault = "variances below 0"
    else:
        return array
    raise UserError(
        f"{origin}: {name} holds {fault}: the file is damaged or its training had diverged, give another."
    )


def _refuse_unknown_layers(
    unused: tuple[str, ...], is_part_of_backbone: Callable[[str], bool], origin: str, model: str
) -> None:
    """Refuses the weights of a deeper network: it has all tensors of this one, and more."""
    for name in sorted(unused):
        if is_part_of_backbone(name):
            raise UserError(_misfit(origin, model, f"{name} has no place in this network"))


def _misfit(origin: str, model: str, reason: str) -> str:
    return (
        f"{origin} does not fit {model}: {reason}; set config.model (name, stem, width, norm) to the network "
        "these weights were trained with, or give others."
    )


def _flatten(variables: Mapping[str, Any]) -> dict[names.Path, Any]:
    """Leaves of nested dicts by their path, from the first layer to the last."""
    leaves = {_keys(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(dict(variables))}
    return dict(sorted(leaves.items(), key=lambda item: names.place_in_network(item[0])))


def _keys(path: tuple[Any, ...]) -> names.Path:
    return tuple(entry.key for entry in path)


def _transposed(array: np.ndarray, axes: Mapping[int, tuple[int, ...]]) -> np.ndarray:
    return np.ascontiguousarray(array.transpose(axes[array.ndim])) if array.ndim in axes else array


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in _TO_TORCH.get(len(shape), range(len(shape))))


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"
