"""Keras's layers on voxelgrad's ops, by the names that Keras gives them."""

from __future__ import annotations

from voxelgrad.interop.keras.layers import activation, conv, norm, pool, shape
from voxelgrad.interop.keras.layers.base import Layer, Settings

LAYERS: dict[str, type[Layer]] = {
    **activation.LAYERS,
    **conv.LAYERS,
    **norm.LAYERS,
    **pool.LAYERS,
    **shape.LAYERS,
}

__all__ = ["LAYERS", "Layer", "Settings"]
