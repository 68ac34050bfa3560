"""From a JAX function of a batch of images to an ONNX model."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import export
from jax.extend import core

from asae_jax.errors import UserError
from asae_jax.inference.export.jaxpr_to_onnx.graph import OPSET, Graph, is_static
from asae_jax.inference.export.jaxpr_to_onnx.operations import OPERATIONS, Call

BATCH = "batch"
"""Name of the first axis of input and outputs."""

Value = np.ndarray | str
"""A constant, or the name of a value that the graph computes."""

_INLINED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Calls of other functions, and the parameter that holds what they call."""


def to_onnx(
    function: Callable[[Any], Mapping[str, Any]],
    *,
    image_shape: tuple[int, int, int],
    metadata: Mapping[str, Any],
) -> bytes:
    """A serialised ONNX model (opset 18) of a function from images to named arrays.

    Integers that depend on no image, such as indices, are computed here, and what no output needs is left
    out; arithmetic on weights alone is left to the runtime, which does it once.

    Args:
      function: uint8 `[batch, height, width, 3]` -> arrays by name, for any batch size.
      image_shape: height, width, 3.
      metadata: kept in the model as JSON text by name.

    Raises:
      UserError: the function uses an operation that has no translation here.
    """
    (batch,) = export.symbolic_shape(BATCH)
    images = jax.ShapeDtypeStruct((batch, *image_shape), np.uint8)
    closed, outputs = jax.make_jaxpr(function, return_shape=True)(images)
    graph = Graph("images", batch)
    results = _translate(graph, closed.jaxpr, closed.consts, ["images"])
    for name, result in zip(outputs, results, strict=True):
        graph.nodes.append(_renamed(graph, result, name))
    return _model(graph, images, outputs, metadata).SerializeToString()


def _translate(graph: Graph, jaxpr: core.Jaxpr, constants: list, arguments: list[Value]) -> list[Value]:
    """Appends the equations of `jaxpr` to `graph`; returns the values of its outputs."""
    known: dict[Any, Value] = dict(zip(jaxpr.constvars, map(np.asarray, constants), strict=True))
    known |= zip(jaxpr.invars, arguments, strict=True)

    def value(atom: Any) -> Value:
        return _literal(atom) if isinstance(atom, core.Literal) else known[atom]

    for equation in _needed(jaxpr):
        results = _equation(graph, equation, [value(atom) for atom in equation.invars])
        known |= zip(equation.outvars, results, strict=True)
    return [value(atom) for atom in jaxpr.outvars]


def _literal(literal: Any) -> np.ndarray:
    return np.asarray(literal.val, literal.aval.dtype)


def _needed(jaxpr: core.Jaxpr) -> list[core.JaxprEqn]:
    """The equations that an output depends on, in order."""
    wanted, kept = {id(v) for v in jaxpr.outvars}, []
    for equation in reversed(jaxpr.eqns):
        if wanted & {id(v) for v in equation.outvars}:
            kept.append(equation)
            wanted |= {id(v) for v in equation.invars}
    return kept[::-1]


def _equation(graph: Graph, equation: core.JaxprEqn, inputs: list[Value]) -> list[Value]:
    name = equation.primitive.name
    if name in _INLINED:
        inner = equation.params[_INLINED[name]]
        return _translate(graph, inner.jaxpr, inner.consts, inputs)
    if _is_known(equation, inputs):
        return _computed(equation, inputs)
    if name not in OPERATIONS:
        raise UserError(f"the operation {name} of this network has no ONNX form; choose other --formats.")
    names = tuple(v if isinstance(v, str) else graph.constant(v) for v in inputs)
    results = OPERATIONS[name](
        graph,
        Call(
            names,
            tuple(None if isinstance(value, str) else value for value in inputs),
            tuple(atom.aval for atom in equation.invars),
            tuple(v.aval for v in equation.outvars),
            equation.params,
        ),
    )
    return [results] if isinstance(results, str) else list(results)


def _is_known(equation: core.JaxprEqn, inputs: list[Value]) -> bool:
    """Whether results can be computed now. Only integers are: for floats XLA would compile a program each."""
    avals: list[Any] = [v.aval for v in equation.outvars]
    return (
        equation.primitive.name != "dim_as_value"
        and not any(isinstance(value, str) for value in inputs)
        and all(is_static(aval.shape) and aval.dtype.kind in "iub" for aval in avals)
    )


def _computed(equation: core.JaxprEqn, inputs: list[Any]) -> list[Value]:
    results = equation.primitive.bind(*inputs, **equation.params)
    return [np.asarray(r) for r in (results if equation.primitive.multiple_results else [results])]


def _renamed(graph: Graph, result: Value, name: str) -> Any:
    from onnx import helper

    source = result if isinstance(result, str) else graph.constant(result)
    return helper.make_node("Identity", [source], [name], name=name)


def _model(graph: Graph, images: Any, outputs: Mapping[str, Any], metadata: Mapping[str, Any]) -> Any:
    from onnx import checker, helper

    proto = helper.make_graph(
        graph.nodes,
        "network",
        [_described("images", images)],
        [_described(name, array) for name, array in outputs.items()],
        graph.used_constants(),
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(proto, producer_name="asae_jax", opset_imports=opsets)
    model.ir_version = helper.find_min_ir_version_for(opsets)  # the newest would shut out older runtimes
    helper.set_model_props(model, {name: json.dumps(value) for name, value in metadata.items()})
    checker.check_model(model)
    return model


def _described(name: str, array: Any) -> Any:
    from onnx import helper

    shape = [size if isinstance(size, int) else BATCH for size in array.shape]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(array.dtype)), shape)
