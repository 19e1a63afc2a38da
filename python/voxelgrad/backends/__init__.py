"""Where the arithmetic happens: modules of flat functions with the same names and signatures.

``cpu`` holds the native kernels, ``reference`` the plain numpy ones (float64, slow,
obviously right); ``dry`` computes nothing and serves to ask a model for its shapes. An array's type
decides: float32 and bfloat16 run on ``cpu``, float64 on ``reference``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from voxelgrad.dtypes import BFLOAT16, FLOAT32, FLOAT64

if TYPE_CHECKING:
    from voxelgrad.backends.recording import Recorder

NAMES = ("cpu", "reference", "dry")
_loaded: dict[str, ModuleType] = {}


class _Choice(threading.local):
    """The backend that ``use`` put in force in this thread, if any, and who records its calls."""

    forced: Any = None
    recorder: Recorder | None = None


_choice = _Choice()


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


def backend_of(array: Any) -> Any:
    """Return the backend that computes on ``array``.

    Raises:
        TypeError: If no backend takes this kind of array.
    """
    forced = _choice.forced
    if forced is not None:
        return forced
    dtype = getattr(array, "dtype", None)
    # Identity first: it is what nearly every array has, and comparing dtypes is slow.
    if dtype is FLOAT32 or dtype in (FLOAT32, BFLOAT16):
        return _loaded.get("cpu") or load("cpu")
    if dtype is FLOAT64 or dtype == FLOAT64:
        return _loaded.get("reference") or load("reference")
    raise TypeError(
        f"no backend computes on {type(array).__name__} of dtype {dtype}; use a float32, "
        "bfloat16 or float64 array"
    )


@contextmanager
def use(name: str) -> Iterator[None]:
    """Send every array of this thread to the backend called ``name`` inside the ``with`` block."""
    previous, _choice.forced = _choice.forced, load(name)
    try:
        yield
    finally:
        _choice.forced = previous


@contextmanager
def record(recorder: Recorder) -> Iterator[None]:
    """Send every array of this thread to ``recorder`` inside the ``with`` block."""
    previous = _choice.forced
    _choice.forced = _choice.recorder = recorder
    try:
        yield
    finally:
        _choice.forced, _choice.recorder = previous, None


def constant(array: NDArray[Any]) -> NDArray[Any]:
    """Return ``array``, whose numbers are the same in every step; recorded calls may read it."""
    if _choice.recorder is not None:
        _choice.recorder.declare(array)
    return array


def refuse_while_recording(what: str) -> None:
    """Raise if calls are being recorded: what Python does then would not happen again.

    Raises:
        RuntimeError: If they are.
    """
    if _choice.recorder is not None:
        raise RuntimeError(
            f"compile: {what} cannot be part of a compiled step, which runs without Python; leave "
            f"it out, or run this step without compile"
        )


if os.environ.get("VOXELGRAD_BACKEND"):
    # Set on the class: it holds for every thread.
    _Choice.forced = load(os.environ["VOXELGRAD_BACKEND"])
