"""Convolution and transposed convolution."""

from __future__ import annotations

from typing import Any

from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.layout import LAST, Layout, Value
from voxelgrad.interop.onnx.operators.spatial import (
    check_kernel,
    check_rank,
    per_axis,
    resolve_padding,
)
from voxelgrad.interop.spatial import CONVOLUTIONS, Pairs, enlarged


def _conv(call: Call) -> Value:
    input = call.image()
    weight = call.tensor(1, LAST)
    rank = check_rank(input)
    kernel = check_kernel(call, weight.shape[1:-1])
    strides, dilations = per_axis(call, "strides", rank), per_axis(call, "dilations", rank)
    padding = resolve_padding(call, input.shape[1:-1], kernel, strides, dilations)
    groups = int(call.attribute("group", 1))
    output = CONVOLUTIONS[rank](
        input, weight, call.optional(2), strides, padding, dilations, groups
    )
    return Value(output, LAST)


def _conv_transpose(call: Call) -> Value:
    input = call.image()
    rank, groups = check_rank(input), int(call.attribute("group", 1))
    if groups < 1 or input.shape[-1] % groups:
        raise ValueError(f"group is {groups}; it must divide the {input.shape[-1]} channels")
    weight = call.tensor(1, Layout("transposed", groups))
    kernel = check_kernel(call, weight.shape[1:-1])
    strides, dilations = per_axis(call, "strides", rank), per_axis(call, "dilations", rank)
    extra = per_axis(call, "output_padding", rank, default=0, least=0)
    full = [
        s * (n - 1) + d * (k - 1) + 1 + e
        for n, k, s, d, e in zip(input.shape[1:-1], kernel, strides, dilations, extra, strict=True)
    ]
    call.check_growth([input.shape[0], *full, weight.shape[0]])
    cut = _cut(call, input.shape[1:-1], full, strides)
    settings = (strides, dilations, groups)
    output = enlarged(rank, input, weight, call.optional(2), settings, extra, cut)
    return Value(output, LAST)


def _cut(call: Call, size: Any, full: list[int], strides: tuple[int, ...]) -> Pairs:
    """Return how much is cut from both ends of the full output; below 0: how much is added."""
    wanted = call.attribute("output_shape")
    automatic = call.attribute("auto_pad", "NOTSET")
    if wanted is None and automatic in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(size, strides, strict=True)]
    if wanted is None:
        # Padding of a transposed convolution needs no sizes: VALID is 0, else it is given.
        return resolve_padding(call, size, strides, strides, strides)
    wanted = [int(n) for n in wanted[-len(full) :]]
    if len(wanted) != len(full) or min(wanted) < 1:
        raise ValueError(f"output_shape is {wanted}; it must have {len(full)} positive numbers")
    pairs = []
    for have, want in zip(full, wanted, strict=True):
        total = have - want
        if total < 0:
            pairs.append((0, total))
        elif automatic == "SAME_UPPER":
            pairs.append((total // 2, total - total // 2))
        else:
            pairs.append((total - total // 2, total // 2))
    return tuple(pairs)


OPERATORS: dict[str, Handler] = {"Conv": _conv, "ConvTranspose": _conv_transpose}
