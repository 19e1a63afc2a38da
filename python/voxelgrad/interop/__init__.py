"""Networks and weights from elsewhere, and ours taken elsewhere."""

from __future__ import annotations

from voxelgrad.interop import onnx, torch

__all__ = ["onnx", "torch"]
