"""Convolutions."""

from __future__ import annotations

from typing import Any

from voxelgrad.interop.onnx.exporters.writer import Item, Writer
from voxelgrad.interop.onnx.layout import LAST, PLAIN, Layout
from voxelgrad.ops._conv import Conv, ConvTranspose, JoinedConv


def _convolution(
    writer: Writer, op: str, function: Any, items: list[Any], layout: Layout, **extra: Any
) -> Item:
    input, weight, bias = items
    names = [writer.first(input).name, writer.weight(weight, layout)]
    if bias is not None:
        names.append(writer.weight(bias, PLAIN))
    return writer.node(
        op,
        names,
        function.output_shape,
        LAST,
        kernel_shape=list(weight.shape[1:-1]),
        strides=list(function.stride),
        pads=list(function.padding) * 2,
        dilations=list(function.dilation),
        group=function.groups,
        **extra,
    )


def _conv(writer: Writer, function: Conv, items: list[Any]) -> Item:
    return _convolution(writer, "Conv", function, items, LAST)


def _joined_conv(writer: Writer, function: JoinedConv, items: list[Any]) -> Item:
    *images, weight, bias = items
    values = [writer.first(image) for image in images]
    shape = (*values[0].shape[:-1], sum(value.shape[-1] for value in values))
    joined = writer.node("Concat", [value.name for value in values], shape, LAST, axis=1)
    return _convolution(writer, "Conv", function, [joined, weight, bias], LAST)


def _conv_transpose(writer: Writer, function: ConvTranspose, items: list[Any]) -> Item:
    layout = Layout("transposed", function.groups)
    extra = {"output_padding": list(function.output_padding)}
    return _convolution(writer, "ConvTranspose", function, items, layout, **extra)


EXPORTERS = {Conv: _conv, ConvTranspose: _conv_transpose, JoinedConv: _joined_conv}
