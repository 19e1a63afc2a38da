"""Moving elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxelgrad.interop.onnx.exporters.writer import Item, Writer
from voxelgrad.interop.onnx.layout import LAST, PLAIN
from voxelgrad.ops.shape import Concat, Crop, Pad, Reshape, Transpose


def _reshape(writer: Writer, function: Reshape, items: list[Any]) -> Item:
    """Write a reshape that keeps the batch open; the lengths of other axes are fixed."""
    item = items[0]
    target = _resolved(function.output_shape, item.shape)
    if _is_flatten(item, target):
        return writer.node("Flatten", [item.name], target, axis=1)
    value = writer.plain(item)
    keeps_batch = len(target) > 1 and item.ndim > 0 and target[0] == item.shape[0]
    lengths = list(target)
    if keeps_batch:
        lengths[0] = 0
    else:
        writer.batch_is_fixed = True
    writer.size_is_fixed |= item.ndim > 2
    return writer.node("Reshape", [value.name, writer.integers(lengths)], target)


def _resolved(wanted: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that is meant, -1 replaced."""
    known = int(np.prod([n for n in wanted if n != -1]))
    return tuple(int(np.prod(shape)) // max(1, known) if n == -1 else n for n in wanted)


def _is_flatten(item: Item, target: tuple[int, ...]) -> bool:
    """Return whether pixels of an image of one pixel become rows: then no axis must move."""
    pixels = item.shape[1:-1]
    return item.layout == LAST and max(pixels) == 1 and target == (item.shape[0], item.shape[-1])


def _transpose(writer: Writer, function: Transpose, items: list[Any]) -> Item:
    item = items[0]
    value = writer.plain(item) if item.array is not None else item
    shape = tuple(item.shape[axis] for axis in function.axes)
    perm = [value.axis(axis) for axis in function.axes]
    if function.axes[0] != 0:
        writer.batch_is_fixed = True
    return writer.node("Transpose", [value.name], shape, PLAIN, perm=perm)


def _concat(writer: Writer, function: Concat, items: list[Any]) -> Item:
    first = any(item.layout == LAST for item in items)
    values = [writer.first(item) if first else writer.plain(item) for item in items]
    axis = values[0].axis(function.axis)
    names = [value.name for value in values]
    return writer.node("Concat", names, function.output_shape, values[0].layout, axis=axis)


def _pad(writer: Writer, function: Pad, items: list[Any]) -> Item:
    item = items[0]
    value = writer.plain(item) if item.array is not None else item
    order = [value.axis(axis) for axis in range(item.ndim)]
    pairs = [function.pad_width[order.index(i)] for i in range(item.ndim)]
    pads = writer.integers([before for before, _ in pairs] + [after for _, after in pairs])
    names = [value.name, pads]
    if function.mode == "constant":
        dtype = np.float64 if function.backend.__name__.endswith("reference") else np.float32
        names.append(writer.constant(np.asarray(function.value, dtype)))
    return writer.node("Pad", names, function.output_shape, value.layout, mode=function.mode)


def _crop(writer: Writer, function: Crop, items: list[Any]) -> Item:
    item = items[0]
    value = writer.plain(item) if item.array is not None else item
    cut = [i for i, n in enumerate(item.shape) if function.size[i] != n]
    if not cut:
        return value
    writer.batch_is_fixed |= 0 in cut
    writer.size_is_fixed |= any(0 < axis < item.ndim - 1 for axis in cut)
    starts = [function.start[axis] for axis in cut]
    ends = [function.start[axis] + function.size[axis] for axis in cut]
    axes = [value.axis(axis) for axis in cut]
    names = [value.name, *(writer.integers(values) for values in (starts, ends, axes))]
    return writer.node("Slice", names, function.size, value.layout)


EXPORTERS = {
    Concat: _concat,
    Crop: _crop,
    Pad: _pad,
    Reshape: _reshape,
    Transpose: _transpose,
}
