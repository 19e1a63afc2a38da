"""The reference backend: every function in plain numpy and float64, slow and obviously right.

It takes float32 arrays too: it computes in float64 and rounds when it writes into the given output.
Nothing else serves as the oracle of the native kernels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxelgrad.backends.reference._common import Array, Ints
from voxelgrad.backends.reference.activation import (
    activation_backward,
    activation_forward,
    clip_backward,
    clip_forward,
)
from voxelgrad.backends.reference.arithmetic import (
    binary_forward,
    broadcast_to,
    fill,
    reduce_sum,
)
from voxelgrad.backends.reference.cast import (
    cast,
)
from voxelgrad.backends.reference.conv import (
    conv_backward_data,
    conv_backward_weight,
    conv_forward,
    conv_joined_backward_data,
    conv_joined_backward_weight,
    conv_joined_forward,
    conv_transpose_backward_data,
    conv_transpose_backward_weight,
    conv_transpose_forward,
    linear_backward_data,
    linear_backward_weight,
    linear_forward,
    matmul_backward_a,
    matmul_backward_b,
    matmul_forward,
)
from voxelgrad.backends.reference.dropout import (
    dropout,
)
from voxelgrad.backends.reference.interpolate import (
    interpolate_backward,
    interpolate_forward,
    resample,
)
from voxelgrad.backends.reference.loss import (
    bce_with_logits_backward,
    bce_with_logits_forward,
    check_probabilities,
    cross_entropy_backward,
    cross_entropy_forward,
    dice_backward,
    dice_coefficients,
    dice_score,
    dice_sums,
    distance_backward,
    distance_forward,
    focal_backward,
    focal_forward,
    mean_of_totals,
)
from voxelgrad.backends.reference.norm import (
    batch_norm_apply,
    batch_norm_backward,
    batch_norm_fold,
    batch_norm_forward,
    batch_norm_statistics,
    batch_norm_update,
    group_norm_apply,
    group_norm_backward,
    group_norm_forward,
)
from voxelgrad.backends.reference.optim import (
    adam_step,
    all_finite,
    scale_inplace,
    sgd_step,
    squared_norm,
)
from voxelgrad.backends.reference.pool import (
    adaptive_avg_pool_backward,
    adaptive_avg_pool_forward,
    avg_pool_backward,
    avg_pool_forward,
    max_pool_backward,
    max_pool_forward,
)
from voxelgrad.backends.reference.shape import (
    concat,
    pad_backward,
    pad_forward,
    slice_forward,
    split,
    transpose,
)
from voxelgrad.backends.reference.softmax import (
    softmax_backward,
    softmax_forward,
)

__all__ = [
    "activation_backward",
    "activation_forward",
    "adam_step",
    "adaptive_avg_pool_backward",
    "adaptive_avg_pool_forward",
    "all_finite",
    "avg_pool_backward",
    "avg_pool_forward",
    "batch_norm_apply",
    "batch_norm_backward",
    "batch_norm_fold",
    "batch_norm_forward",
    "batch_norm_statistics",
    "batch_norm_update",
    "bce_with_logits_backward",
    "bce_with_logits_forward",
    "binary_forward",
    "broadcast_to",
    "cast",
    "check_probabilities",
    "clip_backward",
    "clip_forward",
    "concat",
    "conv_backward_data",
    "conv_backward_weight",
    "conv_forward",
    "conv_joined_backward_data",
    "conv_joined_backward_weight",
    "conv_joined_forward",
    "conv_transpose_backward_data",
    "conv_transpose_backward_weight",
    "conv_transpose_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dice_backward",
    "dice_coefficients",
    "dice_score",
    "dice_sums",
    "distance_backward",
    "distance_forward",
    "dropout",
    "empty",
    "fill",
    "focal_backward",
    "focal_forward",
    "group_norm_apply",
    "group_norm_backward",
    "group_norm_forward",
    "interpolate_backward",
    "interpolate_forward",
    "linear_backward_data",
    "linear_backward_weight",
    "linear_forward",
    "matmul_backward_a",
    "matmul_backward_b",
    "matmul_forward",
    "max_pool_backward",
    "max_pool_forward",
    "mean_of_totals",
    "pad_backward",
    "pad_forward",
    "reduce_sum",
    "resample",
    "scale_inplace",
    "sgd_step",
    "slice_forward",
    "softmax_backward",
    "softmax_forward",
    "split",
    "squared_norm",
    "transpose",
    "zeros",
]


def empty(shape: Ints, dtype: npt.DTypeLike) -> Array:
    """Return an array whose elements are not set."""
    return np.empty(shape, dtype)


def zeros(shape: Ints, dtype: npt.DTypeLike) -> Array:
    """Return an array of zeros."""
    return np.zeros(shape, dtype)
