"""Networks and weights from elsewhere, and ours taken elsewhere."""

from __future__ import annotations

from voxelgrad.interop import keras, onnx, torch

__all__ = ["keras", "onnx", "torch"]
