"""Pooling, sums and means."""

from __future__ import annotations

from typing import Any

from voxelgrad.interop.onnx.exporters.writer import Item, Writer
from voxelgrad.interop.onnx.layout import LAST, PLAIN
from voxelgrad.ops.arithmetic import Sum
from voxelgrad.ops.pool import AdaptiveAvgPool, AvgPool, MaxPool


def _window(function: Any) -> dict[str, Any]:
    return {
        "kernel_shape": list(function.kernel_size),
        "strides": list(function.stride),
        "pads": list(function.padding) * 2,
    }


def _max_pool(writer: Writer, function: MaxPool, items: list[Any]) -> Item:
    value = writer.first(items[0])
    if function.op == "global_max_pool":
        return writer.node("GlobalMaxPool", [value.name], function.output_shape, LAST)
    return writer.node("MaxPool", [value.name], function.output_shape, LAST, **_window(function))


def _avg_pool(writer: Writer, function: AvgPool, items: list[Any]) -> Item:
    settings = {**_window(function), "count_include_pad": int(function.count_include_pad)}
    names = [writer.first(items[0]).name]
    return writer.node("AveragePool", names, function.output_shape, LAST, **settings)


def _adaptive_avg_pool(writer: Writer, function: AdaptiveAvgPool, items: list[Any]) -> Item:
    value, size = writer.first(items[0]), items[0].shape[1:-1]
    shape = (value.shape[0], *function.output_size, value.shape[-1])
    if max(function.output_size) == 1:
        return writer.node("GlobalAveragePool", [value.name], shape, LAST)
    if any(n % out for n, out in zip(size, function.output_size, strict=True)):
        raise ValueError(
            f"export: {function.op} from {size} to {function.output_size} has windows of several "
            f"sizes, which ONNX does not have; choose sizes that divide"
        )
    writer.size_is_fixed = True
    kernel = [n // out for n, out in zip(size, function.output_size, strict=True)]
    settings = {"kernel_shape": kernel, "strides": kernel}
    return writer.node("AveragePool", [value.name], shape, LAST, **settings)


def _sum(writer: Writer, function: Sum, items: list[Any]) -> Item:
    item, axes = items[0], function.axes
    spatial = tuple(range(1, item.ndim - 1))
    if function.op == "mean" and item.layout == LAST and axes == spatial:
        pooled = writer.node("GlobalAveragePool", [item.name], function.kept_shape, LAST)
        if function.keepdims:
            return pooled
        return writer.node("Flatten", [pooled.name], (item.shape[0], item.shape[-1]), axis=1)
    value = item if function.keepdims and item.array is None else writer.plain(item)
    left = tuple(n for i, n in enumerate(item.shape) if i not in axes)
    shape = function.kept_shape if function.keepdims else left
    places = sorted(value.axis(axis) for axis in axes)
    op = "ReduceMean" if function.op == "mean" else "ReduceSum"
    layout = value.layout if function.keepdims else PLAIN
    settings: dict[str, Any] = {"keepdims": int(function.keepdims)}
    if 0 in axes:
        writer.batch_is_fixed = True
    if op == "ReduceMean" and writer.opset < 18:
        return writer.node(op, [value.name], shape, layout, axes=places, **settings)
    return writer.node(op, [value.name, writer.integers(places)], shape, layout, **settings)


EXPORTERS = {
    AdaptiveAvgPool: _adaptive_avg_pool,
    AvgPool: _avg_pool,
    MaxPool: _max_pool,
    Sum: _sum,
}
