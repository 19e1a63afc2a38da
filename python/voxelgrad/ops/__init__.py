"""Everything that computes on tensors; one file a room. Images are ``(N, *spatial, C)``."""

from __future__ import annotations

from voxelgrad.ops.activation import (
    abs,
    elu,
    exp,
    leaky_relu,
    log,
    relu,
    sigmoid,
    softplus,
    sqrt,
    square,
    tanh,
)
from voxelgrad.ops.arithmetic import add, div, mean, mul, sub, sum
from voxelgrad.ops.conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from voxelgrad.ops.linear import linear
from voxelgrad.ops.shape import concat, crop, getitem, pad, reshape, transpose

__all__ = [
    "abs",
    "add",
    "concat",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "crop",
    "div",
    "elu",
    "exp",
    "getitem",
    "leaky_relu",
    "linear",
    "log",
    "mean",
    "mul",
    "pad",
    "relu",
    "reshape",
    "sigmoid",
    "softplus",
    "sqrt",
    "square",
    "sub",
    "sum",
    "tanh",
    "transpose",
]
