"""Matrix products: the linear layer, over the last axis, and the general one."""

from __future__ import annotations

import numpy as np

from voxelgrad.dtypes import parameter_dtype
from voxelgrad.ops._arguments import as_tensor, check_parameter
from voxelgrad.ops.arithmetic import mul
from voxelgrad.ops.cast import Lowered, cast
from voxelgrad.ops.shape import concat, transpose
from voxelgrad.tensor import Array, Tensor


class Linear(Lowered):
    """``input @ weight.T + bias`` over the last axis."""

    __slots__ = ("input_shape", "weight_shape")
    input_names = ("input", "weight", "bias")
    op = "linear"

    def check(self, input: Array, weight: Array, bias: Array | None) -> None:
        if weight.ndim != 2 or 0 in weight.shape:
            raise ValueError(
                f"linear: weight has shape {weight.shape}; it must be (out_features, in_features)"
            )
        if input.ndim < 1 or input.shape[-1] != weight.shape[1]:
            raise ValueError(
                f"linear: input has shape {input.shape} but weight expects {weight.shape[1]} "
                f"features (weight shape {weight.shape}); the last axis of input must have length "
                f"{weight.shape[1]}"
            )
        check_parameter("linear", "bias", bias, weight.shape[0], "the output")

    def forward(self, input: Array, weight: Array, bias: Array | None) -> Array:
        self.input_shape = input.shape
        self.weight_shape = weight.shape
        needs_input, needs_weight, _ = self.needs_grad
        self.saved = (input if needs_weight else None, weight if needs_input else None)
        features = weight.shape[0]
        output: Array = self.backend.empty((*input.shape[:-1], features), input.dtype)
        self.backend.linear_forward(_rows(input), weight, bias, _rows(output), 1.0)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        input, weight = self.saved
        empty, dtype = self.backend.empty, grad_output.dtype
        grad_rows = _rows(grad_output)
        needs_input, needs_weight, needs_bias = self.needs_grad
        grad_input = grad_weight = None
        learned = parameter_dtype(dtype)
        grad_bias = empty(grad_output.shape[-1:], learned) if needs_bias else None
        if needs_weight:
            grad_weight = empty(self.weight_shape, learned)
            self.backend.linear_backward_weight(grad_rows, _rows(input), grad_weight, grad_bias)
        elif grad_bias is not None:
            self.backend.reduce_sum(grad_rows, grad_bias.reshape(1, -1), 1.0)
        if needs_input:
            grad_input = empty(self.input_shape, dtype)
            self.backend.linear_backward_data(grad_rows, weight, _rows(grad_input))
        return grad_input, grad_weight, grad_bias


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply the last axis by a matrix: ``input @ weight.T + bias``.

    Args:
        input: ``(..., in_features)``.
        weight: ``(out_features, in_features)``.
        bias: ``(out_features,)`` or ``None``.

    Returns:
        ``(..., out_features)``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    return Linear().apply(input, weight, bias)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply matrices, stacks of matrices and vectors, as ``numpy.matmul`` does.

    Args:
        a: ``(..., rows, inner)``, or a vector ``(inner,)``.
        b: ``(..., inner, columns)``, or a vector ``(inner,)``. Leading axes broadcast with those of
            ``a``; each pair of matrices is one product, so use ``linear`` for a single ``b``.

    Returns:
        ``(..., rows, columns)``, without the axis that a vector lacks.

    Raises:
        ValueError: If the shapes do not fit.
    """
    a, b = as_tensor("matmul", "a", a), as_tensor("matmul", "b", b)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: a has shape {a.shape} and b {b.shape}; the last axis of a must be as long as "
            f"the last but one of b"
        )
    left = a.reshape(1, -1) if a.ndim == 1 else a
    # Linear layers keep their matrix in float32 beside bfloat16 images.
    right = cast(b.reshape(-1, 1) if b.ndim == 1 else b, parameter_dtype(b.dtype))
    product = linear(left, transpose(right)) if right.ndim == 2 else _stacked(left, right)
    shape = list(product.shape)
    if b.ndim == 1:
        del shape[-1]
    if a.ndim == 1:
        del shape[-1 if b.ndim == 1 else -2]
    return product.reshape(shape)


def _stacked(a: Tensor, b: Tensor) -> Tensor:
    """Multiply the matrices of two stacks one by one."""
    try:
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(
            f"matmul: the leading axes of shapes {a.shape} and {b.shape} cannot be broadcast"
        ) from None
    if 0 in stack:  # nothing, of the product's shape, with gradients
        return mul(a[..., :1], cast(b[..., :1, :], a.dtype))
    rows, columns = a.shape[-2], b.shape[-1]
    products = []
    for index in np.ndindex(*stack):
        left, right = a[_place(index, a)], b[_place(index, b)]
        products.append(linear(left, transpose(right)).reshape(1, rows, columns))
    return concat(products, 0).reshape(*stack, rows, columns)


def _place(index: tuple[int, ...], tensor: Tensor) -> tuple[int, ...]:
    """Return the part of a stack's index that selects a matrix of ``tensor``."""
    stack = tensor.shape[:-2]
    own = index[len(index) - len(stack) :]
    return tuple(0 if length == 1 else i for i, length in zip(own, stack, strict=True))


def _rows(array: Array) -> Array:
    """View ``(..., C)`` as ``(rows, C)``."""
    if array.ndim == 2:
        return array
    columns = array.shape[-1]
    return array.reshape(array.size // columns, columns)
