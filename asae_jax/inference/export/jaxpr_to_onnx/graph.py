"""An ONNX graph under construction."""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from asae_jax.errors import UserError

OPSET = 18
"""Published in 2022; every later runtime reads it."""

Shape = tuple[Any, ...]
"""Sizes: ints, or symbolic multiples of the batch size."""


class Graph:
    """Nodes and constants, in an order in which they can be computed.

    Values are known by their names in the graph.

    Attributes:
      nodes: `onnx.NodeProto` so far.
    """

    def __init__(self, image: str, batch: Any):
        """A graph with one input called `image`, whose first size is the symbol `batch`."""
        self.nodes: list[Any] = []
        self._image, self._batch = image, batch
        self._constants: dict[tuple, tuple[str, np.ndarray]] = {}
        self._batch_size = ""
        self._onnx = _onnx()

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Appends one operation with one result; returns the result's name."""
        return self.add_many(operator, *inputs, results=1, **attributes)[0]

    def add_many(self, operator: str, *inputs: str, results: int, **attributes: Any) -> list[str]:
        """Appends one operation.

        Args:
          operator: ONNX name of the operation.
          *inputs: names of values.
          results: how many it has.
          **attributes: of the operation.

        Returns:
          The names of the results.
        """
        names = [f"{operator}_{len(self.nodes)}" + f"_{i}" * (results > 1) for i in range(results)]
        node = self._onnx.helper.make_node(operator, list(inputs), names, name=names[0], **attributes)
        self.nodes.append(node)
        return names

    def constant(self, array: np.ndarray) -> str:
        """The name of a constant; equal ones are kept once."""
        array = np.asarray(array, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        return self._constants.setdefault(key, (f"constant_{len(self._constants)}", array))[0]

    def used_constants(self) -> list[Any]:
        """`onnx.TensorProto` of every constant that a node reads."""
        used = {name for node in self.nodes for name in node.input}
        from_array = self._onnx.numpy_helper.from_array
        return [from_array(array, name) for name, array in self._constants.values() if name in used]

    def integers(self, values: Sequence[int]) -> str:
        """An int64 vector, as ONNX wants axes and sizes."""
        return self.constant(np.array(values, np.int64))

    def cast(self, value: str, dtype: Any) -> str:
        """`value` in another NumPy dtype."""
        return self.add("Cast", value, to=self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def size(self, size: Any) -> str:
        """An int64 `[1]` that holds `size`, static or symbolic."""
        if isinstance(size, int):
            return self.integers([size])
        if not self._batch_size:
            shape = self.add("Shape", self._image)
            self._batch_size = self.add("Slice", shape, self.integers([0]), self.integers([1]))
        factor = size // self._batch
        if factor * self._batch != size:
            raise UserError(f"ONNX: the size {size} is not a multiple of the batch size.")
        return self.add("Mul", self._batch_size, self.integers([int(factor)]))

    def shape(self, shape: Shape) -> str:
        """An int64 vector that holds `shape`."""
        if is_static(shape):
            return self.integers(shape)
        return self.add("Concat", *(self.size(size) for size in shape), axis=0)

    def reshape(self, value: str, shape: Shape) -> str:
        """`value` with the same elements in another shape."""
        unknown = [i for i, size in enumerate(shape) if not isinstance(size, int)]
        if len(unknown) > 1 or 0 in shape:
            return self.add("Reshape", value, self.shape(shape))
        return self.add(
            "Reshape", value, self.integers([-1 if i in unknown else s for i, s in enumerate(shape)])
        )

    def transpose(self, value: str, order: Sequence[int]) -> str:
        """`value` with its axes in another order."""
        if list(order) == sorted(order):
            return value
        return self.add("Transpose", value, perm=list(order))


def is_static(shape: Shape) -> bool:
    """Whether every size is known."""
    return all(isinstance(size, int) for size in shape)


def product(shape: Sequence[Any]) -> Any:
    """Number of elements; symbolic where a size is."""
    return math.prod(shape) if shape else 1


def _onnx() -> ModuleType:
    import onnx.helper
    import onnx.numpy_helper

    return onnx
