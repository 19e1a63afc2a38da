"""Arithmetic on shapes: what exporters write around a reshape or a resize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.autograd import Function
from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.layout import Value, same_format
from voxelgrad.interop.onnx.operators.shape import expanded, taken
from voxelgrad.tensor import Tensor

_MOST = 1 << 24
"""Elements that an integer array made from nothing may have: far above any list of sizes."""


def _shape(call: Call) -> Value:
    shape = call.value(0).shape
    start, end = call.attribute("start", 0), call.attribute("end", len(shape))
    return Value(np.asarray(shape[start:end], np.int64))


def _size(call: Call) -> Value:
    return Value(np.asarray(np.prod(call.value(0).shape), np.int64))


def _gather(call: Call) -> Value:
    value, indices = call.value(0), call.array(1)
    axis = call.axis(call.attribute("axis", 0), value.ndim)
    if indices is None or indices.dtype.kind not in "iu":
        raise ValueError("indices must be integers")
    length = value.shape[axis]
    if indices.size and not (-length <= indices.min() and indices.max() < length):
        raise ValueError(f"indices reach {indices.max()}, but axis {axis} has length {length}")
    if not value.is_float:
        return Value(np.take(value.array(), indices, axis))
    part = taken(value, axis, [int(i) % length for i in indices.reshape(-1)])
    if indices.ndim == 1:
        return part
    shape = value.shape[:axis] + indices.shape + value.shape[axis + 1 :]
    return Value(part.tensor().reshape(shape))


def _constant_of_shape(call: Call) -> Value:
    shape = call.ints(0) or []
    if int(np.prod(shape, dtype=np.float64)) > _MOST:
        raise ValueError(f"the shape is {shape}; at most {_MOST:,} elements can be made")
    entry = call.attribute("value", {"dtype": "float32", "values": [0.0]})
    array = np.full(shape, entry["values"][0], np.dtype(entry["dtype"]))
    return Value(Tensor(array) if array.dtype.kind == "f" else array)


def _range(call: Call) -> Value:
    start, limit, step = (call.array(i) for i in range(3))
    if start is None or limit is None or step is None or not step.any():
        raise ValueError("start, limit and a step other than 0 must be given")
    if abs((limit.item() - start.item()) / step.item()) > _MOST:
        raise ValueError(f"the range has more than {_MOST:,} elements")
    array = np.arange(start.item(), limit.item(), step.item()).astype(start.dtype)
    return Value(Tensor(array) if array.dtype.kind == "f" else array)


def _comparison(function: Callable[[Any, Any], Any]) -> Handler:
    return lambda call: Value(np.asarray(function(call.value(0).array(), call.value(1).array())))


def _logical_not(call: Call) -> Value:
    return Value(np.logical_not(call.value(0).array()))


class Select(Function):
    """One of two tensors by a condition; what is not chosen may be infinite."""

    __slots__ = ("condition",)
    input_names = ("the first operand", "the second operand")
    op = "where"

    def __init__(self, condition: NDArray[Any]) -> None:
        self.condition = condition

    def forward(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        """Return the chosen elements; all three have one shape."""
        return np.where(self.condition, a, b)

    def backward(self, grad_output: NDArray[Any]) -> tuple[NDArray[Any] | None, ...]:
        """Send each gradient to where its element came from."""
        zero = np.zeros((), grad_output.dtype)
        return (
            np.where(self.condition, grad_output, zero),
            np.where(self.condition, zero, grad_output),
        )


def _where(call: Call) -> Value:
    condition, a, b = (call.value(i) for i in range(3))
    if not a.is_float and not b.is_float:
        return Value(np.where(condition.array(), a.array(), b.array()))
    shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
    chosen = np.broadcast_to(condition.array(), shape)
    operands = [expanded(tensor, shape) for tensor in same_format(a.tensor(), b.tensor())]
    return Value(Select(chosen).apply(*operands))


def _modulo(call: Call) -> Value:
    """Return the rest of a division, with the sign of the divisor or (fmod) of the dividend."""
    if any(call.value(i).is_float for i in range(2)):
        raise ValueError("the rest of a division of floats has no gradient; integers are taken")
    function = np.fmod if call.attribute("fmod", 0) else np.mod
    a, b = call.value(0).array(), call.value(1).array()
    if np.any(b == 0):
        raise ValueError("an integer is divided by 0")
    return Value(np.asarray(function(a, b)))


OPERATORS: dict[str, Handler] = {
    "And": _comparison(np.logical_and),
    "ConstantOfShape": _constant_of_shape,
    "Equal": _comparison(np.equal),
    "Gather": _gather,
    "Greater": _comparison(np.greater),
    "GreaterOrEqual": _comparison(np.greater_equal),
    "Less": _comparison(np.less),
    "LessOrEqual": _comparison(np.less_equal),
    "Mod": _modulo,
    "Not": _logical_not,
    "Or": _comparison(np.logical_or),
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
    "Where": _where,
}
