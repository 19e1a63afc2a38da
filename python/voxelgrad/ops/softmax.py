"""Softmax and its logarithm."""

from __future__ import annotations

from typing import Any

from voxelgrad.ops._arguments import as_axis, as_tensor
from voxelgrad.ops.cast import Widened
from voxelgrad.ops.shape import transpose
from voxelgrad.tensor import Array, Tensor


class Softmax(Widened):
    """``exp(x - log_sum_exp(x))`` over the last axis, or the logarithm of it."""

    __slots__ = ("log", "op")
    op: str

    def __init__(self, log: bool) -> None:
        self.log = log
        self.op = "log_softmax" if log else "softmax"

    def check(self, input: Array) -> None:
        if input.shape[-1] == 0:
            raise ValueError(f"{self.op}: input has shape {input.shape}; the axis is empty")

    def forward(self, input: Array) -> Array:
        output: Array = self.backend.empty(input.shape, input.dtype)
        self.backend.softmax_forward(input, output, self.log)
        if self.needs_grad[0]:
            self.saved = (output,)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        grad_input = self.backend.empty(grad_output.shape, grad_output.dtype)
        self.backend.softmax_backward(grad_output, self.saved[0], grad_input, self.log)
        return (grad_input,)


def softmax(input: Tensor, axis: int = -1) -> Tensor:
    """Turn numbers into probabilities: ``exp(input)`` divided by its sum over ``axis``.

    Args:
        input: A tensor of any shape, such as ``(N, *spatial, K)``.
        axis: The axis of the classes.

    Returns:
        A tensor of the input's shape; sums over ``axis`` are 1.

    Raises:
        ValueError: If the axis does not exist or is empty.
    """
    return _along_axis(False, input, axis)


def log_softmax(input: Tensor, axis: int = -1) -> Tensor:
    """Return the logarithm of ``softmax``, without underflow; see there."""
    return _along_axis(True, input, axis)


def _along_axis(log: bool, input: Any, axis: int) -> Tensor:
    function = Softmax(log)
    input = as_tensor(function.op, "input", input)
    last = input.ndim - 1
    place = as_axis(function.op, axis, input.ndim)
    if place == last:
        return function.apply(input)
    order = list(range(input.ndim))
    order[place], order[last] = last, place
    return transpose(function.apply(transpose(input, order)), order)
