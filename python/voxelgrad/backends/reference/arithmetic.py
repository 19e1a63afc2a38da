"""Arithmetic of two arrays, sums over axes and their inverse."""

from __future__ import annotations

import numpy as np

from voxelgrad.backends.reference._common import Array, float64

_BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


def binary_forward(kind: str, a: Array, b: Array, output: Array) -> None:
    """Write ``a kind b`` under numpy's broadcasting rules; NaN wins in maximum and minimum.

    Raises:
        ValueError: If there is no operation of that kind.
    """
    if kind not in _BINARY:
        raise ValueError(f"binary: kind {kind!r} is unknown; choose one of {sorted(_BINARY)}")
    output[...] = _BINARY[kind](float64(a), float64(b))


def reduce_sum(input: Array, output: Array, scale: float) -> None:
    """Write ``scale`` times the sum over those axes along which ``output`` has extent 1."""
    axes = tuple(axis for axis, extent in enumerate(output.shape) if extent == 1)
    output[...] = scale * float64(input).sum(axis=axes, keepdims=True)


def fill(output: Array, value: float) -> None:
    """Write ``value`` everywhere."""
    output[...] = value


def broadcast_to(input: Array, output: Array, scale: float) -> None:
    """Write ``scale`` times ``input``, its axes of extent 1 expanded to those of ``output``."""
    output[...] = scale * np.broadcast_to(float64(input), output.shape)
