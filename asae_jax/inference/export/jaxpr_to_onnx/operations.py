"""JAX's primitive operations as ONNX operations.

Each translation takes the graph and a `Call` and returns the name of the result, or names of several.
Elementwise operations of ONNX broadcast as NumPy's do, which is more than JAX's need.
"""

import string
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from asae_jax.errors import UserError
from asae_jax.inference.export.jaxpr_to_onnx.graph import Graph, is_static, product


class Call(NamedTuple):
    """One equation of a jaxpr."""

    inputs: tuple[str, ...]
    """Names in the graph."""
    constants: tuple[np.ndarray | None, ...]
    """Values of the inputs that are constants, None for the others."""
    input_avals: tuple[Any, ...]
    """Shape and dtype of each input; sizes may be symbolic."""
    output_avals: tuple[Any, ...]
    params: dict[str, Any]

    @property
    def shape(self) -> tuple:
        """Of the first result."""
        return self.output_avals[0].shape


Translation = Callable[[Graph, Call], str | list[str]]


def _same(operator: str) -> Translation:
    return lambda graph, call: graph.add(operator, *call.inputs)


def _rsqrt(graph: Graph, call: Call) -> str:
    return graph.add("Reciprocal", graph.add("Sqrt", *call.inputs))


def _square(graph: Graph, call: Call) -> str:
    return graph.add("Mul", call.inputs[0], call.inputs[0])


def _integer_pow(graph: Graph, call: Call) -> str:
    exponent = np.array(call.params["y"], call.input_avals[0].dtype)
    return graph.add("Pow", call.inputs[0], graph.constant(exponent))


def _log1p(graph: Graph, call: Call) -> str:
    one = graph.constant(np.ones((), call.input_avals[0].dtype))
    return graph.add("Log", graph.add("Add", call.inputs[0], one))


def _erfc(graph: Graph, call: Call) -> str:
    one = graph.constant(np.ones((), call.input_avals[0].dtype))
    return graph.add("Sub", one, graph.add("Erf", call.inputs[0]))


def _not_equal(graph: Graph, call: Call) -> str:
    return graph.add("Not", graph.add("Equal", *call.inputs))


def _is_finite(graph: Graph, call: Call) -> str:
    broken = graph.add("Or", graph.add("IsInf", *call.inputs), graph.add("IsNaN", *call.inputs))
    return graph.add("Not", broken)


def _remainder(graph: Graph, call: Call) -> str:
    return graph.add("Mod", *call.inputs, fmod=1)  # with the sign of the dividend, as C and JAX have it


def _clamp(graph: Graph, call: Call) -> str:
    low, value, high = call.inputs
    return graph.add("Min", graph.add("Max", value, low), high)


def _select(graph: Graph, call: Call) -> str:
    which, if_false, if_true = call.inputs
    return graph.add("Where", which, if_true, if_false)


def _convert(graph: Graph, call: Call) -> str:
    return graph.cast(call.inputs[0], call.output_avals[0].dtype)


def _reshape(graph: Graph, call: Call) -> str:
    return graph.reshape(call.inputs[0], call.shape)


def _transpose(graph: Graph, call: Call) -> str:
    return graph.transpose(call.inputs[0], call.params["permutation"])


def _broadcast(graph: Graph, call: Call) -> str:
    """New axes of size one by a reshape; then sizes of one are expanded where the result has more."""
    source, target, axes = call.input_avals[0].shape, call.shape, call.params["broadcast_dimensions"]
    aligned = [source[axes.index(axis)] if axis in axes else 1 for axis in range(len(target))]
    value = graph.reshape(call.inputs[0], tuple(aligned))
    if tuple(aligned) == tuple(target):
        return value
    # ONNX expands in both directions: a one in the target keeps the size that is there.
    grown = tuple(1 if a == t else t for a, t in zip(aligned, target, strict=True))
    return graph.add("Expand", value, graph.shape(grown))


def _iota(graph: Graph, call: Call) -> str:
    axis, shape = call.params["dimension"], call.shape
    scalars = [graph.constant(np.array(value, np.int64)) for value in (0, 1)]
    size = graph.add("Squeeze", graph.size(shape[axis]))
    counted = graph.cast(graph.add("Range", scalars[0], size, scalars[1]), call.output_avals[0].dtype)
    aligned = graph.reshape(counted, tuple(size if i == axis else 1 for i, size in enumerate(shape)))
    return graph.add("Expand", aligned, graph.shape(shape))


def _reduce(operator: str) -> Translation:
    def translate(graph: Graph, call: Call) -> str:
        return graph.add(operator, call.inputs[0], graph.integers(call.params["axes"]), keepdims=0)

    return translate


def _argmax(graph: Graph, call: Call) -> str:
    (axis,) = call.params["axes"]
    return graph.cast(graph.add("ArgMax", *call.inputs, axis=axis, keepdims=0), call.output_avals[0].dtype)


def _top_k(graph: Graph, call: Call) -> list[str]:
    k = graph.integers([call.params["k"]])
    values, places = graph.add_many("TopK", call.inputs[0], k, results=2, axis=call.params.get("axis", -1))
    return [values, graph.cast(places, call.output_avals[1].dtype)]


def _concatenate(graph: Graph, call: Call) -> str:
    return graph.add("Concat", *call.inputs, axis=call.params["dimension"])


def _stack(graph: Graph, call: Call) -> str:
    axis = call.params["axis"]
    apart = [graph.add("Unsqueeze", name, graph.integers([axis])) for name in call.inputs]
    return graph.add("Concat", *apart, axis=axis)


def _split(graph: Graph, call: Call) -> list[str]:
    sizes = call.params["sizes"]
    inputs = call.inputs[0], graph.integers(sizes)
    return graph.add_many("Split", *inputs, results=len(sizes), axis=call.params["axis"])


def _pad(graph: Graph, call: Call) -> str:
    low, high, inside = zip(*call.params["padding_config"], strict=True)
    _require(not any(inside), "padding between elements")
    return graph.add("Pad", call.inputs[0], graph.integers([*low, *high]), call.inputs[1])


def _slice(graph: Graph, call: Call) -> str:
    starts, limits = call.params["start_indices"], call.params["limit_indices"]
    steps = call.params["strides"] or (1,) * len(starts)
    sizes = call.input_avals[0].shape
    axes = [i for i, size in enumerate(sizes) if (starts[i], limits[i], steps[i]) != (0, size, 1)]
    if not axes:
        return call.inputs[0]
    vectors = ([values[i] for i in axes] for values in (starts, limits))
    return graph.add(
        "Slice",
        call.inputs[0],
        *map(graph.integers, vectors),
        graph.integers(axes),
        graph.integers([steps[i] for i in axes]),
    )


def _dim_as_value(graph: Graph, call: Call) -> str:
    size = graph.add("Squeeze", graph.size(call.params["dim"]))
    return graph.cast(size, call.output_avals[0].dtype)


def _gather(graph: Graph, call: Call) -> str:
    """Indexing; indices are assumed to lie inside the array."""
    numbers, places = call.params["dimension_numbers"], call.input_avals[1].shape
    if len(places) == 1:
        return _window_at(graph, call)
    if numbers.operand_batching_dims:
        return _gather_per_example(graph, call)
    return _gather_axes(graph, call)


def _window_at(graph: Graph, call: Call) -> str:
    """One window, `x[:, top : top + size]`."""
    axes = call.params["dimension_numbers"].start_index_map
    sizes = graph.integers([call.params["slice_sizes"][axis] for axis in axes])
    start = graph.cast(call.inputs[1], np.int64)
    window = graph.add("Slice", call.inputs[0], start, graph.add("Add", start, sizes), graph.integers(axes))
    return graph.reshape(window, call.shape)


def _gather_per_example(graph: Graph, call: Call) -> str:
    """Each example indexed by its own indices, as `take_along_axis` does."""
    numbers, ndim = call.params["dimension_numbers"], len(call.shape)
    batch = len(numbers.operand_batching_dims)
    leading, indexed = tuple(range(batch)), tuple(range(batch, batch + len(numbers.start_index_map)))
    _require(
        numbers.operand_batching_dims == numbers.start_indices_batching_dims == leading
        and numbers.start_index_map == numbers.collapsed_slice_dims == indexed
        and numbers.offset_dims == tuple(range(ndim - len(numbers.offset_dims), ndim)),
        "such indexing",
    )
    return graph.add("GatherND", call.inputs[0], graph.cast(call.inputs[1], np.int64), batch_dims=batch)


def _gather_axes(graph: Graph, call: Call) -> str:
    """Neighbouring axes indexed together: they are merged into one, and the indices accordingly."""
    numbers, shape = call.params["dimension_numbers"], call.input_avals[0].shape
    axes = numbers.start_index_map
    first, end = axes[0], axes[0] + len(axes)
    steps = tuple(product(shape[axis + 1 : end]) for axis in axes)
    _require(axes == numbers.collapsed_slice_dims == tuple(range(first, end)), "such indexing")
    _require(is_static(steps), "indexing over the batch")
    merged = graph.reshape(call.inputs[0], (*shape[:first], product(shape[first:end]), *shape[end:]))
    flat = graph.add("Mul", graph.cast(call.inputs[1], np.int64), graph.integers(steps))
    flat = graph.add("ReduceSum", flat, graph.integers([-1]), keepdims=0)
    gathered = graph.add("Gather", merged, flat, axis=first)
    return graph.transpose(gathered, _gathered_order(call, first))


def _gathered_order(call: Call, first: int) -> list[int]:
    """Permutation of (axes before `first`, axes of the indices, axes after) that `offset_dims` asks for."""
    ndim, ndim_places = len(call.shape), len(call.input_avals[1].shape) - 1
    places = iter(range(first, first + ndim_places))
    kept = iter([*range(first), *range(first + ndim_places, ndim)])
    offsets = call.params["dimension_numbers"].offset_dims
    return [next(kept) if axis in offsets else next(places) for axis in range(ndim)]


def _convolution(graph: Graph, call: Call) -> str:
    """ONNX has channels first only; runtimes optimise the transpositions away."""
    params, numbers = call.params, call.params["dimension_numbers"]
    _require(set(params["lhs_dilation"]) == {1} and params["batch_group_count"] == 1, "such convolutions")
    low, high = zip(*params["padding"], strict=True)
    kernel = call.constants[1]
    if kernel is None:
        weights = graph.transpose(call.inputs[1], numbers.rhs_spec)
    else:
        weights = graph.constant(kernel.transpose(numbers.rhs_spec))
    result = graph.add(
        "Conv",
        graph.transpose(call.inputs[0], numbers.lhs_spec),
        weights,
        strides=params["window_strides"],
        pads=[*low, *high],
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
    )
    return graph.transpose(result, np.argsort(numbers.out_spec).tolist())


def _dot(graph: Graph, call: Call) -> str:
    (left, right), (left_batch, right_batch) = call.params["dimension_numbers"]
    ndims = [len(aval.shape) for aval in call.input_avals]
    if not left_batch and ndims[1] == 2 and tuple(left) == (ndims[0] - 1,) and tuple(right) == (0,):
        return graph.add("MatMul", *call.inputs)
    letters = iter(string.ascii_lowercase)
    first = [next(letters) for _ in range(ndims[0])]
    second = [next(letters) for _ in range(ndims[1])]
    for a, b in zip((*left, *left_batch), (*right, *right_batch), strict=True):
        second[b] = first[a]
    result = [first[axis] for axis in left_batch]
    result += [letter for axis, letter in enumerate(first) if axis not in (*left, *left_batch)]
    result += [letter for axis, letter in enumerate(second) if axis not in (*right, *right_batch)]
    equation = f"{''.join(first)},{''.join(second)}->{''.join(result)}"
    return graph.add("Einsum", *call.inputs, equation=equation)


def _max_pool(graph: Graph, call: Call) -> str:
    return _pool(graph, call, "MaxPool")


def _sum_pool(graph: Graph, call: Call) -> str:
    mean = _pool(graph, call, "AveragePool", count_include_pad=1)
    count = np.array(product(call.params["window_dimensions"]), call.output_avals[0].dtype)
    return graph.add("Mul", mean, graph.constant(count))


def _reduce_window(graph: Graph, call: Call) -> str:
    operations = [equation.primitive.name for equation in call.params["jaxpr"].eqns]
    start = call.constants[1]
    _require(operations == ["max"] and start is not None and start == -np.inf, "windows other than maxima")
    return _max_pool(graph, call)


def _pool(graph: Graph, call: Call, operator: str, **attributes: Any) -> str:
    """A window over any axes: they are moved to the end, behind exactly two others, as ONNX requires."""
    params, ndim = call.params, len(call.shape)
    _require({*params["base_dilation"], *params["window_dilation"]} == {1}, "dilated windows")
    windows = [*zip(params["window_dimensions"], params["window_strides"], params["padding"], strict=True)]
    inside = [axis for axis, window in enumerate(windows) if window != (1, 1, (0, 0))]
    order = [axis for axis in range(ndim) if axis not in inside] + inside
    _require(ndim - len(inside) in (1, 2), "such windows")
    value = graph.transpose(call.inputs[0], order)
    one_before = ndim - len(inside) == 1
    if one_before:
        value = graph.add("Unsqueeze", value, graph.integers([1]))
    sizes, strides, pads = zip(*(windows[axis] for axis in inside), strict=True)
    low, high = zip(*pads, strict=True)
    value = graph.add(operator, value, kernel_shape=sizes, strides=strides, pads=low + high, **attributes)
    if one_before:
        value = graph.add("Squeeze", value, graph.integers([1]))
    return graph.transpose(value, np.argsort(order).tolist())


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise UserError(f"{what} of this network have no ONNX form; choose other --formats.")


OPERATIONS: dict[str, Translation] = {
    "abs": _same("Abs"),
    "add": _same("Add"),
    "and": _same("And"),
    "ceil": _same("Ceil"),
    "copy": _same("Identity"),
    "cos": _same("Cos"),
    "div": _same("Div"),
    "eq": _same("Equal"),
    "erf": _same("Erf"),
    "exp": _same("Exp"),
    "floor": _same("Floor"),
    "ge": _same("GreaterOrEqual"),
    "gt": _same("Greater"),
    "le": _same("LessOrEqual"),
    "log": _same("Log"),
    "logistic": _same("Sigmoid"),
    "lt": _same("Less"),
    "max": _same("Max"),
    "min": _same("Min"),
    "mul": _same("Mul"),
    "neg": _same("Neg"),
    "not": _same("Not"),
    "or": _same("Or"),
    "pow": _same("Pow"),
    "sign": _same("Sign"),
    "sin": _same("Sin"),
    "sqrt": _same("Sqrt"),
    "stop_gradient": _same("Identity"),
    "sub": _same("Sub"),
    "tanh": _same("Tanh"),
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_prod": _reduce("ReduceProd"),
    "reduce_sum": _reduce("ReduceSum"),
    "argmax": _argmax,
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "convert_element_type": _convert,
    "dim_as_value": _dim_as_value,
    "dot_general": _dot,
    "erfc": _erfc,
    "expand_dims": _reshape,
    "gather": _gather,
    "integer_pow": _integer_pow,
    "iota": _iota,
    "is_finite": _is_finite,
    "log1p": _log1p,
    "ne": _not_equal,
    "pad": _pad,
    "reduce_window": _reduce_window,
    "reduce_window_max": _max_pool,
    "reduce_window_sum": _sum_pool,
    "rem": _remainder,
    "reshape": _reshape,
    "rsqrt": _rsqrt,
    "select_n": _select,
    "slice": _slice,
    "split": _split,
    "square": _square,
    "squeeze": _reshape,
    "stack": _stack,
    "top_k": _top_k,
    "transpose": _transpose,
}
"""Name of the primitive -> its translation."""
