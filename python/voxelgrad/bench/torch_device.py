"""PyTorch's side of a CUDA device for the benchmarks: its clock, its settings, CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from voxelgrad.bench.device_timing import CACHE_READS

_WARM_CALLS = 3


class TorchClock:
    """The clock of PyTorch's current device and stream; see ``device_timing.Clock``."""

    def __init__(self) -> None:
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self._cache_bytes = properties.L2_cache_size
        self._buffer: Any = None

    def record(self) -> Any:
        """Return an event that happens once all that was queued before it is done."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, start: Any, end: Any) -> float:
        """Return the time between two events; waits for them."""
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3

    def read_past_cache(self) -> None:
        """Queue a read of a buffer that the cache cannot hold."""
        if self._buffer is None:
            size = CACHE_READS * self._cache_bytes // 4
            self._buffer = torch.zeros(size, dtype=torch.float32, device="cuda")
        self._buffer.sum()

    def peak_of(self, function: Callable[[], object]) -> int:
        """Call ``function`` and return the most bytes that tensors took meanwhile."""
        torch.cuda.reset_peak_memory_stats()
        function()
        return int(torch.cuda.max_memory_allocated())

    def free(self) -> None:
        """Give the memory that no tensor takes back to the device."""
        torch.cuda.empty_cache()


def connect(settings: Mapping[str, Any]) -> TorchClock:
    """Return the clock, with PyTorch set up.

    Args:
        settings: ``tf32`` says whether float32 may be multiplied as TF32; ``tuned`` lets cuDNN try
            its algorithms.

    Raises:
        ValueError: If this PyTorch finds no device.
    """
    configure(settings)
    if not torch.cuda.is_available():
        raise ValueError(
            f"torch {torch.__version__} finds no CUDA device; install a build for CUDA"
        )
    return TorchClock()


def configure(settings: Mapping[str, Any]) -> None:
    """Set PyTorch's switches as ``connect`` says; without TF32 it computes IEEE float32."""
    precision = "tf32" if settings["tf32"] else "ieee"
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.backends.cudnn.conv.fp32_precision = precision
    torch.backends.cudnn.benchmark = bool(settings.get("tuned"))


def captured(function: Callable[[], object]) -> Callable[[], object]:
    """Return a function that records ``function`` as a CUDA graph when first called, and runs it.

    The memory of a graph is that of the call that records it: what warms up before is forgotten.
    """
    graph: Any = None

    def run() -> None:
        nonlocal graph
        if graph is None:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_CALLS):
                    function()
            torch.cuda.current_stream().wait_stream(stream)
            torch.cuda.reset_peak_memory_stats()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                function()
        graph.replay()

    return run
