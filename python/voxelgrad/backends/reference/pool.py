"""Maximum, average and adaptive average pooling of images (N, *spatial, C) in plain numpy."""

from __future__ import annotations

import math

import numpy as np

from voxelgrad.backends.reference._common import (
    Array,
    Ints,
    apply_along_spatial,
    crop_spatial,
    float64,
    pad_spatial,
    taps,
)


def max_pool_forward(
    input: Array,
    output: Array,
    indices: Array,
    kernel_size: Ints,
    stride: Ints,
    padding: Ints,
) -> None:
    """Write the maximum of each window and its position in the window (row-major).

    The first maximum wins, the first NaN wins over every number; padding never wins.
    """
    padded = pad_spatial(input, padding)
    inside = pad_spatial(np.ones(input.shape), padding) == 1
    best = np.zeros(output.shape)
    position = np.full(output.shape, -1)
    dilation = (1,) * len(kernel_size)
    windows = taps(kernel_size, output.shape[1:-1], stride, dilation)
    for place, (_, window) in enumerate(windows):
        value = padded[window]
        is_first = position < 0
        is_greater = (value > best) | (np.isnan(value) & ~np.isnan(best))
        wins = inside[window] & (is_first | is_greater)
        best = np.where(wins, value, best)
        position = np.where(wins, place, position)
    output[...] = best
    indices[...] = position


def max_pool_backward(
    grad_output: Array,
    indices: Array,
    grad_input: Array,
    kernel_size: Ints,
    stride: Ints,
    padding: Ints,
) -> None:
    """Add each gradient to the voxel whose value was the maximum of the window."""
    padded = pad_spatial(np.zeros(grad_input.shape), padding)
    dilation = (1,) * len(kernel_size)
    windows = taps(kernel_size, grad_output.shape[1:-1], stride, dilation)
    for place, (_, window) in enumerate(windows):
        padded[window] += np.where(indices == place, float64(grad_output), 0.0)
    grad_input[...] = crop_spatial(padded, padding, grad_input.shape[1:-1])


def _divisor(
    spatial_in: Ints,
    spatial_out: Ints,
    kernel_size: Ints,
    stride: Ints,
    padding: Ints,
    count_include_pad: bool,
) -> Array:
    """Return by what the sum of each window is divided: an array (1, *spatial_out, 1)."""
    shape = (1, *spatial_out, 1)
    if count_include_pad:
        return np.full(shape, float(math.prod(kernel_size)))
    inside = pad_spatial(np.ones((1, *spatial_in, 1)), padding)
    count = np.zeros(shape)
    for _, window in taps(kernel_size, spatial_out, stride, (1,) * len(kernel_size)):
        count += inside[window]
    return count


def avg_pool_forward(
    input: Array,
    output: Array,
    kernel_size: Ints,
    stride: Ints,
    padding: Ints,
    count_include_pad: bool,
) -> None:
    """Write the mean of each window; ``count_include_pad`` says whether padded zeros count."""
    padded = pad_spatial(input, padding)
    spatial_out = output.shape[1:-1]
    total = np.zeros(output.shape)
    for _, window in taps(kernel_size, spatial_out, stride, (1,) * len(kernel_size)):
        total += padded[window]
    output[...] = total / _divisor(
        input.shape[1:-1], spatial_out, kernel_size, stride, padding, count_include_pad
    )


def avg_pool_backward(
    grad_output: Array,
    grad_input: Array,
    kernel_size: Ints,
    stride: Ints,
    padding: Ints,
    count_include_pad: bool,
) -> None:
    """Spread each gradient evenly over the voxels of its window."""
    padded = pad_spatial(np.zeros(grad_input.shape), padding)
    spatial_out = grad_output.shape[1:-1]
    share = float64(grad_output) / _divisor(
        grad_input.shape[1:-1], spatial_out, kernel_size, stride, padding, count_include_pad
    )
    for _, window in taps(kernel_size, spatial_out, stride, (1,) * len(kernel_size)):
        padded[window] += share
    grad_input[...] = crop_spatial(padded, padding, grad_input.shape[1:-1])


def _averaging_matrix(size_out: int, size_in: int) -> Array:
    """Return (size_out, size_in): row i averages floor(i*in/out) .. ceil((i+1)*in/out)."""
    matrix = np.zeros((size_out, size_in))
    for i in range(size_out):
        start, stop = i * size_in // size_out, -(-(i + 1) * size_in // size_out)
        matrix[i, start:stop] = 1.0 / (stop - start)
    return matrix


def _averaging_matrices(spatial_out: Ints, spatial_in: Ints) -> list[Array]:
    return [_averaging_matrix(o, i) for o, i in zip(spatial_out, spatial_in, strict=True)]


def adaptive_avg_pool_forward(input: Array, output: Array) -> None:
    """Write the means of the windows that cut ``input`` into the extents of ``output``.

    The mean over a box is the mean of means along its axes, so each axis has a matrix of its own.
    """
    output[...] = apply_along_spatial(
        input, _averaging_matrices(output.shape[1:-1], input.shape[1:-1])
    )


def adaptive_avg_pool_backward(grad_output: Array, grad_input: Array) -> None:
    """Write the gradient of ``adaptive_avg_pool_forward``: the transposed matrices."""
    matrices = _averaging_matrices(grad_output.shape[1:-1], grad_input.shape[1:-1])
    grad_input[...] = apply_along_spatial(grad_output, [matrix.T for matrix in matrices])
