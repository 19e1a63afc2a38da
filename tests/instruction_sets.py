"""The instruction sets of this machine that tests run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from voxelgrad.backends import cpu

ALL = cpu.isa_names()
VECTOR = [name for name in ALL if name in ("baseline", "avx2", "avx512")]
"""Those that differ in more than the products of bfloat16."""


@contextmanager
def forced(algorithm: str, isa: str) -> Iterator[None]:
    """Run convolution by this algorithm on this instruction set."""
    before = cpu.isa_name()
    cpu.set_conv_algorithm(algorithm)
    cpu.set_isa(isa)
    try:
        yield
    finally:
        cpu.set_conv_algorithm("")
        cpu.set_isa(before)
