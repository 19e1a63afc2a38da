"""Checks of a convolution's arguments, and the shape of its output.

Both functions are cached: a training step meets the same shapes again and again.
"""

from __future__ import annotations

from functools import lru_cache

from voxelgrad.ops._arguments import LAYOUTS, Shape, check_images, check_minimum

WEIGHTS = {
    1: "(out_channels, K, in_channels // groups)",
    2: "(out_channels, KH, KW, in_channels // groups)",
    3: "(out_channels, KD, KH, KW, in_channels // groups)",
}


def _check_conv(
    op: str,
    rank: int,
    input_shape: Shape,
    weight_shape: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    groups: int,
) -> None:
    check_minimum(op, "stride", stride, 1)
    check_minimum(op, "padding", padding, 0)
    check_minimum(op, "dilation", dilation, 1)
    check_minimum(op, "groups", (groups,), 1)
    check_images(op, input_shape, rank)
    layout = WEIGHTS[rank]
    if len(weight_shape) != rank + 2 or 0 in weight_shape:
        raise ValueError(
            f"{op}: weight has shape {weight_shape}; it must have {rank + 2} axes of length 1 or "
            f"more: {layout}"
        )
    channels, expected = input_shape[-1], weight_shape[-1] * groups
    if channels != expected:
        raise ValueError(
            f"{op}: input has {channels} channels (shape {input_shape}) but weight expects "
            f"{expected} (weight shape {weight_shape}, groups={groups}); images are "
            f"{LAYOUTS[rank]} and weights {layout}, so make the last axis of input {expected} "
            f"long or give weight a last axis of in_channels // groups"
        )
    if weight_shape[0] % groups:
        raise ValueError(
            f"{op}: weight has {weight_shape[0]} output channels (weight shape {weight_shape}), "
            f"which groups={groups} does not divide; out_channels must be a multiple of groups"
        )


@lru_cache(maxsize=4096)
def conv_shape(
    op: str,
    rank: int,
    input_shape: Shape,
    weight_shape: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    groups: int,
) -> Shape:
    """Check a convolution and return its output's shape."""
    _check_conv(op, rank, input_shape, weight_shape, stride, padding, dilation, groups)
    spatial, kernel = input_shape[1:-1], weight_shape[1:-1]
    sizes = []
    for size, k, s, p, d in zip(spatial, kernel, stride, padding, dilation, strict=True):
        extent = d * (k - 1) + 1
        if extent > size + 2 * p:
            raise ValueError(
                f"{op}: the kernel is larger than the padded input: kernel {kernel} with dilation "
                f"{dilation} reaches over {extent} elements of an axis of {size} + 2 * {p} (input "
                f"shape {input_shape}, padding {padding}); use a smaller kernel or more padding"
            )
        sizes.append((size + 2 * p - extent) // s + 1)
    return (input_shape[0], *sizes, weight_shape[0])


def joined_shape(op: str, rank: int, shapes: list[Shape]) -> Shape:
    """Check images that are joined along the channels, and return the shape of the joined one."""
    first = shapes[0]
    check_images(op, first, rank)
    for index, shape in enumerate(shapes):
        if shape[:-1] != first[:-1]:
            raise ValueError(
                f"{op}: input[0] has shape {first} but input[{index}] has shape {shape}; images "
                f"that are joined along the channels (the last axis) must have equal lengths of "
                f"all other axes: crop, pad or resize one of them"
            )
    return (*first[:-1], sum(shape[-1] for shape in shapes))


@lru_cache(maxsize=4096)
def conv_transpose_shape(
    op: str,
    rank: int,
    input_shape: Shape,
    weight_shape: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    groups: int,
    output_padding: Shape,
) -> Shape:
    """Check a transposed convolution and return its output's shape."""
    _check_conv(op, rank, input_shape, weight_shape, stride, padding, dilation, groups)
    check_minimum(op, "output_padding", output_padding, 0)
    sizes = []
    for axis, size in enumerate(input_shape[1:-1]):
        extra, step, spread = output_padding[axis], stride[axis], dilation[axis]
        if extra >= max(step, spread):
            raise ValueError(
                f"{op}: output_padding is {output_padding}; it must be smaller than stride "
                f"{stride} or dilation {dilation}, as it only chooses among the sizes that the "
                f"forward convolution would map to this input"
            )
        reach = spread * (weight_shape[1 + axis] - 1) + 1
        length = (size - 1) * step - 2 * padding[axis] + reach + extra
        if length < 1:
            raise ValueError(
                f"{op}: the output would have length {length} along spatial axis {axis} (input "
                f"shape {input_shape}, kernel {weight_shape[1:-1]}, stride {stride}, padding "
                f"{padding}); use less padding or a larger kernel"
            )
        sizes.append(length)
    return (input_shape[0], *sizes, weight_shape[0])
