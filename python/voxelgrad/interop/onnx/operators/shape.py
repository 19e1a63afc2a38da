"""Moving elements: reshape, transpose, concat, pad, slice, split."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler, one_of
from voxelgrad.interop.onnx.layout import LAST, PLAIN, Value, same_format
from voxelgrad.tensor import Tensor

_MOST_SLICES = 4096
_PAD_MODES = ("constant", "reflect", "edge", "wrap")


def reshaped(value: Value, shape: tuple[int, ...]) -> Value:
    """Return ``value`` in another shape, in ONNX's order of elements."""
    if not value.is_float:
        return Value(value.array().reshape(shape))
    return Value(value.tensor().reshape(shape))


def _reshape(call: Call) -> Value:
    value, wanted = call.value(0), call.ints(1, "shape")
    if wanted is None:
        raise ValueError("the new shape is missing")
    if not call.attribute("allowzero", 0):
        if any(n == 0 and i >= value.ndim for i, n in enumerate(wanted)):
            raise ValueError(f"shape {wanted} copies an axis that the input {value.shape} lacks")
        wanted = [value.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    return reshaped(value, tuple(wanted))


def _flatten(call: Call) -> Value:
    value = call.value(0)
    axis = int(call.attribute("axis", 1))
    axis = axis if axis == value.ndim else call.axis(axis, value.ndim)
    rows = math.prod(value.shape[:axis])
    return reshaped(value, (rows, math.prod(value.shape[axis:])))


def _transpose(call: Call) -> Value:
    """Reorder the axes; to channels last and back only the layout changes, not the memory."""
    value = call.value(0)
    order = tuple(int(i) for i in call.attribute("perm", range(value.ndim)[::-1]))
    if sorted(order) != list(range(value.ndim)):
        raise ValueError(f"perm is {list(order)}; it must reorder the {value.ndim} axes")
    if not value.is_float:
        return Value(np.ascontiguousarray(value.array().transpose(order)))
    to_last = LAST.axes(value.ndim)
    if value.ndim > 2 and value.layout == LAST and order == to_last:
        return Value(value.tensor(LAST))
    if value.ndim > 2 and value.layout == PLAIN and tuple(np.argsort(to_last)) == order:
        return Value(value.tensor(), LAST)
    return Value(ops.transpose(value.tensor(), order))


def _concat(call: Call) -> Value:
    values = [call.value(i) for i in range(len(call.inputs))]
    ndim = values[0].ndim
    axis = call.axis(call.attribute("axis", 1), ndim)
    if not any(value.is_float for value in values):
        return Value(np.concatenate([value.array() for value in values], axis))
    layout = LAST if any(value.layout == LAST for value in values) else PLAIN
    place = layout.axes(ndim).index(axis)
    tensors = same_format(*(value.tensor(layout) for value in values))
    return Value(ops.concat(tensors, place), layout)


def _pad(call: Call) -> Value:
    value = call.value(0)
    mode = one_of("mode", call.attribute("mode", "constant"), _PAD_MODES)
    pads = call.ints(1, "pads")
    listed = call.ints(3)
    axes = range(value.ndim) if listed is None else [call.axis(a, value.ndim) for a in listed]
    if pads is None or len(pads) != 2 * len(axes):
        raise ValueError(f"pads is {pads}; it must have two numbers for each of {len(axes)} axes")
    widths = [(0, 0)] * value.ndim
    for position, axis in enumerate(axes):
        widths[axis] = (pads[position], pads[len(axes) + position])
    call.check_growth([n + b + a for n, (b, a) in zip(value.shape, widths, strict=True)])
    fill = call.number(2, "value", 0.0)
    if not value.is_float:
        if min(map(min, widths)) < 0:
            raise ValueError(f"pads is {pads}; integers can be padded, not cut")
        options: dict[str, Any] = {"constant_values": int(fill)} if mode == "constant" else {}
        return Value(np.pad(value.array(), widths, mode=mode, **options))  # type: ignore[call-overload]
    stored = [widths[axis] for axis in value.layout.axes(value.ndim)]
    return Value(_padded(value.tensor(value.layout), stored, mode, fill), value.layout)


def _padded(input: Tensor, widths: list[tuple[int, int]], mode: str, fill: float) -> Tensor:
    """Cut where widths are negative, then pad."""
    if min(map(min, widths)) < 0:
        start = [max(0, -before) for before, _ in widths]
        size = [
            n + min(0, before) + min(0, after)
            for n, (before, after) in zip(input.shape, widths, strict=True)
        ]
        input = ops.crop(input, start, size)
    return ops.pad(input, [(max(0, b), max(0, a)) for b, a in widths], mode, fill)


def _squeeze(call: Call) -> Value:
    value, listed = call.value(0), call.ints(1, "axes")
    if listed is None:
        axes = {i for i, n in enumerate(value.shape) if n == 1}
    else:
        axes = {call.axis(a, value.ndim) for a in listed}
    if any(value.shape[a] != 1 for a in axes):
        raise ValueError(f"axes are {sorted(axes)}, but the input has shape {value.shape}")
    return reshaped(value, tuple(n for i, n in enumerate(value.shape) if i not in axes))


def _unsqueeze(call: Call) -> Value:
    value, listed = call.value(0), call.ints(1, "axes") or []
    ndim = value.ndim + len(listed)
    axes = {call.axis(a, ndim) for a in listed}
    lengths = iter(value.shape)
    return reshaped(value, tuple(1 if i in axes else next(lengths) for i in range(ndim)))


def _slice(call: Call) -> Value:
    value = call.value(0)
    starts, ends = call.ints(1, "starts"), call.ints(2, "ends")
    if starts is None or ends is None or len(starts) != len(ends):
        raise ValueError(f"starts are {starts} and ends {ends}; they must be equally many")
    axes = call.ints(3, "axes") or list(range(len(starts)))
    steps = call.ints(4) or [1] * len(starts)
    keys = [slice(None)] * value.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        keys[call.axis(axis, value.ndim)] = slice(start, end, step)
    if not value.is_float:
        return Value(np.ascontiguousarray(value.array()[tuple(keys)]))
    for axis, key in enumerate(keys):
        if key.step not in (None, 1):
            places = list(range(value.shape[axis]))[key]
            value, keys[axis] = taken(value, axis, places), slice(None)
    stored = tuple(keys[axis] for axis in value.layout.axes(value.ndim))
    return Value(ops.getitem(value.tensor(value.layout), stored), value.layout)


def taken(value: Value, axis: int, places: list[int]) -> Value:
    """Return the elements at ``places`` along an axis of a tensor, joined from slices."""
    if len(places) > _MOST_SLICES:
        raise ValueError(
            f"{len(places)} elements are picked one by one; at most {_MOST_SLICES} can be"
        )
    place = value.layout.axes(value.ndim).index(axis)
    tensor = value.tensor(value.layout)
    if not places:
        return Value(tensor[(slice(None),) * place + (slice(0, 0),)], value.layout)
    parts = [tensor[(slice(None),) * place + (slice(i, i + 1),)] for i in places]
    return Value(ops.concat(parts, place), value.layout)


def _split(call: Call) -> tuple[Value, ...]:
    value = call.value(0)
    axis, parts = call.axis(call.attribute("axis", 0), value.ndim), len(call.node.outputs)
    length = value.shape[axis]
    share = -(-length // int(call.attribute("num_outputs", parts)))
    default = [min(share, length - share * i) for i in range(parts)]
    sizes = call.ints(1, "split") or default
    if len(sizes) != parts or sum(sizes) != length or min(sizes) < 0:
        raise ValueError(f"split is {sizes}; it must cut {length} elements into {parts} parts")
    place = value.layout.axes(value.ndim).index(axis)
    data = value.data if value.is_float else value.array()
    results, first = [], 0
    for size in sizes:
        key = (slice(None),) * place + (slice(first, first + size),)
        part = data[key]
        results.append(Value(part if value.is_float else np.ascontiguousarray(part), value.layout))
        first += size
    return tuple(results)


def _expand(call: Call) -> Value:
    value, wanted = call.value(0), call.ints(1)
    if wanted is None:
        raise ValueError("the new shape is missing")
    call.check_growth(wanted)
    shape = np.broadcast_shapes(value.shape, tuple(wanted))
    if not value.is_float:
        return Value(np.ascontiguousarray(np.broadcast_to(value.array(), shape)))
    return value if shape == value.shape else Value(expanded(value.tensor(), shape))


def expanded(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return ``tensor`` repeated to ``shape``, as broadcasting does."""
    return tensor if tensor.shape == shape else tensor + Tensor(np.zeros(shape, tensor.dtype))


OPERATORS: dict[str, Handler] = {
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
