"""Pooling over dense windows with even padding, and adaptive averages."""

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
    check_images,
    check_minimum,
)
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
