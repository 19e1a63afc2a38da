"""Elementwise functions of one input."""

from __future__ import annotations

from voxelgrad.autograd import Function
from voxelgrad.ops._arguments import Shape, as_finite, as_tensor
from voxelgrad.ops.arithmetic import mul, sub
from voxelgrad.tensor import Array, Tensor

_FROM_OUTPUT = frozenset(("relu", "elu", "sigmoid", "tanh", "exp", "sqrt"))
"""Kinds whose gradient is computed from the output; the others need the input."""


class Activation(Function):
    """Any elementwise function the backends know by its ``kind``."""

    __slots__ = ("alpha", "op")
    op: str

    def __init__(self, kind: str, alpha: float = 0.0) -> None:
        self.op = kind
        self.alpha = alpha

    def forward(self, input: Array) -> Array:
        output: Array = self.backend.empty(input.shape, input.dtype)
        self.backend.activation_forward(self.op, input, output, self.alpha)
        if self.needs_grad[0]:
            self.saved = (output if self.op in _FROM_OUTPUT else input,)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        if self.can_overwrite:
            grad_input = grad_output
        else:
            grad_input = self.backend.empty(grad_output.shape, grad_output.dtype)
        self.backend.activation_backward(
            self.op, grad_output, self.saved[0], grad_input, self.alpha
        )
        return (grad_input,)


class Clip(Function):
    """Values cut to an interval."""

    __slots__ = ("high", "low")
    op = "clip"

    def __init__(self, low: float, high: float) -> None:
        self.low = float(low)
        self.high = float(high)
        if not self.low <= self.high:
            raise ValueError(f"clip: low is {low} and high is {high}; low must not be above high")

    def forward(self, input: Array) -> Array:
        output: Array = self.backend.empty(input.shape, input.dtype)
        self.backend.clip_forward(input, output, self.low, self.high)
        if self.needs_grad[0]:
            self.saved = (input,)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        grad_input = self.backend.empty(grad_output.shape, grad_output.dtype)
        self.backend.clip_backward(grad_output, self.saved[0], grad_input, self.low, self.high)
        return (grad_input,)


def relu(input: Tensor) -> Tensor:
    """Return ``max(input, 0)``; NaN stays NaN."""
    return Activation("relu").apply(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Return ``input`` where it is positive and ``negative_slope * input`` elsewhere.

    Raises:
        ValueError: If ``negative_slope`` is not finite.
        TypeError: If it is not a number.
    """
    slope = as_finite("leaky_relu", "negative_slope", negative_slope)
    return Activation("leaky_relu", slope).apply(input)


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Return ``input`` where it is positive and ``alpha * (exp(input) - 1)`` elsewhere.

    Raises:
        ValueError: If ``alpha`` is not positive and finite (the gradient is computed from the
            output, which tells the two sides apart only then).
        TypeError: If it is not a number.
    """
    value = as_finite("elu", "alpha", alpha)
    if value <= 0:
        raise ValueError(f"elu: alpha is {alpha}; it must be greater than 0")
    return Activation("elu", value).apply(input)


def sigmoid(input: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-input))``, without overflow at either end."""
    return Activation("sigmoid").apply(input)


def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return Activation("tanh").apply(input)


def softplus(input: Tensor) -> Tensor:
    """Return ``log(1 + exp(input))``, without overflow."""
    return Activation("softplus").apply(input)


def exp(input: Tensor) -> Tensor:
    """Return e to the power of ``input``."""
    return Activation("exp").apply(input)


def log(input: Tensor) -> Tensor:
    """Return the natural logarithm: minus infinity at 0, NaN below."""
    return Activation("log").apply(input)


def sqrt(input: Tensor) -> Tensor:
    """Return the square root: NaN below 0, infinite gradient at 0."""
    return Activation("sqrt").apply(input)


def abs(input: Tensor) -> Tensor:
    """Return the absolute value; the gradient at 0 is 0."""
    return Activation("abs").apply(input)


def square(input: Tensor) -> Tensor:
    """Return ``input * input``."""
    return Activation("square").apply(input)


def clip(input: Tensor, low: float, high: float) -> Tensor:
    """Cut values to an interval; the gradient is 0 where they are cut.

    Args:
        input: A tensor of any shape.
        low: Smallest value of the output; minus infinity for no limit.
        high: Largest value of the output; infinity for no limit.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If ``low`` is above ``high``.
    """
    return Clip(low, high).apply(input)


def prelu(input: Tensor, slope: Tensor) -> Tensor:
    """Return ``input`` where it is positive and ``slope * input`` elsewhere, ``slope`` learned.

    Source: K. He et al., Delving deep into rectifiers, 2015.

    Args:
        input: ``(N, *spatial, C)``, or any shape.
        slope: ``(C,)``, or any shape that broadcasts to the input's.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If the shapes do not broadcast.
    """
    input, slope = as_tensor("prelu", "input", input), as_tensor("prelu", "slope", slope)
    if not _broadcasts(slope.shape, input.shape):
        raise ValueError(
            f"prelu: slope has shape {slope.shape} but input {input.shape}; counted from the last "
            f"axis, each length of slope must be 1 or that of input, such as "
            f"{input.shape[-1:]} for one slope a channel"
        )
    negative = Activation("relu").apply(mul(input, -1.0))
    return sub(Activation("relu").apply(input), mul(negative, slope))


def _broadcasts(shape: Shape, to: Shape) -> bool:
    """Return whether an array of ``shape`` broadcasts to the shape ``to``, which stays."""
    ends = to[len(to) - len(shape) :]
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(shape, ends, strict=True))
