"""voxelgrad: small, fast convolutional networks for medical images, on kernels of its own."""

from __future__ import annotations

from voxelgrad.random import manual_seed

__version__ = "0.1.0"

__all__ = ["__version__", "manual_seed"]
