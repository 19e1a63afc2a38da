"""The instruction sets of this machine that tests run on."""

from __future__ import annotations

from voxelgrad.backends import cpu

ALL = cpu.isa_names()
VECTOR = [name for name in ALL if name in ("baseline", "avx2", "avx512")]
"""Those that differ in more than the products of bfloat16."""
