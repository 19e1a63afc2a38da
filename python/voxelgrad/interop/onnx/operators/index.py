"""Arithmetic on shapes: what exporters write around a reshape or a resize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.layout import Value
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
    if indices.size > 1:
        raise ValueError(
            f"indices have shape {indices.shape}; of tensors only one element along an axis can be "
            f"gathered"
        )
    place = value.layout.axes(value.ndim).index(axis)
    first = int(indices.reshape(-1)[0]) % length
    part = value.tensor(value.layout)[(slice(None),) * place + (slice(first, first + 1),)]
    shape = value.shape[:axis] + indices.shape + value.shape[axis + 1 :]
    return Value(Value(part, value.layout).tensor().reshape(shape))


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


def _where(call: Call) -> Value:
    """Choose between two inputs by a condition; of tensors, by multiplying with it."""
    condition, a, b = (call.value(i) for i in range(3))
    if not a.is_float and not b.is_float:
        return Value(np.where(condition.array(), a.array(), b.array()))
    first, second = a.tensor(), b.tensor()
    chosen = Tensor(condition.array().astype(first.dtype))
    return Value(ops.add(first * chosen, second * ops.sub(1.0, chosen)))


OPERATORS: dict[str, Handler] = {
    "And": _comparison(np.logical_and),
    "ConstantOfShape": _constant_of_shape,
    "Equal": _comparison(np.equal),
    "Gather": _gather,
    "Greater": _comparison(np.greater),
    "GreaterOrEqual": _comparison(np.greater_equal),
    "Less": _comparison(np.less),
    "LessOrEqual": _comparison(np.less_equal),
    "Mod": _comparison(np.mod),
    "Not": _logical_not,
    "Or": _comparison(np.logical_or),
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
    "Where": _where,
}
