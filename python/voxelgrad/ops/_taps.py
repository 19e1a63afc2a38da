"""Which elements along an axis an interpolated one is made of: tables for ``ops.resample``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Taps(NamedTuple):
    """A sparse matrix along one axis: output ``i`` is a weighted sum of inputs.

    Attributes:
        starts: int32 ``(outputs + 1,)``: the entries of output ``i`` are ``starts[i]`` to
            ``starts[i + 1]``.
        positions: int32 ``(entries,)``, indices along the input.
        weights: ``(entries,)`` floats.
    """

    starts: Array
    positions: Array
    weights: Array

    def transposed(self, length: int) -> Taps:
        """Return the table of the backward pass, for an input of ``length`` elements."""
        outputs = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        order = np.argsort(self.positions, kind="stable")
        counts = np.bincount(self.positions, minlength=length)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return Taps(starts.astype(np.int32), outputs[order].astype(np.int32), self.weights[order])


def dense_taps(positions: Array, weights: Array) -> Taps:
    """Return taps from as many entries for every output, two arrays (outputs, entries)."""
    outputs, entries = positions.shape
    starts = np.arange(outputs + 1, dtype=np.int32) * np.int32(entries)
    return Taps(starts, positions.reshape(-1).astype(np.int32), weights.reshape(-1))


def interpolation_taps(
    places: Array,
    length: int,
    mode: str,
    scale: float = 1.0,
    coefficient: float = -0.75,
    exclude_outside: bool = False,
) -> Taps:
    """Return taps that interpolate at given places.

    Args:
        places: Where along the input every output lies, ``(outputs,)``, in elements.
        length: Elements of the input; beyond its ends the border element is repeated.
        mode: ``"linear"`` or ``"cubic"``.
        scale: Below 1 the kernel is widened by its inverse, which averages out what the coarser
            output cannot hold (antialiasing).
        coefficient: The ``a`` of the cubic kernel. Source: R. Keys, Cubic convolution
            interpolation for digital image processing, 1981, equation 15 with a free ``a``.
        exclude_outside: Leave elements beyond the ends out, instead of repeating the border.
    """
    support = 1 if mode == "linear" else 2
    reach = int(np.ceil(support / scale))
    floors = np.floor(places).astype(np.int64)
    found = floors[:, None] + np.arange(1 - reach, reach + 1)
    weights = _kernel((found - places[:, None]) * scale, mode, coefficient)
    if exclude_outside:
        weights = np.where((found >= 0) & (found < length), weights, 0.0)
    if exclude_outside or scale < 1.0:
        weights = weights / weights.sum(1, keepdims=True)
    return dense_taps(np.clip(found, 0, length - 1), weights)


def _kernel(distance: Array, mode: str, a: float) -> Array:
    x = np.abs(distance)
    if mode == "linear":
        return np.maximum(0.0, 1.0 - x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    return np.where(x <= 1.0, near, np.where(x < 2.0, far, 0.0))
