"""Keras's weights and networks, read without Keras or TensorFlow."""

from __future__ import annotations

from voxelgrad.interop.keras.loading import load_weights
from voxelgrad.interop.report import Report

__all__ = ["Report", "load_weights"]
