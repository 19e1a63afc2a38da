"""Arrays of other libraries as numpy arrays, without a copy where that is possible."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from voxelgrad import backends
from voxelgrad.dtypes import BFLOAT16

Array: TypeAlias = "np.ndarray[Any, Any]"

# Devices of DLPack whose memory the processor reads: its own, and that pinned for CUDA or ROCm.
_READABLE = (1, 3, 11)
# Memory of CUDA devices, their own and managed.
_CUDA = (2, 13)


def as_array(owner: str, data: Any, copy: bool | None = None) -> Array:
    """Return ``data`` as a C-contiguous, aligned numeric array of native byte order.

    Args:
        owner: Who asks, for messages.
        data: A numpy or cupy array, or what gives its memory through DLPack (PyTorch, JAX, ...) or
            the buffer protocol (``memoryview``, ``array.array``): they keep their dtype and their
            device. Numbers and nested lists of them become float32.
        copy: True copies always, None where the layout demands it, False never.

    Raises:
        TypeError: If it is not numeric, or lies where the processor cannot read it.
        ValueError: If ``copy`` is False and the layout demands a copy.
    """
    array = data if backends.is_on_device(data) else _shared(owner, data)
    if backends.is_on_device(array):
        device_array: Array = backends.load("cuda").as_array(owner, array, copy)
        return _numeric(owner, device_array)
    if array is None:
        if copy is False:
            raise ValueError(_no_copy(owner, f"data of type {type(data).__name__} is no array"))
        return _numeric(owner, _from_numbers(owner, data))
    _numeric(owner, array)
    flaw = _flaw(array)
    if flaw and copy is False:
        raise ValueError(_no_copy(owner, f"data of shape {array.shape} is {flaw}"))
    if not (flaw or copy):
        return array
    return np.array(array, array.dtype.newbyteorder("="), order="C", subok=False)


def to_dlpack(array: Array, **request: Any) -> Any:
    """Return the DLPack capsule of an array; ``request`` is what the consumer asks for.

    Raises:
        BufferError: If DLPack, as numpy has it, does not know the dtype.
    """
    if array.dtype == BFLOAT16:
        raise BufferError(
            "Tensor: numpy cannot pass bfloat16 on through DLPack; convert it with "
            '.astype("float32"), or pass .numpy().view(np.uint16) on and view it as bfloat16 there'
        )
    return array.__dlpack__(**{name: value for name, value in request.items() if value is not None})


def _shared(owner: str, data: Any) -> Array | None:
    """Return an array that shares the memory of ``data``; None if that has no array."""
    if isinstance(data, (np.ndarray, np.generic)):
        return np.asarray(data)
    if isinstance(data, (bool, int, float, list, tuple, str, bytes)):
        return None
    if hasattr(data, "__dlpack__"):
        return _from_dlpack(owner, data)
    try:
        view = memoryview(data)
    except (TypeError, BufferError):
        return None
    try:
        return np.asarray(view)
    except (ValueError, NotImplementedError) as error:
        raise TypeError(
            f"{owner}: data of type {type(data).__name__} has a memory format that numpy does not "
            f"know ({error}); give numbers, such as array.array('f', ...)"
        ) from error


def _from_dlpack(owner: str, data: Any) -> Array:
    kind = type(data).__name__
    reason = ""
    try:
        device = int(data.__dlpack_device__()[0])
        if device in _READABLE:
            return np.from_dlpack(data)
        if device in _CUDA:
            reason = backends.cuda_problem()
            if not reason:
                shared: Array = backends.load("cuda").from_dlpack(data)
                return shared
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{owner}: data of type {kind} and dtype {getattr(data, 'dtype', 'unknown')} cannot be "
            f"shared through DLPack ({error}); detach it from its graph, move it to the CPU, and "
            f"convert bfloat16, which numpy's DLPack does not know, to float32"
        ) from error
    raise TypeError(
        f"{owner}: data of type {kind} lies on another device (DLPack device type {device}); move "
        f"it to the CPU first" + (f", for CUDA is not available here: {reason}" if reason else "")
    )


def _from_numbers(owner: str, data: Any) -> Array:
    try:
        array = np.asarray(data)
        return array.astype(np.float32) if array.dtype.kind in "fiub" else array
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{owner}: data of type {type(data).__name__} cannot become an array ({error}); give a "
            f"numpy array, a number, or nested lists of numbers of equal length"
        ) from error


def _numeric(owner: str, array: Array) -> Array:
    if array.dtype.kind not in "fiub" and array.dtype != BFLOAT16:
        raise TypeError(
            f"{owner}: data has dtype {array.dtype}, which is not a real number; convert it to a "
            f"float32 array"
        )
    return array


def _flaw(array: Array) -> str:
    """Return what keeps the kernels from reading an array; nothing if they can."""
    if not array.dtype.isnative:
        return "in foreign byte order"
    if not array.flags.c_contiguous:
        return f"not C-contiguous (strides {array.strides})"
    return "" if array.flags.aligned else "not aligned in memory"


def _no_copy(owner: str, why: str) -> str:
    return f"{owner}: {why}, so it has to be copied, but copy=False; leave copy out"
