"""A tensor that a module trains."""

from __future__ import annotations

from typing import Any

from voxelgrad.tensor import Tensor


class Parameter(Tensor):
    """A tensor that requires a gradient and that a `Module` finds among its attributes.

    Args:
        data: The initial values, float32 or float64, any shape.
    """

    def __init__(self, data: Any) -> None:
        super().__init__(data, requires_grad=True)

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"
