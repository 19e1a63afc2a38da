"""What the CUDA backend asks of cupy, with arrays in the memory of the emulated device.

The arrays refuse what cupy's refuse: becoming numpy arrays unasked, and mixing with them.
"""

from __future__ import annotations

import ctypes
import math
import time
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from cuda_emulation import _cuda_emulation as device

capacity = 1 << 40
"""Bytes of the emulated device; tests lower it."""


class OutOfMemoryError(MemoryError):
    pass


class MemoryHook:
    """What is told of every allocation inside a ``with`` block."""

    entered: ClassVar[list[Any]] = []

    def __enter__(self) -> None:
        self.entered.append(self)

    def __exit__(self, *exception: object) -> None:
        self.entered.remove(self)


class Event:
    """A moment of the emulated device, which has done everything when it is asked for."""

    moment = math.nan

    def record(self) -> None:
        self.moment = time.perf_counter()

    def synchronize(self) -> None:
        assert not math.isnan(self.moment), "the event was not recorded"


class Memory:
    """A block of device memory, given back with the object."""

    def __init__(self, size: int) -> None:
        if device.bytes_in_use() + size > capacity:
            raise OutOfMemoryError("Out of memory allocating")
        self.ptr = device.allocate(size)
        self.size = size
        for hook in MemoryHook.entered:
            hook.malloc_postprocess(size=size)

    def __del__(self) -> None:
        if hasattr(self, "ptr"):
            device.release(self.ptr)


class ndarray:
    """An array in device memory."""

    def __init__(self, host_view: np.ndarray, memory: Memory) -> None:
        self._view, self._memory = host_view, memory

    __cuda_array_interface__ = property(lambda self: {"version": 3})
    __array_ufunc__ = None

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self._view.ctypes.data)

    shape = property(lambda self: self._view.shape)
    dtype = property(lambda self: self._view.dtype)
    ndim = property(lambda self: self._view.ndim)
    size = property(lambda self: self._view.size)
    nbytes = property(lambda self: self._view.nbytes)
    flags = property(lambda self: SimpleNamespace(c_contiguous=self._view.flags.c_contiguous))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, key: Any) -> ndarray:
        return ndarray(self._view[key], self._memory)

    def reshape(self, *shape: Any) -> ndarray:
        return ndarray(self._view.reshape(*shape), self._memory)

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> ndarray:
        if not copy and self.dtype == dtype and self._view.flags.c_contiguous:
            return self
        return asarray(self._view.astype(dtype))

    def copy(self) -> ndarray:
        return asarray(self._view)

    def fill(self, value: Any) -> None:
        self._view.fill(value)

    def item(self) -> Any:
        return self._view.item()

    def set(self, array: np.ndarray) -> None:
        assert type(array) is np.ndarray and array.flags.c_contiguous
        assert array.dtype == self.dtype and array.shape == self.shape
        self._view[...] = array

    def get(self) -> np.ndarray:
        return self._view.copy()


ndarray.__module__ = "cupy"


def empty(shape: Any, dtype: Any = np.float32) -> ndarray:
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    memory = Memory(size)
    block = (ctypes.c_ubyte * size).from_address(memory.ptr)
    view = np.frombuffer(block, np.uint8, size) if size else np.empty(0, np.uint8)
    return ndarray(view.view(kind).reshape(shape), memory)


def zeros(shape: Any, dtype: Any = np.float32) -> ndarray:
    output = empty(shape if isinstance(shape, tuple) else (shape,), dtype)
    output.fill(0)
    return output


def asarray(array: np.ndarray) -> ndarray:
    output = empty(array.shape, array.dtype)
    output.set(np.asarray(array, order="C"))
    return output


def asnumpy(array: ndarray) -> np.ndarray:
    return array.get()


def ascontiguousarray(array: ndarray) -> ndarray:
    return asarray(array._view)


def get_default_memory_pool() -> Any:
    return SimpleNamespace(
        used_bytes=device.bytes_in_use,
        total_bytes=device.bytes_in_use,
        free_all_blocks=lambda: None,
    )


def device_properties(number: int) -> dict[str, Any]:
    assert number == 0
    return {
        "name": b"emulated device",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 1,
        "l2CacheSize": 4096,
        "totalGlobalMem": capacity,
    }


cuda = SimpleNamespace(
    get_current_stream=lambda: SimpleNamespace(ptr=0, synchronize=lambda: None),
    alloc=Memory,
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    MemoryHook=MemoryHook,
    Event=Event,
    get_elapsed_time=lambda start, end: (end.moment - start.moment) * 1e3,
    runtime=SimpleNamespace(
        getDeviceProperties=device_properties,
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
    ),
    Device=lambda: SimpleNamespace(
        id=0,
        mem_info=(capacity - device.bytes_in_use(), capacity),
    ),
)
