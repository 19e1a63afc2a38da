"""Moving values without computing: transpose, concat, split, slice, pad."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxelgrad.backends.reference._common import Array, Ints, float64


def transpose(input: Array, output: Array, axes: Ints) -> None:
    """Write ``input`` with its axes in the order ``axes``."""
    output[...] = input.transpose(axes)


def concat(inputs: list[Array], output: Array, axis: int) -> None:
    """Write the arrays one after the other along ``axis``."""
    output[...] = np.concatenate(inputs, axis=axis)


def split(input: Array, outputs: list[Array], axis: int) -> None:
    """Write the parts of ``input`` that lie one after the other along ``axis``."""
    ends = np.cumsum([output.shape[axis] for output in outputs])
    for output, part in zip(outputs, np.split(input, ends[:-1], axis=axis), strict=True):
        output[...] = part


def slice_forward(input: Array, output: Array, start: Ints) -> None:
    """Write the part of ``input`` that begins at ``start`` and has the extents of ``output``."""
    output[...] = input[tuple(slice(s, s + n) for s, n in zip(start, output.shape, strict=True))]


def _widths(small: Ints, large: Ints, before: Ints) -> list[tuple[int, int]]:
    return [(b, m - n - b) for n, m, b in zip(small, large, before, strict=True)]


def _check_mode(mode: str) -> None:
    if mode not in ("constant", "reflect", "edge"):
        raise ValueError(f"pad: mode {mode!r} is unknown; choose 'constant', 'reflect' or 'edge'")


def pad_forward(input: Array, output: Array, before: Ints, mode: str, value: float) -> None:
    """Write ``input`` surrounded by a constant, by its reflection or by its edge.

    Args:
        input: Array of any shape.
        output: Array of as many axes, each at least ``before`` longer.
        before: How many elements come before the first one, for every axis.
        mode: ``"constant"``, ``"reflect"`` (without repeating the edge) or ``"edge"``.
        value: The constant.

    Raises:
        ValueError: If there is no such mode.
    """
    _check_mode(mode)
    options: dict[str, Any] = {"constant_values": value} if mode == "constant" else {}
    widths = _widths(input.shape, output.shape, before) or 0  # numpy's pairs need an axis
    output[...] = np.pad(input, widths, mode=mode, **options)  # type: ignore[call-overload]


def pad_backward(grad_output: Array, grad_input: Array, before: Ints, mode: str) -> None:
    """Add the gradient of every padded element to the element it was copied from.

    Raises:
        ValueError: If there is no such mode.
    """
    _check_mode(mode)
    if mode == "constant":
        slice_forward(grad_output, grad_input, before)
        return
    grad = float64(grad_output)
    widths = _widths(grad_input.shape, grad_output.shape, before)
    for axis, extent in enumerate(grad_input.shape):
        source = np.pad(np.arange(extent), widths[axis], mode=mode)  # type: ignore[call-overload]
        collected = np.zeros((extent, *np.delete(grad.shape, axis)))
        np.add.at(collected, source, np.moveaxis(grad, axis, 0))
        grad = np.moveaxis(collected, 0, axis)
    grad_input[...] = grad
