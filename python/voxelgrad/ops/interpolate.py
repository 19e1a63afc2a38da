"""Resizing of images and volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from voxelgrad.autograd import Function
from voxelgrad.ops._arguments import IntOrTuple, Shape, as_ints, check_images, check_minimum
from voxelgrad.tensor import Array, Tensor


class Interpolate(Function):
    """Nearest or linear interpolation to another spatial size."""

    __slots__ = ("align_corners", "input_shape", "mode", "output_size", "scale_factor", "size")
    op = "interpolate"

    def __init__(self, size: Any, scale_factor: Any, mode: str, align_corners: bool) -> None:
        if mode not in ("nearest", "linear"):
            raise ValueError(
                f"interpolate: mode is {mode!r}; choose 'nearest' or 'linear' (which is bilinear "
                f"for images and trilinear for volumes)"
            )
        if align_corners and mode == "nearest":
            raise ValueError("interpolate: align_corners=True needs mode='linear'")
        if (size is None) == (scale_factor is None):
            raise ValueError("interpolate: give either size or scale_factor, and not both")
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = bool(align_corners)

    def check(self, input: Array) -> None:
        rank = min(max(input.ndim - 2, 1), 3)
        check_images("interpolate", input.shape, rank)
        self.input_shape = input.shape
        if self.size is not None:
            self.output_size = as_ints("interpolate", "size", self.size, rank)
        else:
            factors = _as_factors(self.scale_factor, rank)
            self.output_size = tuple(
                math.floor(n * f) for n, f in zip(input.shape[1:-1], factors, strict=True)
            )
        check_minimum("interpolate", "the output's size", self.output_size, 1)

    def forward(self, input: Array) -> Array:
        shape: Shape = (input.shape[0], *self.output_size, input.shape[-1])
        output: Array = self.backend.empty(shape, input.dtype)
        self.backend.interpolate_forward(input, output, self.mode, self.align_corners)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        grad_input = self.backend.empty(self.input_shape, grad_output.dtype)
        self.backend.interpolate_backward(grad_output, grad_input, self.mode, self.align_corners)
        return (grad_input,)


def _as_factors(value: Any, rank: int) -> tuple[float, ...]:
    listed = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(listed) != rank or not all(
        isinstance(v, (int, float)) and 0 < v < math.inf for v in listed
    ):
        raise ValueError(
            f"interpolate: scale_factor is {value!r}; it must be positive, one number or {rank}"
        )
    return tuple(float(v) for v in listed)


def interpolate(
    input: Tensor,
    size: IntOrTuple | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """Resize sequences, images or volumes.

    Args:
        input: ``(N, *spatial, C)`` with one to three spatial axes.
        size: Spatial size of the output, an int or one per axis; or
        scale_factor: a number or one per axis; the output's size is ``floor(size * factor)``.
        mode: ``"nearest"`` (output ``i`` takes input ``floor(i * in / out)``) or ``"linear"``
            (bilinear for images, trilinear for volumes).
        align_corners: For ``"linear"``: the centres of the corner elements coincide, rather than
            their outer edges.

    Returns:
        ``(N, *size, C)``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    return Interpolate(size, scale_factor, mode, align_corners).apply(input)
