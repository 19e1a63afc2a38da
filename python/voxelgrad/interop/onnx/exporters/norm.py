"""Normalisation, by running statistics where there are some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from voxelgrad.interop.onnx.exporters.writer import Item, Writer
from voxelgrad.interop.onnx.layout import LAST, PLAIN
from voxelgrad.ops._norm import BatchNorm, GroupNorm, LayerNorm


def _affine(writer: Writer, items: list[Any], shape: tuple[int, ...]) -> list[str]:
    """Return the names of scale and shift; ONNX does not let them be left out."""
    _, weight, bias = items
    dtype = next((item.array.dtype for item in (weight, bias) if item is not None), np.float32)
    return [
        writer.constant(default(shape, dtype)) if item is None else writer.weight(item)
        for item, default in ((weight, np.ones), (bias, np.zeros))
    ]


def _activated(write: Callable[..., Item]) -> Callable[..., Item]:
    """Return an exporter that adds the activation which the norm computed in the same pass."""

    def run(writer: Writer, function: Any, items: list[Any]) -> Item:
        item = write(writer, function, items)
        if function.activation == "identity":
            return item
        op = {"relu": "Relu", "leaky_relu": "LeakyRelu"}[function.activation]
        slope = {"alpha": function.alpha} if op == "LeakyRelu" else {}
        return writer.node(op, [item.name], item.shape, item.layout, **slope)

    return run


def _batch_norm(writer: Writer, function: BatchNorm, items: list[Any]) -> Item:
    input = items[0]
    value = writer.first(input) if input.ndim > 2 else writer.plain(input)
    if function.training or function.running_mean is None or function.running_var is None:
        raise ValueError("export: batch_norm without running statistics has no ONNX form")
    statistics = [
        writer.constant(array, array) for array in (function.running_mean, function.running_var)
    ]
    names = [value.name, *_affine(writer, items, input.shape[-1:]), *statistics]
    return writer.node(
        "BatchNormalization",
        names,
        input.shape,
        value.layout,
        epsilon=function.eps,
        momentum=1.0 - function.momentum,
    )


def _group_norm(writer: Writer, function: GroupNorm, items: list[Any]) -> Item:
    input, groups = items[0], function.num_groups
    value, channels = writer.first(input), input.shape[-1:]
    if groups == channels[0]:
        names = [value.name, *_affine(writer, items, channels)]
        return writer.node("InstanceNormalization", names, input.shape, LAST, epsilon=function.eps)
    if writer.opset >= 21:
        names = [value.name, *_affine(writer, items, channels)]
        settings = {"num_groups": groups, "epsilon": function.eps}
        return writer.node("GroupNormalization", names, input.shape, LAST, **settings)
    return _group_norm_by_reshape(writer, function, value, items)


def _group_norm_by_reshape(
    writer: Writer, function: GroupNorm, value: Item, items: list[Any]
) -> Item:
    """Before set 21: an instance norm of the groups as channels, then scale and shift."""
    shape, groups = value.shape, function.num_groups
    assert groups is not None
    dtype = np.float32 if items[1] is None else items[1].array.dtype
    ones, zeros = (writer.constant(make(groups, dtype)) for make in (np.ones, np.zeros))
    size = writer.node("Shape", [value.name], (len(shape),)).name
    grouped = writer.node("Reshape", [value.name, writer.integers([0, groups, -1])], shape)
    normed = writer.node(
        "InstanceNormalization", [grouped.name, ones, zeros], shape, epsilon=function.eps
    )
    output = writer.node("Reshape", [normed.name, size], shape, LAST)
    for op, item in (("Mul", items[1]), ("Add", items[2])):
        if item is not None:
            column = item.array.reshape(-1, *(1,) * (len(shape) - 2))
            names = [output.name, writer.constant(column, item.array)]
            output = writer.node(op, names, shape, LAST)
    return output


def _layer_norm(writer: Writer, function: LayerNorm, items: list[Any]) -> Item:
    value = writer.plain(items[0])
    shape = function.normalized_shape
    names = [value.name, *_affine(writer, items, shape)]
    return writer.node(
        "LayerNormalization",
        names,
        value.shape,
        PLAIN,
        axis=-len(shape),
        epsilon=function.eps,
    )


EXPORTERS = {
    BatchNorm: _activated(_batch_norm),
    GroupNorm: _activated(_group_norm),
    LayerNorm: _activated(_layer_norm),
}
