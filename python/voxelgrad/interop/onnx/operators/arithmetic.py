"""Broadcasting arithmetic: on tensors by ops, on integers (sizes and axes) by numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.layout import LAST, PLAIN, Layout, Value, same_format
from voxelgrad.tensor import Tensor

IntegerFunction = Callable[[Any, Any], Any]


def _divide_integers(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Divide towards zero, as ONNX asks."""
    if np.any(b == 0):
        raise ValueError("an integer is divided by 0")
    quotient = np.abs(a.astype(np.object_)) // np.abs(b.astype(np.object_))
    sign = np.where((a < 0) != (b < 0), -1, 1)
    return np.asarray(quotient * sign).astype(a.dtype)


def _binary(
    function: Callable[[Tensor | float, Tensor | float], Tensor], integers: IntegerFunction
) -> Handler:
    def run(call: Call) -> Value:
        a, b = call.value(0), call.value(1)
        if not a.is_float and not b.is_float:
            return Value(np.asarray(integers(a.array(), b.array())))
        layout = common_layout(a, b)
        operands = same_format(aligned(a, b, layout), aligned(b, a, layout))
        return Value(function(*operands), layout)

    return run


def common_layout(a: Value, b: Value) -> Layout:
    """Return channels last if the operand of most axes is that, else plain."""
    most = max(a.ndim, b.ndim)
    return LAST if any(v.layout == LAST and v.ndim == most for v in (a, b)) else PLAIN


def aligned(value: Value, other: Value, layout: Layout) -> Tensor:
    """Return ``value`` so that it broadcasts with ``other`` in ``layout``."""
    if layout != LAST or (value.layout == LAST and value.ndim >= other.ndim):
        return value.tensor(layout)
    tensor = value.tensor()
    if tensor.size == 1 and value.ndim <= other.ndim:
        return tensor.reshape(())
    missing = max(0, other.ndim - value.ndim)
    return Value(tensor.reshape((1,) * missing + value.shape) if missing else tensor).tensor(LAST)


def _negate(call: Call) -> Value:
    value = call.value(0)
    if not value.is_float:
        return Value(-value.array())
    return Value(-value.tensor(value.layout), value.layout)


def _power(call: Call) -> Value:
    """Raise to a constant power; other powers than 2 and one half need a positive base."""
    value = call.value(0)
    exponent = call.number(1, "", 1.0)
    if not value.is_float:
        return Value(np.power(value.array(), int(exponent)))
    base = value.tensor(value.layout)
    if exponent in (2.0, 0.5):
        return Value(base**exponent, value.layout)
    if exponent == int(exponent) and 0 < exponent <= 4:
        result = base
        for _ in range(int(exponent) - 1):
            result = result * base
        return Value(result, value.layout)
    return Value(ops.exp(ops.log(base) * exponent), value.layout)


def _square_root(call: Call) -> Value:
    value = call.value(0)
    return Value(ops.sqrt(value.tensor(value.layout)), value.layout)


def _reciprocal(call: Call) -> Value:
    value = call.value(0)
    return Value(ops.div(1.0, value.tensor(value.layout)), value.layout)


def _sum(call: Call) -> Value:
    total = call.value(0)
    for index in range(1, len(call.inputs)):
        term = call.value(index)
        layout = common_layout(total, term)
        operands = same_format(aligned(total, term, layout), aligned(term, total, layout))
        total = Value(ops.add(*operands), layout)
    return total


def _rounding(function: Callable[[Any], Any]) -> Handler:
    """Floor and its like: constant between its steps, so no gradient passes."""

    def run(call: Call) -> Value:
        value = call.value(0)
        if not value.is_float:
            return value
        return Value(Tensor(function(value.data.numpy())), value.layout)  # type: ignore[union-attr]

    return run


OPERATORS: dict[str, Handler] = {
    "Add": _binary(ops.add, np.add),
    "Ceil": _rounding(np.ceil),
    "Div": _binary(ops.div, _divide_integers),
    "Floor": _rounding(np.floor),
    "Mul": _binary(ops.mul, np.multiply),
    "Neg": _negate,
    "Pow": _power,
    "Reciprocal": _reciprocal,
    "Round": _rounding(np.round),
    "Sqrt": _square_root,
    "Sub": _binary(ops.sub, np.subtract),
    "Sum": _sum,
}
