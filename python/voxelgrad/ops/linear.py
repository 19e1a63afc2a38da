"""The linear layer: a matrix product over the last axis."""

from __future__ import annotations

from voxelgrad.dtypes import parameter_dtype
from voxelgrad.ops._arguments import check_parameter
from voxelgrad.ops.cast import Lowered
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
        self.backend.linear_forward(_rows(input), weight, bias, _rows(output))
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


def _rows(array: Array) -> Array:
    """View ``(..., C)`` as ``(rows, C)``."""
    if array.ndim == 2:
        return array
    columns = array.shape[-1]
    return array.reshape(array.size // columns, columns)
