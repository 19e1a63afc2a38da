"""Matrix products."""

from __future__ import annotations

from typing import Any

from voxelgrad.interop.onnx.exporters.writer import Item, Writer
from voxelgrad.interop.onnx.layout import PLAIN, SWAPPED
from voxelgrad.ops.linear import Linear, MatMul


def _linear(writer: Writer, function: Linear, items: list[Any]) -> Item:
    input, weight, bias = items
    value = writer.plain(input)
    shape = (*input.shape[:-1], weight.shape[0])
    if weight.array is not None and input.ndim == 2:
        names = [value.name, writer.weight(weight)]
        names += [] if bias is None else [writer.weight(bias)]
        return writer.node("Gemm", names, shape, PLAIN, transB=1)
    if weight.array is not None:
        matrix = writer.weight(weight, SWAPPED)
    else:
        turned = (weight.shape[1], weight.shape[0])
        matrix = writer.node("Transpose", [writer.plain(weight).name], turned, perm=[1, 0]).name
    product = writer.node("MatMul", [value.name, matrix], shape)
    if bias is None:
        return product
    return writer.node("Add", [product.name, writer.weight(bias)], shape)


def _matmul(writer: Writer, function: MatMul, items: list[Any]) -> Item:
    names = [writer.plain(item).name for item in items]
    shape = (*function.stack, items[0].shape[-2], items[1].shape[-1])
    return writer.node("MatMul", names, shape)


EXPORTERS = {Linear: _linear, MatMul: _matmul}
