"""What the rooms of the reference share: the array type, float64 views, windows under a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Ints: TypeAlias = tuple[int, ...]
Index: TypeAlias = tuple[slice, ...]


def float64(array: Array) -> Array:
    """Return ``array`` in float64, the type in which the reference computes."""
    return array.astype(np.float64, copy=False)


def pad_spatial(array: Array, padding: Ints, value: float = 0.0) -> Array:
    """Return ``array`` (N, *spatial, C) in float64, padded on both sides of each spatial axis."""
    widths = [(0, 0), *((p, p) for p in padding), (0, 0)]
    return np.pad(float64(array), widths, constant_values=value)


def crop_spatial(padded: Array, padding: Ints, size: Ints) -> Array:
    """Return the part of ``padded`` that ``pad_spatial`` was given: spatial extents ``size``."""
    inner = (slice(p, p + n) for p, n in zip(padding, size, strict=True))
    index = (slice(None), *inner)
    return padded[index]


def taps(
    kernel_size: Ints, positions: Ints, stride: Ints, dilation: Ints
) -> Iterator[tuple[Ints, Index]]:
    """Go through the offsets of a kernel, row-major.

    Args:
        kernel_size: Extents of the kernel.
        positions: How often the kernel is laid down along each axis.
        stride: Step from one position to the next.
        dilation: Step from one offset of the kernel to the next.

    Yields:
        The offset, and the index that selects in a padded array (N, *spatial, C) what lies under
        that offset at every position: an array (N, *positions, C).
    """
    for offset in product(*(range(k) for k in kernel_size)):
        window = tuple(
            slice(o * d, o * d + s * (n - 1) + 1, s)
            for o, n, s, d in zip(offset, positions, stride, dilation, strict=True)
        )
        yield offset, (slice(None), *window)


def apply_along_spatial(array: Array, matrices: list[Array]) -> Array:
    """Multiply each spatial axis of ``array`` (N, *spatial, C) by its matrix (new, old extent)."""
    result = float64(array)
    for axis, matrix in enumerate(matrices, start=1):
        result = np.moveaxis(np.tensordot(matrix, result, axes=(1, axis)), 0, axis)
    return result
