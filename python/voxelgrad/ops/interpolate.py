"""Resizing of images and volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from voxelgrad.autograd import Function
from voxelgrad.backends import constant
from voxelgrad.dtypes import parameter_dtype
from voxelgrad.ops._arguments import (
    IntOrTuple,
    Shape,
    as_ints,
    as_tensor,
    check_images,
    check_minimum,
)
from voxelgrad.ops._taps import Taps, interpolation_taps
from voxelgrad.tensor import Array, Tensor


class Interpolate(Function):
    """Nearest or linear interpolation to another spatial size."""

    __slots__ = ("align_corners", "input_shape", "mode", "output_size", "scale_factor", "size")
    op = "interpolate"

    def __init__(self, size: Any, scale_factor: Any, mode: str, align_corners: bool) -> None:
        if mode not in ("nearest", "linear"):
            raise ValueError(
                f"interpolate: mode is {mode!r}; choose 'nearest', 'linear' (which is bilinear for "
                f"images and trilinear for volumes) or 'cubic'"
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


class Resample(Function):
    """A sparse linear map along each spatial axis."""

    __slots__ = ("input_shape", "taps")
    op = "resample"

    def __init__(self, taps: Sequence[Taps]) -> None:
        self.taps = taps

    def check(self, input: Array) -> None:
        self.input_shape = input.shape
        check_images("resample", input.shape, min(max(len(self.taps), 1), 3))
        for axis, (taps, length) in enumerate(zip(self.taps, input.shape[1:-1], strict=True)):
            if len(taps.starts) < 2 or len(taps.positions) != len(taps.weights):
                raise ValueError(
                    f"resample: taps[{axis}] must have an output and as many positions as weights"
                )
            if (
                taps.positions.size
                and not 0 <= taps.positions.min() <= taps.positions.max() < length
            ):
                raise ValueError(
                    f"resample: taps[{axis}] use positions {taps.positions.min()} to "
                    f"{taps.positions.max()}, but the axis has length {length} (input shape "
                    f"{input.shape})"
                )

    def forward(self, input: Array) -> Array:
        sizes = [len(taps.starts) - 1 for taps in self.taps]
        output: Array = self.backend.empty((input.shape[0], *sizes, input.shape[-1]), input.dtype)
        self._run(input, output, self.taps)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        grad_input = self.backend.empty(self.input_shape, grad_output.dtype)
        lengths = self.input_shape[1:-1]
        turned = [taps.transposed(n) for taps, n in zip(self.taps, lengths, strict=True)]
        self._run(grad_output, grad_input, turned)
        return (grad_input,)

    def _run(self, source: Array, target: Array, tables: Sequence[Taps]) -> None:
        self.backend.resample(
            source,
            target,
            [constant(taps.starts) for taps in tables],
            [constant(taps.positions) for taps in tables],
            [constant(taps.weights.astype(parameter_dtype(source.dtype))) for taps in tables],
        )


def interpolate(
    input: Tensor,
    size: IntOrTuple | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
) -> Tensor:
    """Resize sequences, images or volumes.

    Args:
        input: ``(N, *spatial, C)`` with one to three spatial axes.
        size: Spatial size of the output, an int or one per axis; or
        scale_factor: a number or one per axis; the output's size is ``floor(size * factor)``.
        mode: ``"nearest"`` (output ``i`` takes input ``floor(i * in / out)``), ``"linear"``
            (bilinear for images, trilinear for volumes) or ``"cubic"`` (bicubic, a = -0.75).
        align_corners: For ``"linear"`` and ``"cubic"``: the centres of the corner elements
            coincide, rather than their outer edges.
        antialias: For ``"linear"`` and ``"cubic"``: average over what a smaller output cannot hold
            (the cubic kernel then has a = -0.5). Not together with ``align_corners``.

    Returns:
        ``(N, *size, C)``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    if mode != "cubic" and not antialias:
        return Interpolate(size, scale_factor, mode, align_corners).apply(input)
    tensor = as_tensor("interpolate", "input", input)
    function = Interpolate(size, scale_factor, "linear", align_corners)
    if mode not in ("linear", "cubic") or (antialias and align_corners):
        raise ValueError(
            f"interpolate: antialias=True needs mode 'linear' or 'cubic' without align_corners; "
            f"mode is {mode!r}, align_corners {align_corners}"
        )
    function.check(tensor.data)
    taps = [
        _axis_taps(n, out, mode, align_corners, antialias)
        for n, out in zip(tensor.shape[1:-1], function.output_size, strict=True)
    ]
    return Resample(taps).apply(tensor)


def _axis_taps(length: int, size: int, mode: str, align_corners: bool, antialias: bool) -> Taps:
    outputs = np.arange(size)
    if align_corners:
        places = outputs * ((length - 1) / max(1, size - 1))
    else:
        places = (outputs + 0.5) * (length / size) - 0.5
    if antialias:
        return interpolation_taps(places, length, mode, min(1.0, size / length), -0.5, True)
    return interpolation_taps(places, length, mode)


def resample(input: Tensor, taps: Sequence[Taps]) -> Tensor:
    """Multiply each spatial axis by a sparse matrix: any separable resizing, blurring or cropping.

    Args:
        input: ``(N, *spatial, C)`` with one to three spatial axes.
        taps: For each spatial axis the matrix as ``(starts, positions, weights)``: element ``i`` of
            the output is the sum of ``weights[t] * input[positions[t]]`` for ``t`` from
            ``starts[i]`` to ``starts[i + 1]``; the first two are int32.

    Returns:
        ``(N, *outputs, C)``.

    Raises:
        ValueError: If there are not as many tables as spatial axes, or a position leaves its axis.
    """
    tensor = as_tensor("resample", "input", input)
    if len(taps) != tensor.ndim - 2:
        raise ValueError(
            f"resample: {len(taps)} tables of taps are given for an input of shape "
            f"{tensor.shape}; give one for each of its {tensor.ndim - 2} spatial axes"
        )
    return Resample([Taps(*table) for table in taps]).apply(tensor)
