"""Everything that computes on tensors; one file a room. Images are ``(N, *spatial, C)``."""

from __future__ import annotations

from voxelgrad.ops.activation import (
    abs,
    clip,
    elu,
    exp,
    leaky_relu,
    log,
    prelu,
    relu,
    sigmoid,
    softplus,
    sqrt,
    square,
    tanh,
)
from voxelgrad.ops.arithmetic import (
    add,
    div,
    mean,
    mul,
    sub,
    sum,
)
from voxelgrad.ops.cast import (
    cast,
)
from voxelgrad.ops.conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from voxelgrad.ops.device import (
    to_device,
)
from voxelgrad.ops.dice import (
    dice_ce_loss,
    dice_loss,
)
from voxelgrad.ops.dropout import (
    dropout,
)
from voxelgrad.ops.index import (
    getitem,
)
from voxelgrad.ops.interpolate import (
    interpolate,
    resample,
)
from voxelgrad.ops.linear import (
    linear,
    matmul,
)
from voxelgrad.ops.loss import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    focal_loss,
    l1_loss,
    mse_loss,
)
from voxelgrad.ops.norm import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
)
from voxelgrad.ops.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from voxelgrad.ops.pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    global_avg_pool,
    global_max_pool,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from voxelgrad.ops.shape import (
    concat,
    crop,
    pad,
    reshape,
    transpose,
)
from voxelgrad.ops.softmax import (
    log_softmax,
    softmax,
)

__all__ = [
    "abs",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "add",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "cast",
    "clip",
    "concat",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "crop",
    "cross_entropy",
    "dice_ce_loss",
    "dice_loss",
    "div",
    "dropout",
    "elu",
    "exp",
    "focal_loss",
    "getitem",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "instance_norm",
    "interpolate",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log",
    "log_softmax",
    "matmul",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mean",
    "mse_loss",
    "mul",
    "pad",
    "prelu",
    "relu",
    "resample",
    "reshape",
    "sigmoid",
    "softmax",
    "softplus",
    "sqrt",
    "square",
    "sub",
    "sum",
    "tanh",
    "to_device",
    "transpose",
]
