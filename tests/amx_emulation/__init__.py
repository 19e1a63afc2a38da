"""The native module with emulated AMX, in place of the one that the package has."""

from __future__ import annotations

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

MODULE = Path(__file__).with_name(f"_cpu{EXTENSION_SUFFIXES[0]}")


def install() -> None:
    """Make ``voxelgrad._cpu`` the emulated one; before anything imports it.

    Raises:
        FileNotFoundError: If it is not built (``-DVOXELGRAD_AMX_EMULATION=ON``).
    """
    name = "voxelgrad._cpu"
    if name in sys.modules:
        raise RuntimeError(f"{name} is imported already; install the emulation before")
    if not MODULE.exists():
        raise FileNotFoundError(f"{MODULE} is missing: build with -DVOXELGRAD_AMX_EMULATION=ON")
    spec = spec_from_file_location(name, MODULE)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
