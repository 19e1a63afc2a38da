"""Elementwise functions, broadcasting arithmetic, softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxelgrad.interop.onnx.exporters.writer import Item, Writer
from voxelgrad.interop.onnx.layout import LAST, PLAIN, Layout
from voxelgrad.ops.activation import Activation, Clip
from voxelgrad.ops.arithmetic import Add, Div, Mul, Sub
from voxelgrad.ops.softmax import Softmax

_KINDS = {
    "abs": "Abs",
    "elu": "Elu",
    "exp": "Exp",
    "leaky_relu": "LeakyRelu",
    "log": "Log",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
}


def _activation(writer: Writer, function: Activation, items: list[Any]) -> Item:
    input = _value(writer, items[0])
    if function.op == "square":
        return writer.node("Mul", [input.name, input.name], input.shape, input.layout)
    slope = {"alpha": function.alpha} if function.op in ("elu", "leaky_relu") else {}
    return writer.node(_KINDS[function.op], [input.name], input.shape, input.layout, **slope)


def _clip(writer: Writer, function: Clip, items: list[Any]) -> Item:
    input = _value(writer, items[0])
    dtype = np.float64 if function.backend.__name__.endswith("reference") else np.float32
    limits = [
        writer.constant(np.asarray(value, dtype)) if np.isfinite(value) else ""
        for value in (function.low, function.high)
    ]
    return writer.node("Clip", [input.name, *limits], input.shape, input.layout)


def _softmax(writer: Writer, function: Softmax, items: list[Any]) -> Item:
    input = _value(writer, items[0])
    op = "LogSoftmax" if function.log else "Softmax"
    axis = input.axis(-1)
    return writer.node(op, [input.name], input.shape, input.layout, axis=axis)


def _binary(op: str) -> Any:
    def write(writer: Writer, function: Any, items: list[Item]) -> Item:
        shape = function.output_shape
        layout = _common(items, len(shape))
        a, b = (_aligned(writer, item, len(shape), layout == LAST) for item in items)
        return writer.node(op, [a, b], shape, layout)

    return write


def _value(writer: Writer, item: Item) -> Item:
    return writer.plain(item) if item.array is not None else item


def _common(items: list[Item], ndim: int) -> Layout:
    """Return channels first if an operand of all axes is that and the others can follow."""
    values = [item for item in items if item.array is None]
    full = all(item.ndim == ndim for item in values)
    first = [item for item in values if item.layout == LAST]
    return LAST if full and first else PLAIN


def _aligned(writer: Writer, item: Item, ndim: int, first: bool) -> str:
    if not first:
        return writer.plain(item).name
    if item.array is None or item.array.size == 1:
        return writer.first(item).name if item.array is None else writer.plain(item).name
    aligned = item.array.reshape((1,) * (ndim - item.ndim) + item.shape)
    return writer.constant(LAST.restore(aligned), item.array)


EXPORTERS = {
    Activation: _activation,
    Add: _binary("Add"),
    Clip: _clip,
    Div: _binary("Div"),
    Mul: _binary("Mul"),
    Softmax: _softmax,
    Sub: _binary("Sub"),
}
