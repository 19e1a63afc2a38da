"""ONNX: import as a module that trains on, and export of every model."""

from __future__ import annotations

from voxelgrad.interop.onnx.exporting import export
from voxelgrad.interop.onnx.importing import load
from voxelgrad.interop.onnx.model import OnnxModel

__all__ = ["OnnxModel", "export", "load"]
