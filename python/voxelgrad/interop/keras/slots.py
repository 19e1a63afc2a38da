"""The places of a model for Keras's arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from voxelgrad import nn
from voxelgrad.interop.keras.layers.base import Layer
from voxelgrad.interop.keras.layout import (
    DEPTHWISE,
    OUT_BEFORE_LAST,
    OUT_LAST,
    PLAIN,
    Shape,
    shape_in_keras,
    to_ours,
)
from voxelgrad.interop.pairing import arrays_of, misfit
from voxelgrad.nn.conv import Convolution, TransposedConvolution


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
    if isinstance(module, Layer):
        return module.layouts[name]
    if name != "weight":
        return PLAIN, 1
    if isinstance(module, TransposedConvolution):
        return OUT_BEFORE_LAST, module.groups
    if isinstance(module, Convolution):
        single = module.groups == module.in_channels > 1
        return DEPTHWISE if single else OUT_LAST, module.groups
    return OUT_LAST if isinstance(module, nn.Linear) else PLAIN, 1
