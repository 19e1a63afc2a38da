"""Changing the number format of a tensor, and the ops that ask for one."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxelgrad import precision
from voxelgrad.autograd import Function
from voxelgrad.dtypes import BFLOAT16, FLOAT32, as_dtype
from voxelgrad.ops._arguments import as_tensor
from voxelgrad.tensor import Array, Tensor


class Cast(Function):
    """The same numbers in another format; the gradient comes back in the first one."""

    __slots__ = ("dtype",)
    op = "cast"

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def forward(self, input: Array) -> Array:
        self.saved = (input.dtype,)
        return self._convert(input, self.dtype)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        return (self._convert(grad_output, self.saved[0]),)

    def _convert(self, array: Array, dtype: np.dtype[Any]) -> Array:
        if {array.dtype, dtype} != {FLOAT32, BFLOAT16}:
            return array.astype(dtype)
        output: Array = self.backend.empty(array.shape, dtype)
        self.backend.cast(array, output)
        return output


class Lowered(Function):
    """An op that runs in the format of ``autocast``: inputs before the parameters are rounded."""

    __slots__ = ()
    parameters_from = 1

    def apply(self, *inputs: Tensor | None) -> Tensor:
        dtype, count = precision.mode.dtype, self.parameters_from
        if dtype is not None:
            inputs = (*(_lowered(tensor, dtype) for tensor in inputs[:count]), *inputs[count:])
        return super().apply(*inputs)


def _lowered(tensor: Tensor | None, dtype: np.dtype[Any]) -> Tensor | None:
    if isinstance(tensor, Tensor) and tensor.dtype == FLOAT32:
        return Cast(dtype).apply(tensor)
    return tensor


class Widened(Function):
    """An op that computes in float32 whatever comes: bfloat16 inputs are widened."""

    __slots__ = ()

    def apply(self, *inputs: Tensor | None) -> Tensor:
        return super().apply(*(_widened(tensor) for tensor in inputs))


def _widened(tensor: Tensor | None) -> Tensor | None:
    if isinstance(tensor, Tensor) and tensor.dtype == BFLOAT16:
        return Cast(FLOAT32).apply(tensor)
    return tensor


def cast(input: Tensor, dtype: Any) -> Tensor:
    """Return the tensor in another number format; itself if it has that format already.

    Args:
        input: A tensor of float32, float64 or bfloat16.
        dtype: "float32", "float64" or "bfloat16" (rounds to the nearest, ties to even).

    Raises:
        ValueError: If it is another format.
    """
    wanted = as_dtype("cast", dtype)
    tensor = as_tensor("cast", "input", input)
    return tensor if tensor.dtype == wanted else Cast(wanted).apply(tensor)
