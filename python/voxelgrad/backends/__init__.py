"""Where the arithmetic happens: modules of flat functions with the same names and signatures.

``cpu`` holds the native float32 kernels, ``reference`` the plain numpy ones (float64, slow, obviously right).
``dry`` computes nothing: it is there to ask a model for its shapes.
An array's type decides: float32 runs on ``cpu``, float64 on ``reference``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

NAMES = ("cpu", "reference", "dry")
_forced: ModuleType | None = None
_loaded: dict[str, ModuleType] = {}


def load(name: str) -> ModuleType:
    """Return the backend called ``name``.

    Raises:
        ValueError: If there is no backend of that name.
    """
    if name not in NAMES:
        raise ValueError(f"backend {name!r} is unknown; choose one of {', '.join(NAMES)}")
    if name not in _loaded:
        _loaded[name] = import_module(f"voxelgrad.backends.{name}")
    return _loaded[name]


def backend_of(array: Any) -> ModuleType:
    """Return the backend that computes on ``array``.

    Raises:
        TypeError: If no backend takes this kind of array.
    """
    if _forced is not None:
        return _forced
    dtype = getattr(array, "dtype", None)
    if dtype == np.float32:
        return load("cpu")
    if dtype == np.float64:
        return load("reference")
    raise TypeError(
        f"no backend computes on {type(array).__name__} of dtype {dtype}; use a float32 or float64 array"
    )


@contextmanager
def use(name: str) -> Iterator[None]:
    """Send every array to the backend called ``name`` inside the ``with`` block."""
    global _forced
    previous, _forced = _forced, load(name)
    try:
        yield
    finally:
        _forced = previous


if os.environ.get("VOXELGRAD_BACKEND"):
    _forced = load(os.environ["VOXELGRAD_BACKEND"])
