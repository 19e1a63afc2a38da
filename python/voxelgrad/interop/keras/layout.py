"""Which of a model's arrays lie otherwise in Keras, and how they are turned.

Keras has a convolution's kernel as (*kernel, in, out), a transposed one's as (*kernel, out, in), a
depthwise one's as (*kernel, channels, multiplier) and a dense one's as (in, out); voxelgrad has all
of them as (out, *kernel, in // groups). Flattened images agree: both flatten channels last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad import nn
from voxelgrad.interop.pairing import arrays_of, misfit
from voxelgrad.nn.conv import Convolution, TransposedConvolution

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


def shape_in_keras(layout: str, shape: Shape, groups: int = 1) -> Shape:
    """Return the shape in Keras's layout of an array that has ``shape`` in voxelgrad's."""
    if layout == PLAIN:
        return shape
    out, *kernel, below = shape
    if layout == DEPTHWISE:
        return (*kernel, groups, out // groups)
    return (*kernel, below, out) if layout == OUT_LAST else (*kernel, out, below)


@dataclass(frozen=True)
class Slot:
    """A place of the model for an array.

    Attributes:
        name: Its dotted name.
        array: What is there now, in voxelgrad's layout; written to in place.
        layout: How Keras keeps it.
        groups: Groups of the convolution.
    """

    name: str
    array: NDArray[Any]
    layout: str = PLAIN
    groups: int = 1

    @property
    def shape(self) -> Shape:
        """The shape that Keras gives it."""
        return shape_in_keras(self.layout, self.array.shape, self.groups)

    def store(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array that has Keras's layout in voxelgrad's."""
        return to_ours(self._layout_of(array), array)

    def problem(self, array: NDArray[Any]) -> str:
        """Return why an array cannot go there; nothing if it can."""
        shape = shape_in_keras(self._layout_of(array), self.array.shape, self.groups)
        return misfit(array, shape, self.array, "Keras")

    def _layout_of(self, array: NDArray[Any]) -> str:
        """Return how this one is kept: one channel a group is a Conv2D with groups, too."""
        grouped = shape_in_keras(OUT_LAST, self.array.shape) if self.layout == DEPTHWISE else None
        return OUT_LAST if array.shape == grouped else self.layout


def slots(model: nn.Module) -> list[Slot]:
    """Return the places for arrays, layer by layer: parameters, then buffers, as Keras has them."""
    found = []
    for full, module, name, array, _ in arrays_of(model):
        layout, groups = _layout(module, name)
        found.append(Slot(full, array, layout, groups))
    return found


def _layout(module: nn.Module, name: str) -> tuple[str, int]:
    if name != "weight":
        return PLAIN, 1
    if isinstance(module, TransposedConvolution):
        return OUT_BEFORE_LAST, module.groups
    if isinstance(module, Convolution):
        single = module.groups == module.in_channels > 1
        return DEPTHWISE if single else OUT_LAST, module.groups
    return OUT_LAST if isinstance(module, nn.Linear) else PLAIN, 1
