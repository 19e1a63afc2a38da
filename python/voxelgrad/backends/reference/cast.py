"""Changing the number format."""

from __future__ import annotations

from voxelgrad.backends.reference._common import Array


def cast(input: Array, output: Array) -> None:
    """Write ``input`` in the format of ``output``, rounded to the nearest."""
    output[...] = input
