"""What the CUDA backend asks of cupy, with arrays in the memory of the emulated device.

The arrays refuse what cupy's refuse: becoming numpy arrays unasked, and mixing with them. While a
stream captures, what changes them is captured; waiting, copies between device and host and freeing
fail, and spoil the capture.
"""

from __future__ import annotations

import ctypes
import math
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
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
    """A block of device memory, given back to the device with the object."""

    device_id = 0

    def __init__(self, size: int) -> None:
        if device.bytes_in_use() + size > capacity:
            raise OutOfMemoryError("Out of memory allocating")
        self.ptr = device.allocate(size)
        self.size = size

    def __del__(self) -> None:
        if hasattr(self, "ptr"):
            try:
                device.refuse_in_capture(_current().ptr, "freeing")
            finally:
                device.release(self.ptr)


class UnownedMemory:
    """Memory that somebody else owns."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1) -> None:
        self.ptr, self.size, self._owner, self.device_id = ptr, size, owner, device_id


class _PooledMemory:
    """Memory of a pool, which may be gone by the time that it is given back."""

    device_id = 0

    def __init__(self, memory: Memory, pool: MemoryPool) -> None:
        self.ptr, self.size, self._pool = memory.ptr, memory.size, weakref.ref(pool)

    def __del__(self) -> None:
        pool = self._pool()
        if pool is not None:
            pool._take_back(self.ptr)


class MemoryPointer:
    """A place in memory."""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem, self.ptr = mem, mem.ptr + offset

    @property
    def device(self) -> Any:
        return SimpleNamespace(id=self.mem.device_id)

    def copy_from_device_async(self, source: MemoryPointer, size: int) -> None:
        to, given = self.ptr, source.ptr
        device.submit(_current().ptr, lambda: ctypes.memmove(to, given, size) and None)


class MemoryPool:
    """Keeps memory for later arrays of the same size on the same stream; frees all if it dies.

    That includes memory that arrays still use.
    """

    def __init__(self) -> None:
        self._in_use: dict[int, tuple[int, Memory]] = {}
        self._free: dict[tuple[int, int], list[Memory]] = {}

    def malloc(self, size: int) -> MemoryPointer:
        stream = _current().ptr
        kept = self._free.get((stream, size))
        memory = kept.pop() if kept else Memory(size)
        self._in_use[memory.ptr] = stream, memory
        for hook in MemoryHook.entered:
            hook.malloc_postprocess(size=size)
        return MemoryPointer(_PooledMemory(memory, self), 0)

    def free_all_blocks(self) -> None:
        self._free.clear()

    def used_bytes(self) -> int:
        return sum(memory.size for _, memory in self._in_use.values())

    def total_bytes(self) -> int:
        kept = sum(memory.size for blocks in self._free.values() for memory in blocks)
        return self.used_bytes() + kept

    def _take_back(self, ptr: int) -> None:
        stream, memory = self._in_use.pop(ptr)
        self._free.setdefault((stream, memory.size), []).append(memory)


class _DefaultPool(MemoryPool):
    """Keeps memory only while a stream captures, so that tests see at once what is given back."""

    def _take_back(self, ptr: int) -> None:
        super()._take_back(ptr)
        if not device.is_any_capturing():
            self.free_all_blocks()


_default_pool = _DefaultPool()
_allocators: list[Callable[[int], MemoryPointer]] = [_default_pool.malloc]


def _alloc(size: int) -> MemoryPointer:
    return _allocators[-1](size)


@contextmanager
def _using_allocator(allocator: Callable[[int], MemoryPointer]) -> Iterator[None]:
    _allocators.append(allocator)
    try:
        yield
    finally:
        _allocators.pop()


class Graph:
    """What a stream captured."""

    def __init__(self, captured: Any) -> None:
        self.captured = captured

    def launch(self, stream: Stream | None = None) -> None:
        self.captured.launch((stream or _current()).ptr)


class Stream:
    """An order of work; on this device it is done at once, unless the stream captures."""

    _numbers = count(1)

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else 64 * next(Stream._numbers)

    def __enter__(self) -> Stream:
        _streams.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        _streams.pop()

    def begin_capture(self) -> None:
        device.begin_capture(self.ptr)

    def end_capture(self) -> Graph:
        return Graph(device.end_capture(self.ptr))

    def is_capturing(self) -> bool:
        return bool(device.is_capturing(self.ptr))

    def synchronize(self) -> None:
        device.refuse_in_capture(self.ptr, "synchronising")


_streams = [Stream(null=True)]


def _current() -> Stream:
    return _streams[-1]


class ndarray:
    """An array in device memory; what changes it is work of the current stream."""

    def __init__(self, view: np.ndarray, data: MemoryPointer, base: ndarray | None = None) -> None:
        self._view, self.data, self.base = view, data, base

    __cuda_array_interface__ = property(lambda self: {"version": 3})
    __array_ufunc__ = None

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
        return self._part(self._view[key])

    def __mul__(self, factor: float) -> ndarray:
        return self._computed(lambda view: view * view.dtype.type(factor))

    def reshape(self, *shape: Any) -> ndarray:
        return self._part(self._view.reshape(*shape))

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> ndarray:
        if not copy and self.dtype == dtype and self._view.flags.c_contiguous:
            return self
        return self._computed(lambda view: view.astype(dtype), dtype)

    def copy(self) -> ndarray:
        return self._computed(lambda view: view)

    def fill(self, value: Any) -> None:
        view = self._view
        device.submit(_current().ptr, lambda: view.fill(value))

    def item(self) -> Any:
        return self.get().item()

    def set(self, array: np.ndarray) -> None:
        assert type(array) is np.ndarray and array.flags.c_contiguous
        assert array.dtype == self.dtype and array.shape == self.shape
        device.refuse_in_capture(_current().ptr, "a copy from the host")
        self._view[...] = array

    def get(self) -> np.ndarray:
        device.refuse_in_capture(_current().ptr, "a copy to the host")
        return self._view.copy()

    def _part(self, view: np.ndarray) -> ndarray:
        offset = view.ctypes.data - self._view.ctypes.data if view.size else 0
        data = MemoryPointer(self.data.mem, self.data.ptr - self.data.mem.ptr + offset)
        return ndarray(view, data, self if self.base is None else self.base)

    def _computed(self, function: Callable[[np.ndarray], np.ndarray], dtype: Any = None) -> ndarray:
        """Return an array that the current stream computes; a graph keeps addresses only."""
        output = empty(self.shape, dtype or self.dtype)
        source, target = self._view, output._view

        def work() -> None:
            target[...] = function(source)

        device.submit(_current().ptr, work)
        return output


ndarray.__module__ = "cupy"


def empty(shape: Any, dtype: Any = np.float32) -> ndarray:
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    data = _alloc(size)
    block = (ctypes.c_ubyte * size).from_address(data.ptr)
    view = np.frombuffer(block, np.uint8, size) if size else np.empty(0, np.uint8)
    return ndarray(view.view(kind).reshape(shape), data)


def zeros(shape: Any, dtype: Any = np.float32) -> ndarray:
    output = empty(shape if isinstance(shape, tuple) else (shape,), dtype)
    output.fill(0)
    return output


def asnumpy(array: ndarray) -> np.ndarray:
    return array.get()


def ascontiguousarray(array: ndarray) -> ndarray:
    return array.copy()


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


def get_default_memory_pool() -> MemoryPool:
    return _default_pool


cuda = SimpleNamespace(
    get_current_stream=_current,
    alloc=_alloc,
    using_allocator=_using_allocator,
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
    MemoryPointer=MemoryPointer,
    MemoryPool=MemoryPool,
    Stream=Stream,
    UnownedMemory=UnownedMemory,
)
