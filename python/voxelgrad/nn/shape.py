"""Layers that change the shape."""

from __future__ import annotations

import math

from voxelgrad import ops
from voxelgrad.nn.arguments import Ints
from voxelgrad.nn.module import Module
from voxelgrad.tensor import Tensor


class Flatten(Module):
    """All axes but the batch become one: (N, ...) -> (N, product of the rest)."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the flat input, (N, F)."""
        return ops.reshape(input, (input.shape[0], math.prod(input.shape[1:])))


class Upsample(Module):
    """Enlargement by interpolation: (N, *spatial, C) -> (N, *spatial', C).

    Args:
        size: Spatial size of the output; give this or ``scale_factor``.
        scale_factor: Output size over input size, one number or one for each axis.
        mode: "nearest", or "linear" for linear, bilinear or trilinear by the number of axes, or
            "cubic" likewise.
        align_corners: Whether "linear" and "cubic" put the outer voxel centres on each other.
        antialias: Whether "linear" and "cubic" average over what a smaller output cannot hold.

    Raises:
        ValueError: If not exactly one of size and scale_factor is given, or the mode is unknown.
    """

    def __init__(
        self,
        size: Ints | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool = False,
        antialias: bool = False,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise ValueError("Upsample: give exactly one of size and scale_factor")
        if mode not in ("nearest", "linear", "cubic"):
            raise ValueError(f"Upsample: mode is {mode!r}; choose nearest, linear or cubic")
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners
        self.antialias = antialias

    def forward(self, input: Tensor) -> Tensor:
        """Return the interpolated input, (N, *spatial', C)."""
        settings = (self.mode, self.align_corners, self.antialias)
        return ops.interpolate(input, self.size, self.scale_factor, *settings)

    def extra_repr(self) -> str:
        """Return the size or factor and the mode."""
        size = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{size}, mode={self.mode!r}"
