"""Results made visible."""

from __future__ import annotations

from voxelgrad.report.overlays import Row, grey, overlay, save_grid

__all__ = ["Row", "grey", "overlay", "save_grid"]
