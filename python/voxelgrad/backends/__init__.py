"""Where the arithmetic happens: modules of flat functions with the same names and signatures.

``cpu`` holds the native kernels, ``reference`` the plain numpy ones (float64, slow,
obviously right); ``cuda`` computes on cupy's arrays; ``dry`` computes nothing and serves to ask a
model for its shapes. An array's type decides: numpy's of float32 and bfloat16 run on ``cpu``, of
float64 on ``reference``, cupy's on ``cuda``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.dtypes import BFLOAT16, FLOAT32, FLOAT64

if TYPE_CHECKING:
    from voxelgrad.backends.recording import Recording

NAMES = ("cpu", "reference", "dry", "cuda")
DEVICES = ("cpu", "cuda")
_loaded: dict[str, Any] = {}


class _Choice(threading.local):
    """The backend that ``use`` put in force in this thread, if any, and who records its calls."""

    forced: Any = None
    recorder: Recording | None = None


_choice = _Choice()


def load(name: str) -> Any:
    """Return the backend called ``name``.

    Raises:
        ValueError: If there is no backend of that name.
        RuntimeError: If it is ``cuda`` and that is not available here, and why.
    """
    if name not in NAMES:
        raise ValueError(f"backend {name!r} is unknown; choose one of {', '.join(NAMES)}")
    if name not in _loaded:
        module = import_module(f"voxelgrad.backends.{name}")
        _loaded[name] = module.connect() if name == "cuda" else module
    return _loaded[name]


def cuda_problem() -> str:
    """Return why CUDA is not available, and what to do about it; nothing if it is."""
    if "cuda" in _loaded:
        return ""
    problem: str = import_module("voxelgrad.backends.cuda").problem()
    return problem


def is_on_device(array: Any) -> bool:
    """Return whether ``array`` is cupy's: whether it lies on a CUDA device."""
    kind = type(array)
    return kind is not np.ndarray and kind.__module__.partition(".")[0] == "cupy"


def device_of(array: Any) -> str:
    """Return where ``array`` lies: ``"cpu"`` or ``"cuda"``."""
    return "cuda" if is_on_device(array) else "cpu"


def move(owner: str, array: Any, device: str) -> Any:
    """Return ``array`` on ``device``: itself if it lies there, else a copy.

    Raises:
        ValueError: If there is no such device.
        RuntimeError: If it is ``"cuda"`` and that is not available here, and why; or if calls are
            being recorded.
    """
    if device not in DEVICES:
        raise ValueError(f"{owner}: device is {device!r}; choose 'cpu' or 'cuda'")
    if device_of(array) == device:
        return array
    refuse_while_recording(f"a copy to {device!r}")
    cuda = load("cuda")
    return cuda.from_host(array) if device == "cuda" else cuda.to_host(array)


def zeros_like(array: Any) -> Any:
    """Return an array of zeros, of the shape and dtype and on the device of ``array``."""
    if is_on_device(array):
        return backend_of(array).zeros(array.shape, array.dtype)
    return np.zeros_like(array)


def copy_into(target: Any, source: NDArray[Any]) -> None:
    """Copy a numpy array into an array of either device, converted to its dtype."""
    if is_on_device(target):
        target.set(np.asarray(source, target.dtype, order="C"))
    else:
        np.copyto(target, source, casting="same_kind")


def number_like(value: Any, array: Any) -> Any:
    """Return a number as an array of shape ``()``, of the dtype and on the device of ``array``."""
    if not is_on_device(array):
        return constant(np.asarray(value, array.dtype))
    output = backend_of(array).empty((), array.dtype)
    backend_of(array).fill(output, float(value))
    return output


def backend_of(array: Any) -> Any:
    """Return the backend that computes on ``array``.

    Raises:
        TypeError: If no backend takes this kind of array.
    """
    forced = _choice.forced
    if forced is not None:
        return forced
    dtype = getattr(array, "dtype", None)
    if type(array) is not np.ndarray and is_on_device(array):
        return _device_backend(array)
    # Identity first: it is what nearly every array has, and comparing dtypes is slow.
    if dtype is FLOAT32 or dtype in (FLOAT32, BFLOAT16):
        return _loaded.get("cpu") or load("cpu")
    if dtype is FLOAT64 or dtype == FLOAT64:
        return _loaded.get("reference") or load("reference")
    raise TypeError(
        f"no backend computes on {type(array).__name__} of dtype {dtype}; use a float32, "
        "bfloat16 or float64 array"
    )


def _device_backend(array: Any) -> Any:
    if array.dtype in (FLOAT32, BFLOAT16):
        return _loaded.get("cuda") or load("cuda")
    raise TypeError(
        f"no backend computes on {array.dtype} arrays of a CUDA device; convert to float32 or "
        'bfloat16, or move float64 to the CPU with .to("cpu")'
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
def record(recorder: Recording) -> Iterator[None]:
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


def constant_beside(array: NDArray[Any], like: Any) -> Any:
    """Return ``constant(array)`` where ``like`` lies: itself, or a copy on the device."""
    if not is_on_device(like):
        return constant(array)
    recorder = _choice.recorder
    return load("cuda").from_host(array) if recorder is None else recorder.constant(array)


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
