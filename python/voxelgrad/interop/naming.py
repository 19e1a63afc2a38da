"""Names of a file as names that Python allows."""

from __future__ import annotations

import re

from voxelgrad.nn.module import Module


def attribute_name(name: str, holder: Module) -> str:
    """Return a name for something of a file that is a free attribute of ``holder``."""
    base = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
    base = f"_{base}" if base[0].isdigit() else base
    candidate, count = base, 1
    while hasattr(holder, candidate):
        count += 1
        candidate = f"{base}_{count}"
    return candidate
