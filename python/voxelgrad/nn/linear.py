"""The fully connected layer and the layer that does nothing."""

from __future__ import annotations

import math

from voxelgrad import ops
from voxelgrad.nn import arguments, init
from voxelgrad.nn.module import Module
from voxelgrad.nn.parameter import Parameter
from voxelgrad.tensor import Tensor


class Linear(Module):
    """Matrix product with the last axis: (..., in_features) -> (..., out_features).

    The weight is (out_features, in_features); initial values have PyTorch's default bounds.

    Args:
        in_features: Size of the input's last axis.
        out_features: Size of the output's last axis.
        bias: Whether to add a bias; leave it out before a norm.

    Raises:
        ValueError: If a size is below 1.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = arguments.at_least("Linear", "in_features", in_features, 1)
        self.out_features = arguments.at_least("Linear", "out_features", out_features, 1)
        self.weight = Parameter(init.default_weight((out_features, in_features), in_features))
        self.bias = Parameter(init.default_weight((out_features,), in_features)) if bias else None

    def forward(self, input: Tensor) -> Tensor:
        """Return input @ weight.T + bias, (..., out_features)."""
        return ops.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes and whether there is no bias."""
        text = f"{self.in_features}, {self.out_features}"
        return text if self.bias is not None else f"{text}, bias=False"

    def flops(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return two operations for each weight and row."""
        return 2 * math.prod(output_shape[:-1]) * self.weight.size


class Identity(Module):
    """Returns its input; stands where a layer is left out."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the input itself."""
        return input
