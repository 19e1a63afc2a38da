"""Pooling."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.layout import LAST, Value
from voxelgrad.interop.onnx.operators.spatial import (
    check_rank,
    per_axis,
    resolve_padding,
)
from voxelgrad.interop.spatial import Ints, Pairs
from voxelgrad.tensor import Tensor

_MAXIMA: dict[int, Any] = {1: ops.max_pool1d, 2: ops.max_pool2d, 3: ops.max_pool3d}
_EXACT = (np.dtype(np.uint8), np.dtype(np.int8))  # integers that float32 holds and that are pooled
_AVERAGES: dict[int, Any] = {1: ops.avg_pool1d, 2: ops.avg_pool2d, 3: ops.avg_pool3d}


class _Window:
    """The settings of a pooling node."""

    def __init__(self, call: Call, input: Tensor) -> None:
        self.rank = check_rank(input)
        kernel = call.attribute("kernel_shape")
        if kernel is None or len(kernel) != self.rank:
            raise ValueError(f"kernel_shape is {kernel}; it must be {self.rank} integers")
        self.kernel: Ints = tuple(int(k) for k in kernel)
        self.strides = per_axis(call, "strides", self.rank)
        self.dilations = per_axis(call, "dilations", self.rank)
        self.padding: Pairs = resolve_padding(
            call, input.shape[1:-1], self.kernel, self.strides, self.dilations
        )
        self.ceil_mode = bool(call.attribute("ceil_mode", 0))


def _max_pool(call: Call) -> tuple[Value, Value | None]:
    value = call.value(0)
    if not value.is_float and value.data.dtype in _EXACT:
        as_floats = Value(Tensor(value.data.astype(np.float32)))
        call = Call(call.node, [as_floats, *call.inputs[1:]], call.opset, call.training)
        maxima, places = _max_pool(call)
        return Value(maxima.array().astype(value.data.dtype)), places
    input = call.image()
    window = _Window(call, input)
    output = _MAXIMA[window.rank](
        input, window.kernel, window.strides, window.padding, window.dilations, window.ceil_mode
    )
    places = None
    if call.wants(1):
        column_major = bool(call.attribute("storage_order", 0))
        places = Value(_places(input.numpy(), output.numpy(), window, column_major))
    return Value(output, LAST), places


def _places(
    input: NDArray[Any], output: NDArray[Any], window: _Window, column_major: bool
) -> NDArray[np.int64]:
    """Return where the maxima are, (N, C, *spatial'), counted through all of ONNX's input.

    Of equal values the first in the window counts. Each tap of the window is held against the
    maxima; this is for graphs that give positions out, not for speed.
    """
    shape = input.shape[1:-1]
    order: Literal["C", "F"] = "F" if column_major else "C"
    found = np.full(output.shape, -1, np.int64)
    for tap in reversed(list(np.ndindex(*window.kernel))):
        axes = [
            np.arange(length) * stride - pair[0] + offset * dilation
            for length, stride, pair, offset, dilation in zip(
                output.shape[1:-1],
                window.strides,
                window.padding,
                tap,
                window.dilations,
                strict=True,
            )
        ]
        grid = np.ix_(*axes)
        inside = np.ones((), bool)
        for places, size in zip(grid, shape, strict=True):
            inside = inside & (places >= 0) & (places < size)
        clipped = [np.clip(places, 0, size - 1) for places, size in zip(grid, shape, strict=True)]
        values = np.moveaxis(np.moveaxis(input, 0, -1)[tuple(clipped)], -1, 0)
        hit = inside[..., None] & ((values == output) | (values != values))
        within = np.ravel_multi_index(np.broadcast_arrays(*clipped), shape, order=order)
        found = np.where(hit, within[..., None], found)
    images = np.arange(input.shape[0] * input.shape[-1]).reshape(input.shape[0], input.shape[-1])
    images = images.reshape(len(images), *(1,) * window.rank, -1)
    flat = np.where(found < 0, found, found + images * math.prod(shape))
    return np.ascontiguousarray(np.moveaxis(flat, -1, 1))


def _average_pool(call: Call) -> Value:
    input = call.image()
    window = _Window(call, input)
    output = _AVERAGES[window.rank](
        input,
        window.kernel,
        window.strides,
        window.padding,
        bool(call.attribute("count_include_pad", 0)),
        window.dilations,
        window.ceil_mode,
    )
    return Value(output, LAST)


def _global(function: Any) -> Handler:
    def run(call: Call) -> Value:
        input = call.image()
        rank = check_rank(input)
        pooled = function(input)
        return Value(pooled.reshape(input.shape[0], *(1,) * rank, input.shape[-1]), LAST)

    return run


OPERATORS: dict[str, Handler] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global(ops.global_avg_pool),
    "GlobalMaxPool": _global(ops.global_max_pool),
    "MaxPool": _max_pool,
}
