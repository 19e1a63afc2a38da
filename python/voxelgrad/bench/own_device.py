"""voxelgrad's side of a CUDA device for the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from voxelgrad import backends
from voxelgrad.bench.device_timing import CACHE_READS

BLOCK = 4096  # numbers that arrays of ``run_bandwidth`` come in


class OwnClock:
    """The clock of the device that voxelgrad computes on; see ``device_timing.Clock``."""

    def __init__(self) -> None:
        self._cuda = backends.load("cuda")
        device = self._cuda.device()
        self.record, self.seconds = device.record, device.seconds
        self.peak_of: Callable[[Callable[[], object]], int] = device.peak_of
        self.free: Callable[[], None] = device.free
        self._cache_bytes = device.describe().cache_bytes
        self._buffer: Any = None

    def read_past_cache(self) -> None:
        """Queue a read of a buffer that the cache cannot hold."""
        if self._buffer is None:
            size = CACHE_READS * self._cache_bytes // 4
            self._buffer = self._cuda.zeros((max(size // BLOCK, 1) * BLOCK,))
            self._sums = self._cuda.empty(self._buffer.shape)
        self._cuda.run_bandwidth("read", self._buffer, self._buffer, self._sums, 1)


def connect(settings: Mapping[str, Any]) -> OwnClock:
    """Return the clock, with the device set up.

    Args:
        settings: ``tf32`` says whether float32 may be multiplied as TF32.
    """
    backends.load("cuda").allow_tf32(bool(settings["tf32"]))
    return OwnClock()
