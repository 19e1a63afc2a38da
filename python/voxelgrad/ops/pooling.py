"""Maximum and average over windows: dense, dilated, padded unevenly, or over everything."""

from __future__ import annotations

import math

from voxelgrad.ops._arguments import IntOrTuple, as_tensor, check_images
from voxelgrad.ops._padding import Padding, pad_spatial
from voxelgrad.ops._window import Window
from voxelgrad.ops.arithmetic import mean
from voxelgrad.ops.interpolate import resample
from voxelgrad.ops.pool import AvgPool, MaxPool
from voxelgrad.ops.shape import crop, transpose
from voxelgrad.tensor import Tensor


def max_pool1d(
    input: Tensor,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: Padding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Maximum over windows of sequences ``(N, L, C)``; see ``max_pool2d``."""
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    input: Tensor,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: Padding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Maximum over windows of images.

    The gradient goes to the first maximum of a window; a NaN counts as the maximum.

    Args:
        input: ``(N, H, W, C)``.
        kernel_size: Extent of the window, an int or one per spatial axis.
        stride: Step of the window; ``None`` means ``kernel_size``.
        padding: Elements that never win added on both sides, at most half the kernel; or a pair
            ``(before, after)`` per spatial axis.
        dilation: Distance between the elements of a window.
        ceil_mode: Whether a last window that reaches beyond the end counts, too, if it begins in
            the input or the padding before it.

    Returns:
        ``(N, OH, OW, C)`` with ``OH = (H + 2 * padding - dilation * (kernel_size - 1) - 1) //
        stride + 1``, rounded up in ``ceil_mode``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d(
    input: Tensor,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: Padding = 0,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Maximum over windows of volumes ``(N, D, H, W, C)``; see ``max_pool2d``."""
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool1d(
    input: Tensor,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Average over windows of sequences ``(N, L, C)``; see ``avg_pool2d``."""
    settings = (kernel_size, stride, padding, count_include_pad, dilation, ceil_mode)
    return _avg_pool("avg_pool1d", 1, input, *settings)


def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Average over windows of images.

    Args:
        input: ``(N, H, W, C)``.
        kernel_size: Extent of the window, an int or one per spatial axis.
        stride: Step of the window; ``None`` means ``kernel_size``.
        padding: Zeros added on both sides, at most half the kernel; or a pair ``(before, after)``
            per spatial axis.
        count_include_pad: Whether the zeros count, or only elements of the input do.
        dilation: Distance between the elements of a window.
        ceil_mode: Whether a last window that reaches beyond the end counts, too, if it begins in
            the input or the padding before it; what lies beyond does not count.

    Returns:
        ``(N, OH, OW, C)`` with ``OH = (H + 2 * padding - dilation * (kernel_size - 1) - 1) //
        stride + 1``, rounded up in ``ceil_mode``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    settings = (kernel_size, stride, padding, count_include_pad, dilation, ceil_mode)
    return _avg_pool("avg_pool2d", 2, input, *settings)


def avg_pool3d(
    input: Tensor,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
    dilation: IntOrTuple = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Average over windows of volumes ``(N, D, H, W, C)``; see ``avg_pool2d``."""
    settings = (kernel_size, stride, padding, count_include_pad, dilation, ceil_mode)
    return _avg_pool("avg_pool3d", 3, input, *settings)


def global_avg_pool(input: Tensor) -> Tensor:
    """Average each channel over all positions.

    Args:
        input: ``(N, *spatial, C)`` with one to three spatial axes.

    Returns:
        ``(N, C)``.

    Raises:
        ValueError: If the input has no spatial axis or an empty one.
    """
    input = as_tensor("global_avg_pool", "input", input)
    rank = min(max(input.ndim - 2, 1), 3)
    check_images("global_avg_pool", input.shape, rank)
    return mean(input, tuple(range(1, rank + 1)))


def global_max_pool(input: Tensor) -> Tensor:
    """Take the maximum of each channel over all positions.

    Args:
        input: ``(N, *spatial, C)`` with one to three spatial axes.

    Returns:
        ``(N, C)``.

    Raises:
        ValueError: If the input has no spatial axis or an empty one.
    """
    input = as_tensor("global_max_pool", "input", input)
    rank = min(max(input.ndim - 2, 1), 3)
    check_images("global_max_pool", input.shape, rank)
    function = MaxPool("global_max_pool", rank, input.shape[1:-1], None, 0)
    return function.apply(input).reshape(input.shape[0], input.shape[-1])


def _max_pool(
    op: str,
    rank: int,
    input: Tensor,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None,
    padding: Padding,
    dilation: IntOrTuple,
    ceil_mode: bool,
) -> Tensor:
    if type(padding) is int and dilation == 1 and not ceil_mode:
        return MaxPool(op, rank, kernel_size, stride, padding).apply(input)
    window = Window(op, rank, kernel_size, stride, padding, dilation, ceil_mode)
    if window.is_plain:
        return MaxPool(op, rank, kernel_size, stride, window.before).apply(input)
    padded = window.padded(input, -math.inf)
    if not window.is_dilated:
        return MaxPool(op, rank, window.kernel_size, window.stride, 0).apply(padded)
    return _dilated_max_pool(window, padded)


def _dilated_max_pool(window: Window, padded: Tensor) -> Tensor:
    """Pool each residue class of positions by itself, put the results together, take every step.

    Positions that are equal modulo the dilation become a batch of smaller images, on which the
    window is dense.
    """
    sizes, dilation, kernel = padded.shape[1:-1], window.dilation, window.kernel_size
    rank, (samples, channels) = window.rank, (padded.shape[0], padded.shape[-1])
    round_up = tuple((0, -n % d) for n, d in zip(sizes, dilation, strict=True))
    padded = pad_spatial(window.op, padded, round_up, -math.inf)
    counts = [n // d for n, d in zip(padded.shape[1:-1], dilation, strict=True)]
    split = [part for pair in zip(counts, dilation, strict=True) for part in pair]
    phases = tuple(range(2, 2 * rank + 1, 2))
    images = tuple(range(1, 2 * rank, 2))
    order = (0, *phases, *images, 2 * rank + 1)
    apart = transpose(padded.reshape(samples, *split, channels), order)
    dense = MaxPool(window.op, rank, kernel, 1, 0).apply(apart.reshape(-1, *counts, channels))
    results = dense.reshape(samples, *dilation, *dense.shape[1:])
    together = [axis for i in range(rank) for axis in (1 + rank + i, 1 + i)]
    lengths = [n * d for n, d in zip(dense.shape[1:-1], dilation, strict=True)]
    every = transpose(results, (0, *together, 2 * rank + 1)).reshape(samples, *lengths, channels)
    kept = [n - d * (k - 1) for n, d, k in zip(sizes, dilation, kernel, strict=True)]
    every = crop(every, (0,) * every.ndim, (samples, *kept, channels))
    return MaxPool(window.op, rank, 1, window.stride, 0).apply(every)


def _avg_pool(
    op: str,
    rank: int,
    input: Tensor,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None,
    padding: Padding,
    count_include_pad: bool,
    dilation: IntOrTuple,
    ceil_mode: bool,
) -> Tensor:
    if type(padding) is int and dilation == 1 and not ceil_mode:
        return AvgPool(op, rank, kernel_size, stride, padding, count_include_pad).apply(input)
    window = Window(op, rank, kernel_size, stride, padding, dilation, ceil_mode)
    if window.is_plain:
        function = AvgPool(op, rank, kernel_size, stride, window.before, count_include_pad)
        return function.apply(input)
    tensor = as_tensor(op, "input", input)
    check_images(op, tensor.shape, rank)
    return resample(tensor, window.averaging_taps(tensor.shape[1:-1], count_include_pad))
