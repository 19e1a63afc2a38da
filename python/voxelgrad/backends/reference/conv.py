"""Convolution and matrix products in plain numpy: a sum over the kernel's offsets.

Every function reads and writes images (N, *spatial, C) with one to three spatial axes and weights
(out_channels, *kernel, in_channels // groups). Inside, channels are split as
(groups, rows, C / groups), so that one batched matrix product serves all groups.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from voxelgrad.backends.reference._common import (
    Array,
    Ints,
    crop_spatial,
    float64,
    pad_spatial,
    taps,
)


def _split(image: Array, groups: int) -> Array:
    """Return ``image`` (N, *spatial, C) as (groups, N * prod(spatial), C / groups)."""
    channels = image.shape[-1]
    rows: Array = float64(image).reshape(-1, groups, channels // groups)
    return np.moveaxis(rows, 1, 0)


def _join(rows: Array, shape: Ints) -> Array:
    """Undo ``_split``: turn (groups, rows, C / groups) into an image of ``shape``."""
    image: Array = rows.transpose(1, 0, 2).reshape(shape)
    return image


def _weight_tap(weight: Array, offset: Ints, groups: int) -> Array:
    """Return the weight at one offset as (groups, out_channels / groups, in_channels / groups)."""
    index: tuple[Any, ...] = (slice(None), *offset)
    tap = float64(weight[index])
    return tap.reshape(groups, -1, tap.shape[-1])


def _sum_rows(grad_output: Array) -> Array:
    """Return the bias gradient (C,): the sum over all axes but the last."""
    result: Array = float64(grad_output).reshape(-1, grad_output.shape[-1]).sum(axis=0)
    return result


def _finished(total: Array, bias: Array | None, slope: float) -> Array:
    """Return ``total`` plus ``bias``, its negative numbers times ``slope``."""
    result = total if bias is None else total + float64(bias)
    if slope == 0.0:  # minus infinity becomes 0, not NaN
        return np.where(result < 0.0, 0.0, result)
    return np.where(result < 0.0, slope * result, result)


def conv_forward(
    input: Array,
    weight: Array,
    bias: Array | None,
    output: Array,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
    slope: float,
) -> None:
    """Write the convolution (cross-correlation) of ``input`` with ``weight``, plus ``bias``.

    Negative results are multiplied by ``slope``: 1 changes nothing, 0 is ReLU.
    """
    padded = pad_spatial(input, padding)
    spatial_out = output.shape[1:-1]
    total = np.zeros(output.shape)
    for offset, window in taps(weight.shape[1:-1], spatial_out, stride, dilation):
        tap = _weight_tap(weight, offset, groups)
        total += _join(_split(padded[window], groups) @ tap.transpose(0, 2, 1), output.shape)
    output[...] = _finished(total, bias, slope)


def conv_backward_data(
    grad_output: Array,
    weight: Array,
    grad_input: Array,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
) -> None:
    """Write the gradient of ``conv_forward`` with respect to its input."""
    padded = pad_spatial(np.zeros(grad_input.shape), padding)
    rows = _split(grad_output, groups)
    for offset, window in taps(weight.shape[1:-1], grad_output.shape[1:-1], stride, dilation):
        tap = _weight_tap(weight, offset, groups)
        padded[window] += _join(rows @ tap, padded[window].shape)
    grad_input[...] = crop_spatial(padded, padding, grad_input.shape[1:-1])


def conv_backward_weight(
    grad_output: Array,
    input: Array,
    grad_weight: Array,
    grad_bias: Array | None,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
) -> None:
    """Write the gradients of ``conv_forward`` for its weight and, if asked, its bias."""
    padded = pad_spatial(input, padding)
    columns = _split(grad_output, groups).transpose(0, 2, 1)
    for offset, window in taps(grad_weight.shape[1:-1], grad_output.shape[1:-1], stride, dilation):
        tap = columns @ _split(padded[window], groups)
        index: tuple[Any, ...] = (slice(None), *offset)
        grad_weight[index] = tap.reshape(-1, tap.shape[-1])
    if grad_bias is not None:
        grad_bias[...] = _sum_rows(grad_output)


def conv_joined_forward(
    inputs: list[Array],
    weight: Array,
    bias: Array | None,
    output: Array,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
    slope: float,
) -> None:
    """Write ``conv_forward`` of ``inputs`` joined along the channels."""
    joined = np.concatenate(inputs, axis=-1)
    conv_forward(joined, weight, bias, output, stride, padding, dilation, groups, slope)


def conv_joined_backward_data(
    grad_output: Array,
    weight: Array,
    grad_inputs: list[Array],
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
) -> None:
    """Write the gradients of ``conv_joined_forward`` with respect to its inputs."""
    joined = np.concatenate(grad_inputs, axis=-1)
    conv_backward_data(grad_output, weight, joined, stride, padding, dilation, groups)
    ends = np.cumsum([grad_input.shape[-1] for grad_input in grad_inputs])
    for grad_input, part in zip(grad_inputs, np.split(joined, ends[:-1], axis=-1), strict=True):
        grad_input[...] = part


def conv_joined_backward_weight(
    grad_output: Array,
    inputs: list[Array],
    grad_weight: Array,
    grad_bias: Array | None,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
) -> None:
    """Write the gradients of ``conv_joined_forward`` for its weight and, if asked, its bias."""
    joined = np.concatenate(inputs, axis=-1)
    conv_backward_weight(
        grad_output, joined, grad_weight, grad_bias, stride, padding, dilation, groups
    )


def conv_transpose_forward(
    input: Array,
    weight: Array,
    bias: Array | None,
    output: Array,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
    slope: float,
) -> None:
    """Write the transposed convolution: each voxel adds its kernel at stride times its place.

    Negative results are multiplied by ``slope``.
    """
    full = pad_spatial(np.zeros(output.shape), padding)
    rows = _split(input, groups)
    for offset, window in taps(weight.shape[1:-1], input.shape[1:-1], stride, dilation):
        tap = _weight_tap(weight, offset, groups)
        full[window] += _join(rows @ tap.transpose(0, 2, 1), full[window].shape)
    total = crop_spatial(full, padding, output.shape[1:-1])
    output[...] = _finished(total, bias, slope)


def conv_transpose_backward_data(
    grad_output: Array,
    weight: Array,
    grad_input: Array,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
) -> None:
    """Write the gradient of ``conv_transpose_forward`` with respect to its input."""
    full = pad_spatial(grad_output, padding)
    total = np.zeros(grad_input.shape)
    for offset, window in taps(weight.shape[1:-1], grad_input.shape[1:-1], stride, dilation):
        tap = _weight_tap(weight, offset, groups)
        total += _join(_split(full[window], groups) @ tap, grad_input.shape)
    grad_input[...] = total


def conv_transpose_backward_weight(
    grad_output: Array,
    input: Array,
    grad_weight: Array,
    grad_bias: Array | None,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
) -> None:
    """Write the gradients of ``conv_transpose_forward`` for its weight and, if asked, its bias."""
    full = pad_spatial(grad_output, padding)
    rows = _split(input, groups)
    for offset, window in taps(grad_weight.shape[1:-1], input.shape[1:-1], stride, dilation):
        tap = _split(full[window], groups).transpose(0, 2, 1) @ rows
        index: tuple[Any, ...] = (slice(None), *offset)
        grad_weight[index] = tap.reshape(-1, tap.shape[-1])
    if grad_bias is not None:
        grad_bias[...] = _sum_rows(grad_output)


def linear_forward(
    input: Array, weight: Array, bias: Array | None, output: Array, slope: float
) -> None:
    """Write ``input @ weight.T + bias``: (M, K), (N, K), (N,) to (M, N).

    Negative results are multiplied by ``slope``.
    """
    total = float64(input) @ float64(weight).T
    output[...] = _finished(total, bias, slope)


def linear_backward_data(grad_output: Array, weight: Array, grad_input: Array) -> None:
    """Write ``grad_output @ weight``: (M, N), (N, K) to (M, K)."""
    grad_input[...] = float64(grad_output) @ float64(weight)


def linear_backward_weight(
    grad_output: Array, input: Array, grad_weight: Array, grad_bias: Array | None
) -> None:
    """Write ``grad_output.T @ input`` (N, K) and, if asked, the column sums (N,)."""
    grad_weight[...] = float64(grad_output).T @ float64(input)
    if grad_bias is not None:
        grad_bias[...] = _sum_rows(grad_output)


def matmul_forward(a: Array, b: Array, output: Array) -> None:
    """Write ``a @ b``: (..., M, K), (..., K, N) to (..., M, N), the leading axes broadcast."""
    output[...] = float64(a) @ float64(b)


def matmul_backward_a(grad_output: Array, b: Array, grad_a: Array) -> None:
    """Write ``grad_output @ b.T`` of every matrix: (..., M, N), (..., K, N) to (..., M, K)."""
    grad_a[...] = float64(grad_output) @ float64(b).swapaxes(-1, -2)


def matmul_backward_b(grad_output: Array, a: Array, grad_b: Array) -> None:
    """Write ``a.T @ grad_output`` of every matrix: (..., M, N), (..., M, K) to (..., K, N)."""
    grad_b[...] = float64(a).swapaxes(-1, -2) @ float64(grad_output)
