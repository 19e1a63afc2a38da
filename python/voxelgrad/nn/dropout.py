"""Dropout."""

from __future__ import annotations

from voxelgrad import ops
from voxelgrad.nn import arguments
from voxelgrad.nn.module import Module
from voxelgrad.tensor import Tensor


class Dropout(Module):
    """In training sets values to 0 at random and scales the rest by 1 / (1 - p); any shape.

    In evaluation it returns its input. Source: Srivastava et al. 2014.

    Args:
        p: Probability that a value is dropped, at least 0 and below 1.

    Raises:
        ValueError: If ``p`` is out of range.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = arguments.probability("Dropout", "p", p)

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with some values dropped (training) or as it is (evaluation)."""
        return ops.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """Return p."""
        return f"p={self.p}"
