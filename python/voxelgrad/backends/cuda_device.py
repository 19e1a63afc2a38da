"""The CUDA device itself, as cupy knows it: its clock, its memory, what it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Description:
    """What a device is.

    Attributes:
        name: As its maker calls it.
        capability: Compute capability, such as "9.0".
        multiprocessors: Their number.
        cache_bytes: Size of the second-level cache.
        memory_bytes: Size of its memory.
        driver: Version of the driver; "" where the system does not say.
        driver_cuda: The latest CUDA version that the driver knows.
        cuda: The CUDA version that cupy uses.
    """

    name: str
    capability: str
    multiprocessors: int
    cache_bytes: int
    memory_bytes: int
    driver: str
    driver_cuda: str
    cuda: str


class CudaDevice:
    """The device that is current, and its current stream.

    Args:
        cupy: The module of arrays.
        bytes_held: Tells what arrays and compiled steps take now.
    """

    def __init__(self, cupy: Any, bytes_held: Callable[[], int]) -> None:
        self._cupy, self._bytes_held = cupy, bytes_held

    def describe(self) -> Description:
        """Return what the device is."""
        runtime = self._cupy.cuda.runtime
        properties = runtime.getDeviceProperties(self._cupy.cuda.Device().id)
        return Description(
            properties["name"].decode(),
            f"{properties['major']}.{properties['minor']}",
            int(properties["multiProcessorCount"]),
            int(properties["l2CacheSize"]),
            int(properties["totalGlobalMem"]),
            _driver_version(),
            _version(runtime.driverGetVersion()),
            _version(runtime.runtimeGetVersion()),
        )

    def record(self) -> Any:
        """Return an event that happens once the device has done all that the stream holds."""
        event = self._cupy.cuda.Event()
        event.record()
        return event

    def seconds(self, start: Any, end: Any) -> float:
        """Return the time between two events of the device; waits for the second."""
        end.synchronize()
        return float(self._cupy.cuda.get_elapsed_time(start, end)) / 1e3

    def peak_of(self, function: Callable[[], object]) -> int:
        """Call ``function`` and return the most bytes that were held meanwhile."""
        held = [self._bytes_held()]

        def look(hook: Any, **_: Any) -> None:
            held.append(self._bytes_held())

        methods = {"name": "voxelgrad", "malloc_postprocess": look}
        with type("Watch", (self._cupy.cuda.MemoryHook,), methods)():
            function()
        return max(held)

    def free(self) -> None:
        """Give the memory that no array takes back to the device."""
        self._cupy.get_default_memory_pool().free_all_blocks()


def _version(number: int) -> str:
    """13000 as "13.0"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver_version() -> str:
    try:
        text = _DRIVER.read_text(encoding="ascii")
    except OSError:
        return ""
    found = re.search(r"Module\s+(?:for \S+\s+)?(\d+(?:\.\d+)+)", text)
    return found[1] if found else ""
