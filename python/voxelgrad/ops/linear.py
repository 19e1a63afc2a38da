"""Matrix products: the linear layer, over the last axis, and the general one."""

from __future__ import annotations

from math import prod

import numpy as np

from voxelgrad.dtypes import parameter_dtype
from voxelgrad.ops._arguments import as_tensor, check_parameter
from voxelgrad.ops.cast import Lowered, cast
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


class MatMul(Lowered):
    """``a @ b`` of two stacks of matrices, whose leading axes broadcast."""

    __slots__ = ("shapes", "stack")
    input_names = ("a", "b")
    op = "matmul"

    def check(self, a: Array, b: Array) -> None:
        self.shapes = (a.shape, b.shape)
        try:
            self.stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ValueError(
                f"matmul: the leading axes of shapes {a.shape} and {b.shape} cannot be broadcast"
            ) from None

    def forward(self, a: Array, b: Array) -> Array:
        needs_a, needs_b = self.needs_grad
        self.saved = (a if needs_b else None, b if needs_a else None)
        output: Array = self.backend.empty((*self.stack, a.shape[-2], b.shape[-1]), a.dtype)
        self.backend.matmul_forward(self._joined(a), b, self._joined(output))
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        (a, b), (of_a, of_b) = self.saved, self.shapes
        empty, grad, dtype = self.backend.empty, self._joined(grad_output), grad_output.dtype
        grad_a = grad_b = None
        if b is not None:
            grad_a = empty((*self.stack, *of_a[-2:]), dtype)
            self.backend.matmul_backward_a(grad, b, self._joined(grad_a))
            grad_a = self._summed(grad_a, of_a)
        if a is not None:
            stack = self.stack if len(of_b) > 2 else ()
            grad_b = empty((*stack, *of_b[-2:]), parameter_dtype(dtype))
            self.backend.matmul_backward_b(grad, self._joined(a), grad_b)
            grad_b = self._summed(grad_b, of_b)
        return grad_a, grad_b

    def _joined(self, matrices: Array) -> Array:
        """View matrices that all meet the same one as a single matrix."""
        if len(self.shapes[1]) > 2 or matrices.ndim == 2:
            return matrices
        return matrices.reshape(prod(matrices.shape[:-1]), matrices.shape[-1])

    def _summed(self, gradient: Array, shape: tuple[int, ...]) -> Array:
        """Add up the matrices of a broadcast operand's gradient."""
        if gradient.shape == shape:
            return gradient
        output: Array = self.backend.empty(shape, gradient.dtype)
        padded = (1,) * (gradient.ndim - len(shape)) + shape
        self.backend.reduce_sum(gradient, output.reshape(padded), 1.0)
        return output


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply matrices, stacks of matrices and vectors, as ``numpy.matmul`` does.

    Args:
        a: ``(..., rows, inner)``, or a vector ``(inner,)``.
        b: ``(..., inner, columns)``, or a vector ``(inner,)``. Leading axes broadcast with those of
            ``a``.

    Returns:
        ``(..., rows, columns)``, without the axis that a vector lacks; zeros if ``inner`` is 0.

    Raises:
        ValueError: If the shapes do not fit.
    """
    a, b = as_tensor("matmul", "a", a), as_tensor("matmul", "b", b)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: a has shape {a.shape} and b {b.shape}; the last axis of a must be as long as "
            f"the last but one of b"
        )
    left = a.reshape(1, a.shape[0]) if a.ndim == 1 else a
    # Kept in float32 beside bfloat16 images, as the matrices of linear layers are.
    right = cast(b.reshape(b.shape[0], 1) if b.ndim == 1 else b, parameter_dtype(b.dtype))
    product = MatMul().apply(left, right)
    rows = () if a.ndim == 1 else a.shape[-2:-1]
    columns = () if b.ndim == 1 else b.shape[-1:]
    return product.reshape((*product.shape[:-2], *rows, *columns))


def _rows(array: Array) -> Array:
    """View ``(..., C)`` as ``(rows, C)``."""
    if array.ndim == 2:
        return array
    columns = array.shape[-1]
    return array.reshape(array.size // columns, columns)
