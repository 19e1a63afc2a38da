"""Keras's weights and networks, read without Keras or TensorFlow."""

from __future__ import annotations

from voxelgrad.interop.keras.importing import load
from voxelgrad.interop.keras.loading import load_weights
from voxelgrad.interop.keras.model import KerasModel
from voxelgrad.interop.report import Report

__all__ = ["KerasModel", "Report", "load", "load_weights"]
