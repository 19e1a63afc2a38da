"""Pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.layout import LAST, Value
from voxelgrad.interop.onnx.operators.spatial import (
    Ints,
    Pairs,
    check_rank,
    per_axis,
    resolve_padding,
)
from voxelgrad.ops.pool import MaxPool
from voxelgrad.tensor import Tensor

_MAXIMA: dict[int, Any] = {1: ops.max_pool1d, 2: ops.max_pool2d, 3: ops.max_pool3d}
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
    input = call.image()
    window = _Window(call, input)
    if call.wants(1):
        return _max_pool_with_positions(call, input, window)
    output = _MAXIMA[window.rank](
        input, window.kernel, window.strides, window.padding, window.dilations, window.ceil_mode
    )
    return Value(output, LAST), None


def _max_pool_with_positions(
    call: Call, input: Tensor, window: _Window
) -> tuple[Value, Value | None]:
    """Return the maxima and where they were, counted through the whole input in ONNX's order."""
    before = tuple(pair[0] for pair in window.padding)
    if before != tuple(pair[1] for pair in window.padding) or max(window.dilations) > 1:
        raise ValueError("Indices are computed for symmetric padding without dilation only")
    if window.ceil_mode:
        raise ValueError("Indices are computed without ceil_mode only")
    function = MaxPool(
        f"max_pool{window.rank}d", window.rank, window.kernel, window.strides, before
    )
    output = function.apply(input)
    assert function.saved is not None
    places = np.asarray(function.saved[0]).astype(np.int64)
    column_major = bool(call.attribute("storage_order", 0))
    positions = _positions(places, input.shape, window, before, column_major)
    return Value(output, LAST), Value(positions)


def _positions(
    places: NDArray[Any], shape: Ints, window: _Window, before: Ints, column_major: bool
) -> NDArray[Any]:
    """Return flat positions (N, C, *spatial') from the places (N, *spatial', C) in windows."""
    offsets = np.unravel_index(places, window.kernel)
    coordinates = []
    for axis, offset in enumerate(offsets):
        index_shape = [1] * places.ndim
        index_shape[1 + axis] = -1
        starts = np.arange(places.shape[1 + axis]) * window.strides[axis] - before[axis]
        coordinates.append(starts.reshape(index_shape) + offset)
    order = "F" if column_major else "C"
    within = np.ravel_multi_index(coordinates, shape[1:-1], order=order)  # type: ignore[call-overload]
    samples = np.arange(shape[0]).reshape(-1, *(1,) * (places.ndim - 1))
    images = samples * shape[-1] + np.arange(shape[-1])
    flat = images * int(np.prod(shape[1:-1])) + within
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
