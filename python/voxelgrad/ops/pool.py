"""Pooling: maximum and average over windows, adaptive and global averages."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from voxelgrad.autograd import Function
from voxelgrad.ops._arguments import (
    LAYOUTS,
    IntOrTuple,
    Shape,
    as_ints,
    as_tensor,
    check_images,
    check_minimum,
)
from voxelgrad.ops._padding import Padding, pad_spatial
from voxelgrad.ops._window import Window
from voxelgrad.ops.arithmetic import mean, mul
from voxelgrad.ops.conv import Conv
from voxelgrad.ops.shape import crop, transpose
from voxelgrad.tensor import Array, Tensor


class _Pool(Function):
    """Settings and checks that maximum and average pooling share."""

    __slots__ = ("input_shape", "kernel_size", "op", "output_shape", "padding", "rank", "stride")
    op: str

    def __init__(
        self,
        op: str,
        rank: int,
        kernel_size: IntOrTuple,
        stride: IntOrTuple | None,
        padding: IntOrTuple,
    ) -> None:
        self.op = op
        self.rank = rank
        self.kernel_size = as_ints(op, "kernel_size", kernel_size, rank)
        self.stride = self.kernel_size if stride is None else as_ints(op, "stride", stride, rank)
        self.padding = as_ints(op, "padding", padding, rank)

    def check(self, input: Array) -> None:
        self.input_shape = input.shape
        self.output_shape = _pool_shape(
            self.op, self.rank, input.shape, self.kernel_size, self.stride, self.padding
        )


class MaxPool(_Pool):
    """Maximum over windows; remembers where it was, not the input."""

    __slots__ = ()

    def forward(self, input: Array) -> Array:
        empty = self.backend.empty
        output: Array = empty(self.output_shape, input.dtype)
        small = math.prod(self.kernel_size) <= 256
        indices = empty(self.output_shape, np.uint8 if small else np.int32)
        self.backend.max_pool_forward(
            input, output, indices, self.kernel_size, self.stride, self.padding
        )
        self.saved = (indices,)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        grad_input = self.backend.empty(self.input_shape, grad_output.dtype)
        self.backend.max_pool_backward(
            grad_output, self.saved[0], grad_input, self.kernel_size, self.stride, self.padding
        )
        return (grad_input,)


class AvgPool(_Pool):
    """Average over windows."""

    __slots__ = ("count_include_pad",)

    def __init__(
        self,
        op: str,
        rank: int,
        kernel_size: IntOrTuple,
        stride: IntOrTuple | None,
        padding: IntOrTuple,
        count_include_pad: bool,
    ) -> None:
        super().__init__(op, rank, kernel_size, stride, padding)
        self.count_include_pad = bool(count_include_pad)

    def _settings(self) -> tuple[Shape, Shape, Shape, bool]:
        return self.kernel_size, self.stride, self.padding, self.count_include_pad

    def forward(self, input: Array) -> Array:
        output: Array = self.backend.empty(self.output_shape, input.dtype)
        self.backend.avg_pool_forward(input, output, *self._settings())
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        grad_input = self.backend.empty(self.input_shape, grad_output.dtype)
        self.backend.avg_pool_backward(grad_output, grad_input, *self._settings())
        return (grad_input,)


class AdaptiveAvgPool(Function):
    """Average over windows chosen so that the output has a given size."""

    __slots__ = ("input_shape", "op", "output_size", "rank")
    op: str

    def __init__(self, op: str, rank: int, output_size: IntOrTuple) -> None:
        self.op = op
        self.rank = rank
        self.output_size = as_ints(op, "output_size", output_size, rank)
        check_minimum(op, "output_size", self.output_size, 1)

    def check(self, input: Array) -> None:
        check_images(self.op, input.shape, self.rank)
        self.input_shape = input.shape

    def forward(self, input: Array) -> Array:
        shape = (input.shape[0], *self.output_size, input.shape[-1])
        output: Array = self.backend.empty(shape, input.dtype)
        self.backend.adaptive_avg_pool_forward(input, output)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        grad_input = self.backend.empty(self.input_shape, grad_output.dtype)
        self.backend.adaptive_avg_pool_backward(grad_output, grad_input)
        return (grad_input,)


@lru_cache(maxsize=4096)
def _pool_shape(
    op: str, rank: int, input_shape: Shape, kernel_size: Shape, stride: Shape, padding: Shape
) -> Shape:
    """Check a pooling and return its output's shape (cached: the same shapes come every step)."""
    check_minimum(op, "kernel_size", kernel_size, 1)
    check_minimum(op, "stride", stride, 1)
    check_minimum(op, "padding", padding, 0)
    check_images(op, input_shape, rank)
    sizes = []
    for size, k, s, p in zip(input_shape[1:-1], kernel_size, stride, padding, strict=True):
        if 2 * p > k:
            raise ValueError(
                f"{op}: padding is {padding} for kernel_size {kernel_size}; it must be at most "
                f"half the kernel, so that no window lies outside the input"
            )
        if k > size + 2 * p:
            raise ValueError(
                f"{op}: the kernel is larger than the padded input: kernel_size {kernel_size}, "
                f"padding {padding}, input shape {input_shape} as {LAYOUTS[rank]}; use a smaller "
                f"kernel or a larger input"
            )
        sizes.append((size + 2 * p - k) // s + 1)
    return (input_shape[0], *sizes, input_shape[-1])


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


def adaptive_avg_pool1d(input: Tensor, output_size: IntOrTuple) -> Tensor:
    """Average sequences ``(N, L, C)`` down to a given length; see ``adaptive_avg_pool2d``."""
    return AdaptiveAvgPool("adaptive_avg_pool1d", 1, output_size).apply(input)


def adaptive_avg_pool2d(input: Tensor, output_size: IntOrTuple) -> Tensor:
    """Average images down to a given size, whatever size they have.

    Args:
        input: ``(N, H, W, C)``.
        output_size: Spatial size of the output, an int or one per spatial axis. Window ``i`` of
            ``n`` along ``H`` goes from ``floor(i * H / n)`` to ``ceil((i + 1) * H / n)``.

    Returns:
        ``(N, *output_size, C)``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    return AdaptiveAvgPool("adaptive_avg_pool2d", 2, output_size).apply(input)


def adaptive_avg_pool3d(input: Tensor, output_size: IntOrTuple) -> Tensor:
    """Average volumes ``(N, D, H, W, C)`` down to a given size; see ``adaptive_avg_pool2d``."""
    return AdaptiveAvgPool("adaptive_avg_pool3d", 3, output_size).apply(input)


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
    padded = window.padded(input, 0.0)
    counts = window.counts(input.shape[1:-1], count_include_pad)
    if window.is_dilated:
        sums = _dilated_sums(window, padded)
        return mul(sums, (1.0 / counts).astype(padded.dtype))
    means = AvgPool(op, rank, window.kernel_size, window.stride, 0, True).apply(padded)
    return mul(means, (math.prod(window.kernel_size) / counts).astype(padded.dtype))


def _dilated_sums(window: Window, padded: Tensor) -> Tensor:
    """Sum each window by a depthwise convolution with ones."""
    channels = padded.shape[-1]
    ones = np.ones((channels, *window.kernel_size, 1), padded.dtype)
    settings = (window.stride, 0, window.dilation, channels)
    return Conv(window.op, window.rank, *settings).apply(padded, Tensor(ones), None)
