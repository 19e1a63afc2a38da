"""Which of a model's arrays lie otherwise in Keras, and how they are turned.

Keras has a convolution's kernel as (*kernel, in, out), a transposed one's as (*kernel, out, in), a
depthwise one's as (*kernel, channels, multiplier) and a dense one's as (in, out); voxelgrad has all
of them as (out, *kernel, in // groups). Flattened images agree: both flatten channels last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PLAIN, OUT_LAST, OUT_BEFORE_LAST, DEPTHWISE = "plain", "out last", "out before last", "depthwise"
"""Ways in which Keras keeps an array, by where the output channels are."""

Shape = tuple[int, ...]


def to_ours(layout: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of Keras's layout in voxelgrad's."""
    if layout == DEPTHWISE:
        *kernel, channels, multiplier = array.shape
        flat = array.reshape(*kernel, channels * multiplier)
        return np.ascontiguousarray(np.moveaxis(flat, -1, 0))[..., None]
    if layout == PLAIN:
        return array
    return np.ascontiguousarray(np.moveaxis(array, -1 if layout == OUT_LAST else -2, 0))


def shape_in_ours(layout: str, shape: Shape) -> Shape:
    """Return the shape in voxelgrad's layout of an array that has ``shape`` in Keras's."""
    if layout == PLAIN:
        return shape
    *kernel, a, b = shape
    if layout == DEPTHWISE:
        return (a * b, *kernel, 1)
    return (b, *kernel, a) if layout == OUT_LAST else (a, *kernel, b)


def shape_in_keras(layout: str, shape: Shape, groups: int = 1) -> Shape:
    """Return the shape in Keras's layout of an array that has ``shape`` in voxelgrad's."""
    if layout == PLAIN:
        return shape
    out, *kernel, below = shape
    if layout == DEPTHWISE:
        return (*kernel, groups, out // groups)
    return (*kernel, below, out) if layout == OUT_LAST else (*kernel, out, below)
