"""The CUDA backend: kernels of our own on cupy's arrays, memory pool and current stream.

Nothing here waits for the device, except copies to the host. The flat functions are those of the
cpu backend; the native ones take the address of a stream before their arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import DTypeLike, NDArray

from voxelgrad.backends.cuda_device import CudaDevice
from voxelgrad.dtypes import BFLOAT16, FLOAT32

# These look at numbers on the device and can report a fault there.
_CHECKING = (
    "cross_entropy_forward",
    "focal_forward",
    "dice_sums",
    "mean_of_totals",
    "check_probabilities",
)


class CudaBackend:
    """Runs the functions of a native module on the arrays of cupy.

    Args:
        native: The module with the kernels, ``voxelgrad._cuda``.
        cupy: The module of arrays.

    Attributes:
        graphs: Who holds graphs, with their memory in ``bytes``.
    """

    def __init__(self, native: Any, cupy: Any) -> None:
        self._native = native
        self._cupy = cupy
        self._stream = cupy.cuda.get_current_stream
        native._set_allocator(self._allocate)
        self.graphs: WeakSet[Any] = WeakSet()
        self._faults: Any = None
        self._has_checked = False

    def empty(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> Any:
        """Return an uninitialised array of ``shape`` from cupy's pool.

        Raises:
            MemoryError: If the device has too little memory: what was asked for, what is held.
        """
        try:
            return self._cupy.empty(shape, dtype)
        except self._cupy.cuda.memory.OutOfMemoryError:
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            text = f"an array of shape {tuple(shape)} and dtype {np.dtype(dtype)} ({size:,} bytes)"
            raise self._out_of_memory(text) from None

    def zeros(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> Any:
        """Return an array of zeros from cupy's pool; raises as ``empty`` does."""
        array = self.empty(shape, dtype)
        if array.dtype in (FLOAT32, BFLOAT16):
            self.fill(array, 0.0)
        else:
            array.fill(0)
        return array

    def as_array(self, owner: str, array: Any, copy: bool | None = None) -> Any:
        """Return an array on the device as a C-contiguous one; see ``arrays.as_array``.

        Raises:
            ValueError: If ``copy`` is False and the layout demands a copy.
        """
        if array.flags.c_contiguous:
            return array.copy() if copy else array
        if copy is False:
            raise ValueError(
                f"{owner}: data of shape {array.shape} is not C-contiguous, so it has to be "
                f"copied, but copy=False; leave copy out"
            )
        return self._cupy.ascontiguousarray(array)

    def from_dlpack(self, data: Any) -> Any:
        """Return a cupy array that shares the memory of another library's array on the device."""
        return self._cupy.from_dlpack(data)

    def from_host(self, array: NDArray[Any]) -> Any:
        """Return a copy of a numpy array on the current device."""
        output = self.empty(array.shape, array.dtype)
        output.set(np.asarray(array, order="C"))
        return output

    def to_host(self, array: Any) -> NDArray[Any]:
        """Return a copy of a device's array as a numpy array, once all before it is computed.

        Raises:
            ValueError: If a loss before it met a label that is no class, or the like.
        """
        host: NDArray[Any] = self._cupy.asnumpy(array)
        self._raise_fault()
        return host

    def copy(self, array: Any, target: Any) -> None:
        """Copy an array into another of the same shape and dtype, both C-contiguous."""
        target.data.copy_from_device_async(array.data, array.nbytes)

    def resample_linear(
        self, image: Any, output: Any, matrix: Any, offset: Any, *rest: Any
    ) -> None:
        """Run the native function; matrix and offset are numpy's: kernels take them by value."""
        self._call("resample_linear", image, output, matrix.ravel(), offset, *rest)

    def resample_nearest(
        self, mask: Any, output: Any, matrix: Any, offset: Any, *rest: Any
    ) -> None:
        """Run the native function; matrix and offset are numpy's: kernels take them by value."""
        self._call("resample_nearest", mask, output, matrix.ravel(), offset, *rest)

    def memory_statistics(self) -> dict[str, int]:
        """Return bytes of device memory.

        Returns:
            ``in_use`` by arrays of cupy's pool, ``cached`` there for later ones, and what the
            ``graphs`` of compiled steps hold.
        """
        pool = self._cupy.get_default_memory_pool()
        used = int(pool.used_bytes())
        return {
            "in_use": used,
            "cached": int(pool.total_bytes()) - used,
            "graphs": sum(holder.bytes for holder in self.graphs),
        }

    def new_pool(self) -> Any:
        """Return a memory pool for ``capture``."""
        return self._cupy.cuda.MemoryPool()

    @contextmanager
    def capture(self, pool: Any) -> Iterator[list[Any]]:
        """Capture as a graph what is given to the device inside the ``with`` block; nothing runs.

        Args:
            pool: Where its memory comes from. The graph does not keep it alive; its arrays do.

        Yields:
            A list that holds the graph afterwards.

        Raises:
            RuntimeError: If the device cannot capture it, and why.
        """
        graphs: list[Any] = []
        stream = self._cupy.cuda.Stream(non_blocking=True)
        with self._cupy.cuda.using_allocator(self._keeping(pool)), stream:
            stream.begin_capture()
            try:
                yield graphs
                graphs.append(stream.end_capture())
            except BaseException as error:
                with suppress(RuntimeError):  # that there is nothing to end, or no good end
                    stream.end_capture()
                if isinstance(error, RuntimeError) and "StreamCapture" in str(error):
                    raise RuntimeError(
                        f"compile: the device cannot capture this step ({error}); it must not wait "
                        f"for the device nor copy between it and the host: leave that out, or run "
                        f"this step without compile"
                    ) from error
                raise

    def device(self) -> CudaDevice:
        """Return the device itself: its clock, its memory, what it is."""
        return CudaDevice(self._cupy, self._bytes_held)

    def synchronize(self) -> None:
        """Wait until everything on the current stream has been computed; raises as ``to_host``."""
        self._stream().synchronize()
        self._raise_fault()

    def squared_norm(self, arrays: Sequence[Any]) -> float:
        """Return the sum of the squares of all elements; waits for them."""
        return float(self._square_totals(arrays)[0])

    def all_finite(self, array: Any) -> bool:
        """Return whether no element is infinite or NaN; waits for them."""
        return not self._square_totals([array])[1]

    def can_report_fault(self, name: str) -> bool:
        """Return whether the function of this name looks at numbers on the device."""
        return name in _CHECKING

    def expect_fault(self) -> None:
        """Look for a fault when a result is next read: a graph runs that can report one."""
        self._has_checked = True

    def offers(self, name: str) -> bool:
        """Return whether there is a function of this name."""
        return hasattr(self._native, name)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return the native function of this name on the stream that is current when called.

        Raises:
            NotImplementedError: If it has no kernel for CUDA.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        native = getattr(self._native, name, None)
        if native is None:
            raise NotImplementedError(
                f"{name}: the CUDA backend does not have this function yet; move the tensors to "
                f'the CPU with .to("cpu")'
            )
        if name in _CHECKING:
            return self._checked(name, native)

        def call(*arguments: Any, **named: Any) -> Any:
            return native(self._stream().ptr, *arguments, **named)

        setattr(self, name, call)
        return call

    def _call(self, name: str, *arguments: Any) -> None:
        """Run a native function whose name a method has."""
        getattr(self._native, name)(self._stream().ptr, *arguments)

    def _checked(self, name: str, native: Callable[..., Any]) -> Callable[..., Any]:
        """Return a native function that may report a fault; the first call makes room for one."""

        def call(*arguments: Any, **named: Any) -> Any:
            if self._faults is None:
                self._faults = self._cupy.zeros(self._native._fault_bytes, np.uint8)
                self._native._set_fault_buffer(self._faults.data.ptr)
            self.expect_fault()
            return native(self._stream().ptr, *arguments, **named)

        setattr(self, name, call)
        return call

    def _raise_fault(self) -> None:
        """Raise what the device has reported since this was last called, if anything."""
        if not self._has_checked:
            return
        self._has_checked = False
        fault = self._native._describe_fault(self._cupy.asnumpy(self._faults).tobytes())
        if fault:
            self._faults.fill(0)
            raise ValueError(fault)

    def _bytes_held(self) -> int:
        held = self.memory_statistics()
        return held["in_use"] + held["graphs"]

    def _square_totals(self, arrays: Sequence[Any]) -> NDArray[Any]:
        totals = self.empty((2,), np.float64)
        self.square_totals(arrays, totals)
        return self.to_host(totals)

    def _allocate(self, size: int) -> Any:
        """Give the native functions memory for themselves."""
        try:
            return self._cupy.cuda.alloc(size)
        except self._cupy.cuda.memory.OutOfMemoryError:
            raise self._out_of_memory(f"a workspace of {size:,} bytes") from None

    def _keeping(self, pool: Any) -> Callable[[int], Any]:
        """Return an allocator of ``pool`` whose arrays keep it alive.

        The memory of a pool that dies is freed, whether arrays still use it or not.
        """
        cuda = self._cupy.cuda

        def allocate(size: int) -> Any:
            pointer = pool.malloc(size)
            memory = cuda.UnownedMemory(pointer.ptr, size, (pool, pointer), pointer.device.id)
            return cuda.MemoryPointer(memory, 0)

        return allocate

    def _out_of_memory(self, wanted: str) -> MemoryError:
        held = self.memory_statistics()
        free, total = self._cupy.cuda.Device().mem_info
        return MemoryError(
            f"the device has no memory for {wanted}: {held['in_use']:,} bytes are in use by "
            f"arrays, {held['cached']:,} cached, {held['graphs']:,} held by compiled steps, "
            f"{free:,} of {total:,} free on the device; use a smaller batch or patch, bfloat16 "
            f"(autocast), or vg.checkpoint"
        )


def problem() -> str:
    """Return why CUDA is not available, and what to do about it; nothing if it is."""
    try:
        native = import_module("voxelgrad._cuda")
    except ModuleNotFoundError:
        return "no CUDA extension: pip install 'voxelgrad[cuda]'"
    except ImportError as error:
        return f"the CUDA extension cannot be loaded: {error}"
    import voxelgrad

    if native._version != voxelgrad.__version__:
        return (
            f"the CUDA extension is of version {native._version}, voxelgrad of "
            f"{voxelgrad.__version__}: pip install --upgrade 'voxelgrad[cuda]'"
        )
    trouble: str = native._device_problem()
    if trouble:
        return f"no device: {trouble}"
    try:
        import_module("cupy")
    except ImportError as error:
        return f"no cupy ({error}): pip install 'voxelgrad[cuda]'"
    return ""


def connect() -> CudaBackend:
    """Return the backend of this machine.

    Raises:
        RuntimeError: If CUDA is not available, and why.
    """
    trouble = problem()
    if trouble:
        raise RuntimeError(f"CUDA is not available: {trouble}")
    return CudaBackend(import_module("voxelgrad._cuda"), import_module("cupy"))
