"""ONNX: import as a module that trains on, and export of every model."""

from __future__ import annotations

from voxelgrad.interop.onnx.export import export
from voxelgrad.interop.onnx.load import load
from voxelgrad.interop.onnx.model import OnnxModel

__all__ = ["OnnxModel", "export", "load"]
