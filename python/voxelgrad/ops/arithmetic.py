"""Broadcasting arithmetic, sum and mean."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from voxelgrad.autograd import Function
from voxelgrad.backends import number_like
from voxelgrad.ops._arguments import Shape, as_axes, as_tensor
from voxelgrad.tensor import Array, Tensor, wrap


class _Binary(Function):
    """An operation of two inputs that follow numpy's broadcasting rules."""

    __slots__ = ("output_shape", "shapes")
    input_names = ("the first operand", "the second operand")

    def check(self, a: Array, b: Array) -> None:
        self.shapes = (a.shape, b.shape)
        same = a.shape == b.shape
        self.output_shape = a.shape if same else _broadcast_shape(self.op, a.shape, b.shape)

    def _compute(self, kind: str, a: Array, b: Array, output: Array | None = None) -> Array:
        """Return ``kind`` of ``a`` and ``b``, of which at least one has the output's shape."""
        if output is None:
            output = self.backend.empty(self.output_shape, a.dtype)
        self.backend.binary_forward(kind, a, b, output)
        return output

    def _reduced(self, gradient: Array, index: int, scale: float = 1.0) -> Array:
        """Return ``scale`` times ``gradient``, summed to the shape of input ``index``."""
        shape = self.shapes[index]
        if gradient.shape == shape:
            if scale == 1.0:
                return gradient
            output: Array = self.backend.empty(shape, gradient.dtype)
            self.backend.broadcast_to(gradient, output, scale)
            return output
        output = self.backend.empty(shape, gradient.dtype)
        padded = (1,) * (gradient.ndim - len(shape)) + shape
        self.backend.reduce_sum(gradient, output.reshape(padded), scale)
        return output


class Add(_Binary):
    """``a + b``."""

    __slots__ = ()
    op = "add"
    passes_gradient = True

    def forward(self, a: Array, b: Array) -> Array:
        return self._compute("add", a, b)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        needs_a, needs_b = self.needs_grad
        return (
            self._reduced(grad_output, 0) if needs_a else None,
            self._reduced(grad_output, 1) if needs_b else None,
        )


class Sub(_Binary):
    """``a - b``."""

    __slots__ = ()
    op = "sub"
    passes_gradient = True

    def forward(self, a: Array, b: Array) -> Array:
        return self._compute("sub", a, b)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        needs_a, needs_b = self.needs_grad
        return (
            self._reduced(grad_output, 0) if needs_a else None,
            self._reduced(grad_output, 1, -1.0) if needs_b else None,
        )


class Mul(_Binary):
    """``a * b``."""

    __slots__ = ()
    op = "mul"

    def forward(self, a: Array, b: Array) -> Array:
        needs_a, needs_b = self.needs_grad
        self.saved = (a if needs_b else None, b if needs_a else None)
        return self._compute("mul", a, b)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        a, b = self.saved
        grad_a = None if b is None else self._reduced(self._compute("mul", grad_output, b), 0)
        grad_b = None if a is None else self._reduced(self._compute("mul", grad_output, a), 1)
        return grad_a, grad_b


class Div(_Binary):
    """``a / b``."""

    __slots__ = ()
    op = "div"

    def forward(self, a: Array, b: Array) -> Array:
        output = self._compute("div", a, b)
        self.saved = (output if self.needs_grad[1] else None, b)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        output, b = self.saved
        needs_a, needs_b = self.needs_grad
        quotient = self._compute("div", grad_output, b)
        grad_b = None
        if needs_b:  # d(a / b) / db = -(a / b) / b
            grad_b = self._reduced(self._compute("mul", quotient, output), 1, -1.0)
        return (self._reduced(quotient, 0) if needs_a else None), grad_b


class Sum(Function):
    """``scale`` times the sum over some axes."""

    __slots__ = ("axes", "input_shape", "keepdims", "kept_shape", "op", "scale")
    op: str

    def __init__(self, op: str, axis: Any, keepdims: bool) -> None:
        self.op = op
        self.axes = axis
        self.keepdims = keepdims

    def check(self, input: Array) -> None:
        axes = as_axes(self.op, self.axes, input.ndim)
        shape = self.input_shape = input.shape
        self.axes = axes
        self.kept_shape = tuple(1 if i in axes else n for i, n in enumerate(shape))
        self.scale = 1.0
        if self.op != "mean":
            return
        count = 1
        for axis in axes:
            count *= shape[axis]
        if count == 0:
            raise ValueError(
                f"mean: input has shape {shape}, so there is nothing to average over axes {axes}; "
                f"give at least one element"
            )
        self.scale = 1.0 / count

    def forward(self, input: Array) -> Array:
        output: Array = self.backend.empty(self.kept_shape, input.dtype)
        self.backend.reduce_sum(input, output, self.scale)
        if self.keepdims:
            return output
        return output.reshape([n for i, n in enumerate(self.input_shape) if i not in self.axes])

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        grad_input = self.backend.empty(self.input_shape, grad_output.dtype)
        self.backend.broadcast_to(grad_output.reshape(self.kept_shape), grad_input, self.scale)
        return (grad_input,)


def add(a: Tensor | float, b: Tensor | float) -> Tensor:
    """Return ``a + b`` with numpy's broadcasting; also the operator ``+``.

    Args:
        a: Tensor, array or number (a number takes the other operand's dtype).
        b: The same.

    Returns:
        A tensor of the broadcast shape.

    Raises:
        ValueError: If the shapes cannot be broadcast.
        TypeError: If the dtypes differ.
    """
    return Add().apply(*_operands("add", a, b))


def sub(a: Tensor | float, b: Tensor | float) -> Tensor:
    """Return ``a - b`` with numpy's broadcasting; see ``add``."""
    return Sub().apply(*_operands("sub", a, b))


def mul(a: Tensor | float, b: Tensor | float) -> Tensor:
    """Return ``a * b`` elementwise with numpy's broadcasting; see ``add``."""
    return Mul().apply(*_operands("mul", a, b))


def div(a: Tensor | float, b: Tensor | float) -> Tensor:
    """Return ``a / b`` elementwise with numpy's broadcasting; see ``add``."""
    return Div().apply(*_operands("div", a, b))


def sum(input: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Return the sum over some axes.

    Args:
        input: A tensor of any shape.
        axis: The axis or axes to sum over; ``None`` for all.
        keepdims: Whether the summed axes stay, with length 1.

    Returns:
        The sums; a tensor of shape ``()`` for all axes.

    Raises:
        ValueError: If an axis does not exist or is named twice.
    """
    return Sum("sum", axis, keepdims).apply(input)


def mean(
    input: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> Tensor:
    """Return the mean over some axes; see ``sum``.

    Raises:
        ValueError: If an axis does not exist or is named twice, or there is nothing to average.
    """
    return Sum("mean", axis, keepdims).apply(input)


@lru_cache(maxsize=4096)
def _broadcast_shape(op: str, a: Shape, b: Shape) -> Shape:
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ValueError(
            f"{op}: shapes {a} and {b} cannot be broadcast; counted from the last axis, lengths "
            f"must be equal or 1"
        ) from None


def _operands(op: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Return both operands as tensors, numbers with the dtype of the other operand."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a, b
    if isinstance(b, (int, float, np.generic)):
        a = as_tensor(op, "the first operand", a)
        return a, wrap(number_like(b, a.data), None)
    if isinstance(a, (int, float, np.generic)):
        b = as_tensor(op, "the second operand", b)
        return wrap(number_like(a, b.data), None), b
    return as_tensor(op, "the first operand", a), as_tensor(op, "the second operand", b)
