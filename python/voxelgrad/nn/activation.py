"""Activation layers: element by element, the shape stays."""

from __future__ import annotations

from voxelgrad import ops
from voxelgrad.nn import arguments
from voxelgrad.nn.init import filled
from voxelgrad.nn.module import Module
from voxelgrad.nn.parameter import Parameter
from voxelgrad.tensor import Tensor


class ReLU(Module):
    """max(x, 0), any shape."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with its negative values set to 0."""
        return ops.relu(input)


class LeakyReLU(Module):
    """x where x is positive, else negative_slope * x, any shape.

    Args:
        negative_slope: Slope below zero.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = float(negative_slope)

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with its negative values scaled down."""
        return ops.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        """Return the slope."""
        return str(self.negative_slope)


class PReLU(Module):
    """x where x is positive, else slope * x with learned slopes: (N, *spatial, C) -> the same.

    Source: He et al. 2015.

    Args:
        num_parameters: C for a slope of each channel, 1 for one slope.
        init: Slope to begin with.

    Raises:
        ValueError: If ``num_parameters`` is below 1.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        count = arguments.at_least("PReLU", "num_parameters", num_parameters, 1)
        self.weight = Parameter(filled((count,), init))

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with its negative values scaled by the slopes."""
        return ops.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """Return the number of slopes."""
        return str(self.weight.size)


class ELU(Module):
    """x where x is positive, else alpha * (exp(x) - 1), any shape.

    Source: Clevert et al. 2016.

    Args:
        alpha: The function falls to -alpha.

    Raises:
        ValueError: If ``alpha`` is not above 0.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = arguments.positive("ELU", "alpha", alpha)

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with its negative values saturating at -alpha."""
        return ops.elu(input, self.alpha)

    def extra_repr(self) -> str:
        """Return alpha."""
        return str(self.alpha)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), any shape."""

    def forward(self, input: Tensor) -> Tensor:
        """Return values between 0 and 1."""
        return ops.sigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent, any shape."""

    def forward(self, input: Tensor) -> Tensor:
        """Return values between -1 and 1."""
        return ops.tanh(input)


class Softplus(Module):
    """log(1 + exp(x)), a smooth ReLU, any shape."""

    def forward(self, input: Tensor) -> Tensor:
        """Return positive values."""
        return ops.softplus(input)


class Softmax(Module):
    """exp(x) divided by its sum along an axis, by default the channels: (..., K) -> (..., K).

    Args:
        axis: The axis whose values sum to 1.
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, input: Tensor) -> Tensor:
        """Return probabilities along the axis."""
        return ops.softmax(input, self.axis)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"axis={self.axis}"
