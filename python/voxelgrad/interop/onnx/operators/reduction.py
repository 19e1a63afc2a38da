"""Sums and means over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.layout import Value
from voxelgrad.tensor import Tensor


def _reduction(
    function: Callable[[Tensor, tuple[int, ...], bool], Tensor], integers: Callable[..., Any]
) -> Handler:
    def run(call: Call) -> Value:
        value, keepdims = call.value(0), bool(call.attribute("keepdims", 1))
        listed = call.ints(1, "axes")
        if not listed and call.attribute("noop_with_empty_axes", 0):
            return value
        axes = tuple(call.axis(a, value.ndim) for a in listed or range(value.ndim))
        if not value.is_float:
            return Value(np.asarray(integers(value.array(), axis=axes, keepdims=keepdims)))
        if keepdims:
            places = tuple(value.layout.axes(value.ndim).index(a) for a in axes)
            return Value(function(value.tensor(value.layout), places, True), value.layout)
        return Value(_dropping(function, value, axes))

    return run


def _dropping(function: Any, value: Value, axes: tuple[int, ...]) -> Tensor:
    """Reduce without keeping the axes; what is left is in ONNX's order."""
    order = value.layout.axes(value.ndim)
    left = [axis for axis in order if axis not in axes]
    if left != sorted(left):
        return function(value.tensor(), axes, False)  # type: ignore[no-any-return]
    places = tuple(order.index(a) for a in axes)
    return function(value.tensor(value.layout), places, False)  # type: ignore[no-any-return]


OPERATORS: dict[str, Handler] = {
    "ReduceMean": _reduction(ops.mean, np.mean),
    "ReduceSum": _reduction(ops.sum, np.sum),
}
